"""Planted faults of services and of detectors' thresholds."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robust.defense import Callers, Detector, GuardedRecommender, ServingDefense
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Float32, Recommender, capabilities
from tests.quality.faults.defenses import GuardBase

ALLOWED = 20


class Plain(ServingDefense):
    """Sound: answers as the recommender does, `ALLOWED` times per caller."""

    name: ClassVar[str] = "plain-service"
    source: ClassVar[str] = "made for the tests"
    weaknesses: ClassVar[str] = "It counts questions, and nothing else."

    def queries_allowed(self) -> int | None:
        return ALLOWED

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        return np.where((callers.asked < ALLOWED)[:, None], lists, 0)


class AnswersByName(Plain):
    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        other = np.array(["else" in name for name in callers.ids], dtype=bool)
        return np.where(other[:, None], lists[:, ::-1], lists)


class ForgetsTheBudget(Plain):
    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        return lists


class CountsCalls(Plain):
    """Many questions in one call count as one."""

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        before = callers.asked.min(initial=0)
        return np.where(before < ALLOWED, lists, 0)


class InventsItems(Plain):
    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        return np.where(lists == lists.max(), 10_000, lists)


class Long(Detector):
    """Sound: long profiles are suspicious."""

    name: ClassVar[str] = "long"
    source: ClassVar[str] = "made for the tests"
    weaknesses: ClassVar[str] = "It looks at lengths, and at nothing else."

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return log.lengths.astype(float)


class IgnoresTheRate(Long):
    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray(suspicion >= np.quantile(suspicion, 0.97))


class TakesMoreThanTheQuantile(Long):
    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        if self.quantile is None:
            return super().suspects(suspicion, log)
        return np.asarray(suspicion >= np.quantile(suspicion, self.quantile / 2))


class NeedsMoreThanItAsks(GuardBase):
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "gradients"})

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        return GuardedRecommender(self, recommender, capabilities(recommender) & {"lists", "scores", "gradients"})


SOUND: list[Any] = [Plain(), Long()]

FAULTS: list[tuple[Any, str]] = [
    (AnswersByName(), "callers"),
    (ForgetsTheBudget(), "budget"),
    (CountsCalls(), "budget"),
    (InventsItems(), "protects"),
    (IgnoresTheRate(), "false discoveries"),
    (TakesMoreThanTheQuantile(), "quantile"),
    (NeedsMoreThanItAsks(), "needs"),
]
