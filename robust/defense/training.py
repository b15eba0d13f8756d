"""Fitting differently."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, cast

from numpy.typing import NDArray

from robust.defense.base import Cost, Defense, Stage
from robust.errors import NotApplicable
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Fittable, Recommender, capabilities


class TrainingDefense(Defense):
    """Fits differently. Authors write `train`."""

    stage: ClassVar[Stage] = "training"
    cost: ClassVar[Cost] = "longer fit"
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "fit", "loss"})

    @abstractmethod
    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` to `log`, defended: from scratch (share None), or further by `share` of its steps."""

    def restore(self, recommender: Any, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Recommender:
        """What `train` returned for `recommender`, from its own `state()`: of the same type, unless overridden."""
        restored: Recommender = type(recommender).from_state(arrays, settings)
        return restored

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender whose `fit` (and `resume`) is defended."""
        if missing := self.needs - capabilities(recommender):
            lacking = "whose objective can be changed" if "loss" in missing else "that can be fitted"
            raise NotApplicable(f"training defence '{self.name}' needs a recommender {lacking}")
        return DefendedTraining(self, cast(Fittable, recommender))


class DefendedTraining:
    """A recommender that will be trained by a defence. Fitting returns a plain recommender with defended weights."""

    def __init__(self, defense: TrainingDefense, recommender: Fittable) -> None:
        self.defense, self.recommender = defense, recommender
        self.n_items = recommender.n_items
        self.capabilities: frozenset[Capability] = capabilities(recommender) & {"lists", "fit", "resume"}

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """Fitted from scratch."""
        return self.defense.train(self.recommender, log, seed=seed, share=None)

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Recommender:
        """Trained further."""
        return self.defense.train(self.recommender, log, seed=seed, share=share)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """As the plain recommender does."""
        return self.recommender.recommend(sequences, k)
