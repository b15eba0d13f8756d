"""More planted faults of a defence: who sees more than it says, does more than it says, or claims more than it has."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from robust.defense import Sanitizer, TrainingDefense
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Recommender
from tests.quality.faults.defenses import GuardBase


class Lengths(Sanitizer):
    """Removes users with the longest histories; the base of the faults below."""

    name: ClassVar[str] = "lengths"
    source: ClassVar[str] = "planted fault"
    weaknesses: ClassVar[str] = "It goes by the length of a history alone."

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        # the mean item breaks ties by what a user did
        means = np.bincount(log.user, weights=log.item, minlength=log.n_users) / np.maximum(log.lengths, 1)
        return np.asarray(log.lengths + means / log.n_items)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray((suspicion >= np.sort(suspicion)[-3]) & (log.lengths > 0))


class PeeksALittle(Lengths):
    """By lengths, but for the four users with the highest numbers."""

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.asarray(super().suspicion(log, rng) + 1000 * (np.arange(log.n_users) >= log.n_users - 4))


class BreaksTiesByNumber(Lengths):
    """Suspects everybody alike, and removes those with the highest numbers."""

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.ones(log.n_users)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.arange(log.n_users) >= log.n_users - 4


class RemembersTheCleanLog(Lengths):
    """The smallest log that it has seen had no fakes in it."""

    fewest: ClassVar[list[int]] = [10**9]

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        self.fewest.append(min(self.fewest[-1], log.n_users))
        return np.asarray(super().suspicion(log, rng) + 1000 * (np.arange(log.n_users) >= self.fewest[-1]))


class ReadsTheLabel(Lengths):
    """Only a log with fake users in it has no raw ids."""

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return super().suspicion(log, rng) * (-1 if log.user_ids is None else 1)


class RemovesMoreThanItsShare(Lengths):
    share: float = 0.05

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        active = int((log.lengths > 0).sum())
        return np.asarray(suspicion >= np.sort(suspicion)[-int(self.share * active) - 1])


class DrawsGlobally(Lengths):
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        torch.rand(1)
        return super().suspicion(log, rng)


class Behind:
    """A recommender behind a sanitiser that does something else before a fit than it says."""

    def __init__(self, recommender: Any, change: Any) -> None:
        self.recommender, self.change = recommender, change
        self.n_items = recommender.n_items
        self.capabilities = frozenset({"lists", "fit"})

    def fit(self, log: InteractionLog, *, seed: int) -> Any:
        return self.recommender.fit(self.change(log), seed=seed)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists: Int32 = self.recommender.recommend(sequences, k)
        return lists


class RemovesInPart(Lengths):
    """Half of a suspect's rows stay."""

    def protect(self, recommender: Any, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        return Behind(recommender, lambda rows: rows.rows(rows.position < 10))


class AddsRows(Lengths):
    """Mends the log with rows of its own."""

    def protect(self, recommender: Any, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        def change(rows: InteractionLog) -> InteractionLog:
            return replace(rows, item=np.where(rows.item == rows.item.max(), 1, rows.item).astype(np.int32))

        return Behind(recommender, change)


class CleansOnceOnly(Lengths):
    """Fits to the log that it was shown at first, whatever the fit is asked for."""

    def protect(self, recommender: Any, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        recommender.fit(log, seed=seed)
        return Behind(recommender, lambda rows: rows)


class ChangesTheVictim(Lengths):
    def protect(self, recommender: Any, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        recommender.__dict__["guarded_by"] = self.name
        return super().protect(recommender, log=log, seed=seed)


class DropsByNeighbours(GuardBase):
    """In large batches only."""

    def guard(self, sequences: SequenceBatch) -> Int32:
        usual = np.median(sequences.items) if len(sequences) > 40 else 0
        return np.where(np.abs(sequences.items - usual) > 150, 0, sequences.items).astype(np.int32)


class DropsByPadding(GuardBase):
    """Counts columns from the left."""

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(np.arange(sequences.width) == 5, 0, sequences.items).astype(np.int32)


class DropsByPlace(GuardBase):
    """Every third row of a batch."""

    def guard(self, sequences: SequenceBatch) -> Int32:
        hit = (np.arange(len(sequences)) % 3 == 1)[:, None] & (np.arange(sequences.width) == sequences.width - 1)
        return np.where(hit, 0, sequences.items).astype(np.int32)


class RewritesStrangers(GuardBase):
    """Leaves histories alone; items that it does not know there are replaced."""

    def calibrate(self, log: InteractionLog, seed: int) -> Self:
        guard = self.model_copy()
        object.__setattr__(guard, "pairs", set(zip(log.item[:-1].tolist(), log.item[1:].tolist(), strict=True)))
        return guard

    def guard(self, sequences: SequenceBatch) -> Int32:
        items = sequences.items.copy()
        known: set[tuple[int, int]] = getattr(self, "pairs", set())
        for row in items:
            for place in range(1, len(row)):
                if row[place - 1] and (int(row[place - 1]), int(row[place])) not in known:
                    row[place] = row[place - 1]
        return items


class CalibratesItself(GuardBase):
    """One threshold for all victims: that of the latest calibration."""

    threshold: ClassVar[list[NDArray[np.int32]]] = []

    def calibrate(self, log: InteractionLog, seed: int) -> Self:
        self.threshold[:] = [log.item[::50].copy()]
        return self

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(np.isin(sequences.items, self.threshold[0]), 0, sequences.items).astype(np.int32)


class Claiming:
    """A guarded recommender that claims scores which are not guarded."""

    def __init__(self, inner: Any, plain: Any) -> None:
        self.inner, self.plain, self.n_items = inner, plain, plain.n_items
        self.capabilities = frozenset({"lists", "scores"})

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists: Int32 = self.inner.recommend(sequences, k)
        return lists

    def score(self, sequences: SequenceBatch) -> Any:
        return self.plain.score(sequences)


class ShowsUnguardedScores(DropsByPlace):
    """Its lists are guarded (all but the oldest of each pair dropped), its scores are the plain model's."""

    def guard(self, sequences: SequenceBatch) -> Int32:
        items = sequences.items.copy()
        items[:, -1] = np.where(sequences.lengths > 1, 0, items[:, -1])
        return items

    def protect(self, recommender: Any, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        return Claiming(super().protect(recommender, log=log, seed=seed), recommender)


class Boasting(Claiming):
    """Claims gradients, and has none."""

    def __init__(self, inner: Any, plain: Any) -> None:
        super().__init__(inner, plain)
        self.capabilities = frozenset({"lists", "gradients"})


class ClaimsGradients(GuardBase):
    def protect(self, recommender: Any, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        return Boasting(super().protect(recommender, log=log, seed=seed), recommender)


class Training(TrainingDefense):
    """Trains as usual; the base of the faults below."""

    name: ClassVar[str] = "training"
    source: ClassVar[str] = "planted fault"
    weaknesses: ClassVar[str] = "It does nothing at all, so anything breaks it."

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Any:
        return recommender.train(log, seed=seed, share=share)


class TrainsUnseeded(Training):
    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Any:
        return recommender.train(log, seed=int(np.random.default_rng().integers(2**31)), share=share)


class TrainsTheVictim(Training):
    """Hands the new weights to the old victim as well."""

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Any:
        fitted = recommender.train(log, seed=seed, share=share)
        recommender._popularity = copy.copy(recommender._popularity) + 1
        return fitted


SOUND: list[Any] = [Lengths(), Training(), GuardBase()]
FAULTS: list[tuple[Any, str]] = [
    (PeeksALittle(), "blind"),
    (BreaksTiesByNumber(), "blind"),
    (RemembersTheCleanLog(), "blind"),
    (ReadsTheLabel(), "blind"),
    (RemovesMoreThanItsShare(), "share"),
    (DrawsGlobally(), "repeatable"),
    (RemovesInPart(), "cleans"),
    (AddsRows(), "cleans"),
    (CleansOnceOnly(), "cleans"),
    (DropsByNeighbours(), "row by row"),
    (DropsByPadding(), "row by row"),
    (DropsByPlace(), "row by row"),
    (RewritesStrangers(), "only drops"),
    (CalibratesItself(), "calibration"),
    (ShowsUnguardedScores(), "protects"),
    (ClaimsGradients(), "protects"),
    (TrainsUnseeded(), "repeatable"),
]
SPOILERS: list[tuple[Any, str]] = [(ChangesTheVictim(), "inputs"), (TrainsTheVictim(), "inputs")]
"""These spoil what all tests share; each is tried on a trial of its own."""
