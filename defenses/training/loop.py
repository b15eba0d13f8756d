"""The training loop of a recommender that takes an objective: ours, and any that has the same `train`."""

from __future__ import annotations

from typing import Any

from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender


def train_by(
    defense: str, recommender: Any, log: InteractionLog, *, seed: int, share: float | None, **how: Any
) -> Recommender:
    """Fit `recommender` by its own loop, with an objective, an augmentation, or replays.

    Raises:
        NotApplicable: it has no such loop.
    """
    if not hasattr(recommender, "train"):
        raise NotApplicable(f"training defence '{defense}' needs a recommender with train(log, objective=…)")
    trained: Recommender = recommender.train(log, seed=seed, share=share, **how)
    return trained


def with_settings(defense: str, recommender: Any, **changed: Any) -> Any:
    """The recommender with some of its training settings changed.

    Raises:
        NotApplicable: it has no such settings.
    """
    if not hasattr(recommender, "with_settings"):
        raise NotApplicable(
            f"training defence '{defense}' needs a recommender with with_settings({', '.join(changed)}=…)"
        )
    return recommender.with_settings(**changed)
