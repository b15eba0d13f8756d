"""Planted faults of a defence: the first nine."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robust.defense import InputGuard, Sanitizer
from robust.log import Int32, InteractionLog, SequenceBatch


class Peeks(Sanitizer):
    """Fakes are appended, so the highest numbers are theirs."""

    name: ClassVar[str] = "peeks"
    source: ClassVar[str] = "planted fault"
    weaknesses: ClassVar[str] = "It works in an evaluation only, where fakes come last."

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.arange(log.n_users, dtype=float)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray(suspicion >= np.quantile(suspicion, 0.95))


class RemovesTheInnocent(Peeks):
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return log.lengths.astype(float)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray(suspicion <= np.quantile(suspicion, 0.05))


class RemovesAtRandom(Peeks):
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.random.default_rng().random(log.n_users)


class HasNoWeakness(RemovesTheInnocent):
    weaknesses: ClassVar[str] = ""


class GuardBase(InputGuard):
    name: ClassVar[str] = "guard"
    source: ClassVar[str] = "planted fault"
    weaknesses: ClassVar[str] = "It is a planted fault, and guards nothing."

    def calibrate(self, log: InteractionLog, seed: int) -> InputGuard:
        return self

    def guard(self, sequences: SequenceBatch) -> Int32:
        return sequences.items.copy()


class PutsItemsIn(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.maximum(sequences.items, 1)


class MovesItems(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.roll(sequences.items, 1, axis=1)


class DropsTooMuch(GuardBase):
    rate: float = 0.01

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(sequences.items % 5 == 0, 0, sequences.items).astype(np.int32)


class LooksAtTheBatch(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        usual = np.median(sequences.items)
        return np.where(np.abs(sequences.items - usual) > 60, 0, sequences.items).astype(np.int32)


class LooksAtUsers(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        suspect = (sequences.users % 3 == 0)[:, None]
        keep = ~suspect | (np.arange(sequences.width) == sequences.width - 1)
        return np.where(keep, sequences.items, 0).astype(np.int32)


FAULTS: list[tuple[Any, str]] = [
    (Peeks(), "blind"),
    (RemovesTheInnocent(), "suspicion"),
    (RemovesAtRandom(), "repeatable"),
    (HasNoWeakness(), "metadata"),
    (PutsItemsIn(), "only drops"),
    (MovesItems(), "only drops"),
    (DropsTooMuch(), "clean rate"),
    (LooksAtTheBatch(), "row by row"),
    (LooksAtUsers(), "row by row"),
]
