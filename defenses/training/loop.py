"""The training loop of a recommender that takes an objective: ours, and any that has the same `train`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor

from robust.defense import TrainingDefense
from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.objective import Step


class ObjectiveDefense(TrainingDefense):
    """Minimises something else. Authors write `objective`."""

    @abstractmethod
    def objective(self, step: Step) -> Tensor:
        """What is minimised on one batch: a scalar with a gradient."""

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, with this objective.

        Raises:
            NotApplicable: its training loop does not take an objective.
        """
        return train_by(self.name, recommender, log, seed=seed, share=share, objective=self.objective)


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
