"""Checks of a serving defence: it answers out of the catalogue, each caller by their own record, within its budget."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from robust.defense import SeenThrough, ServedRecommender, ServingDefense
from robust.errors import NotApplicable
from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Float32, capabilities
from robust.testing.conformance.attacked import histories
from robust.testing.conformance.base import require
from robust.testing.conformance.defended import Defended

K = 5
LARGEST = 5_000
"""Budgets of queries above this are not spent to the end."""


def _service(subject: Defended) -> ServedRecommender:
    if not isinstance(subject.defense, ServingDefense):
        raise NotApplicable("does not stand between a recommender and its callers")
    return cast(ServedRecommender, subject.defense.protect(subject.victim, log=subject.log, seed=subject.seed))


def _some(subject: Defended, count: int) -> SequenceBatch:
    """So many histories, in turn."""
    sequences = histories(subject.log)
    return sequences[np.arange(count) % len(sequences)]


def callers(subject: Defended) -> None:
    """What one caller is answered depends on nobody else, and on no name."""
    sequences = _some(subject, 32)
    alone = _service(subject).as_caller("somebody").recommend(sequences, K)
    service = _service(subject)
    flood = _some(subject, 200)
    service.as_caller("a flood of questions").recommend(flood, K)
    beside = service.as_caller("somebody else").recommend(sequences, K)
    require(np.array_equal(alone, beside), "A caller's answers depend on other callers, or on the caller's name.")


def budget(subject: Defended) -> None:
    """As many answers as it grants a caller, and refusals after them, whatever comes in one call."""
    service = _service(subject)
    allowed = service.queries_allowed
    if allowed is None:
        raise NotApplicable("grants any number of queries")
    if allowed > LARGEST:
        raise NotApplicable(f"grants {allowed} queries, too many to spend here")
    caller, answered, asked = service.as_caller("somebody"), 0, 0
    for size in (1, 7, allowed):
        lists = caller.recommend(_some(subject, size), K)
        answered += int((lists != 0).any(axis=1).sum())
        asked += size
        require(
            answered == min(asked, allowed),
            f"{answered} of {asked} questions of one caller were answered; it grants {allowed}.",
        )


def attacker(subject: Defended) -> None:
    """What an attacker plans on keeps a recommender's promises, and planning changes nothing that is served."""
    service = _service(subject)
    require(isinstance(service, SeenThrough), "An attacker who knows it cannot look through it: no as_attacker(seed).")
    sequences = _some(subject, 32)
    before = _service(subject).recommend(sequences, K)
    seen: Any = service.as_attacker(subject.seed + 1)
    beyond = capabilities(seen) - capabilities(subject.victim)
    require(not beyond, f"To an attacker it claims what the model behind it lacks: {', '.join(sorted(beyond))}.")
    for _ in range(3):
        seen.recommend(sequences, K)
        if "gradients" in capabilities(seen):
            scores = seen.score_embeddings(seen.embed(sequences), sequences)
            require(scores.shape == (len(sequences), seen.n_items + 1), f"Scores of shape {tuple(scores.shape)}.")
    after = service.recommend(sequences, K)
    require(np.array_equal(before, after), "An attacker's planning changed what others are answered.")


class Strangers:
    """A service whose every question comes from somebody new, so that no budget stands between it and its promises."""

    def __init__(self, service: Any) -> None:
        self.service, self.capabilities, self.n_items = service, service.capabilities, service.n_items
        self._met = 0

    def _anonymous(self, sequences: SequenceBatch) -> SequenceBatch:
        users = self._met + np.arange(len(sequences))
        self._met += len(sequences)
        return SequenceBatch(sequences.items, users, sequences.timestamps)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """As it answers strangers."""
        return cast(Int32, self.service.recommend(self._anonymous(sequences), k))

    def score(self, sequences: SequenceBatch) -> Float32:
        """As it scores for strangers."""
        return cast(Float32, self.service.score(self._anonymous(sequences)))
