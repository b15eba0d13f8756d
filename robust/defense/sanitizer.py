"""Cleaning a log before a fit."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, cast, final

import numpy as np
from numpy.typing import NDArray

from robust.defense.base import Cost, Defense, Stage
from robust.errors import NotApplicable, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Fittable, Recommender, Resumable, capabilities


class Sanitizer(Defense):
    """Cleans the log before a fit."""

    stage: ClassVar[Stage] = "log"
    cost: ClassVar[Cost] = "pass over the log"
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "fit"})

    @abstractmethod
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        """float64 [n_users], higher is more suspicious. Never told who is fake."""

    @abstractmethod
    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        """bool [n_users], whose rows are removed."""

    @final
    def examine(self, log: InteractionLog, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Suspicion, float64 [n_users], and whose rows are removed for it, bool [n_users].

        Raises:
            RobustError: nothing would be left, or the suspicion has a wrong shape or NaN.
        """
        suspicion = np.asarray(self.suspicion(log, rng), dtype=np.float64)
        if suspicion.shape != (log.n_users,) or np.isnan(suspicion).any():
            raise RobustError(
                f"Sanitiser '{self.name}' returned suspicion of shape {suspicion.shape} "
                f"({int(np.isnan(suspicion).sum())} NaN), expected ({log.n_users},) without NaN."
            )
        flagged = np.asarray(self.suspects(suspicion, log), dtype=bool)
        if not (log.lengths[~flagged] > 0).any():
            raise RobustError(f"Sanitiser '{self.name}' would remove every user; lower its share.")
        return suspicion, flagged

    @final
    def clean(self, log: InteractionLog, rng: np.random.Generator) -> InteractionLog:
        """The log without the suspects' rows; vocabularies stay, and removed users are still evaluated.

        Raises:
            RobustError: nothing would be left, or the suspicion has a wrong shape or NaN.
        """
        return log.without_users(self.examine(log, rng)[1])

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender whose `fit` (and `resume`) cleans the log first."""
        if "fit" not in capabilities(recommender):
            raise NotApplicable(f"sanitiser '{self.name}' needs a recommender that can be fitted")
        return SanitizedRecommender(self, cast(Fittable, recommender), seed)


class SanitizedRecommender:
    """A fittable recommender behind a sanitiser. Fitting returns the plain recommender, fitted to the cleaned log."""

    def __init__(self, sanitizer: Sanitizer, recommender: Fittable, seed: int) -> None:
        self.sanitizer, self.recommender, self.seed = sanitizer, recommender, seed
        self.n_items = recommender.n_items
        self.capabilities: frozenset[Capability] = capabilities(recommender) & {"lists", "fit", "resume"}

    def examine(self, log: InteractionLog) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Suspicion of every user, and whose rows the fit will not see."""
        return self.sanitizer.examine(log, np.random.default_rng([self.seed, 0x5A]))

    def clean(self, log: InteractionLog) -> InteractionLog:
        """What the fit will see."""
        return log.without_users(self.examine(log)[1])

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The recommender fitted to the cleaned log."""
        return self.recommender.fit(self.clean(log), seed=seed)

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Recommender:
        """The recommender trained further on the cleaned log."""
        return cast(Resumable, self.recommender).resume(self.clean(log), seed=seed, share=share)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """As the plain recommender does: a sanitiser acts on the log only."""
        return self.recommender.recommend(sequences, k)
