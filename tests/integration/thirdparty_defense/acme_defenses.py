"""Known pairs: what never stood beside either of its neighbours in the train rows is not ranked by.

    drop x_i  if  n(x_{i−1}, x_i) < fewest  and  n(x_i, x_{i+1}) < fewest,   n: how often two items are neighbours

in the rows that the guard is calibrated on; an end has one neighbour, and a sequence of fewer than three items is left
alone, since of two items that do not fit nobody can say which is wrong.

Source: an example; after the invariants of Forrest et al., "A Sense of Self for Unix Processes", S&P 1996, which call a
run of system calls foreign that holds a pair never seen.

Known deviations: Forrest et al. count pairs within a window; here neighbours only.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from robust.defense import InputGuard
from robust.errors import RobustError
from robust.log import Int32, InteractionLog, SequenceBatch


class KnownPairs(InputGuard):
    """Drops items that are strangers to both of their neighbours.

    Attributes:
        fewest: how often two items must have been neighbours to know each other.
    """

    name: ClassVar[str] = "known-pairs"
    source: ClassVar[str] = "example; after Forrest et al., S&P 1996"
    assumptions: ClassVar[str] = "Genuine sequences repeat the transitions of the train rows; an attacker does not."
    weaknesses: ClassVar[str] = (
        "Whoever knows the train rows, or asks often enough, finds substitutes that follow their neighbours. What is "
        "genuine and new is dropped, too."
    )

    fewest: int = Field(default=1, ge=1)

    _pairs: NDArray[np.int64] | None = PrivateAttr(default=None)
    _size: int = PrivateAttr(default=1)

    def calibrate(self, log: InteractionLog, seed: int) -> KnownPairs:
        """A guard that has seen these rows; this one stays as it is. Nothing is drawn, so `seed` goes unused."""
        guard = self.model_copy()
        guard._size = log.n_items + 1
        follows = log.user[1:] == log.user[:-1]
        pairs = guard._key(log.item[:-1][follows], log.item[1:][follows])
        found, often = np.unique(pairs, return_counts=True)
        guard._pairs = found[often >= self.fewest]
        return guard

    def guard(self, sequences: SequenceBatch) -> Int32:
        """int32 [B, L], strangers 0.

        Raises:
            RobustError: the guard has not been calibrated.
        """
        if self._pairs is None:
            raise RobustError(f"Guard '{self.name}' has not seen a log: call calibrate(log, seed) first.")
        items = sequences.items
        first, second = items[:, :-1], items[:, 1:]
        linked = (first != 0) & (second != 0)
        known = linked & np.isin(self._key(first, second), self._pairs)
        has, knows = np.zeros(items.shape, dtype=bool), np.zeros(items.shape, dtype=bool)
        for beside, told in ((linked, has), (known, knows)):
            told[:, 1:] |= beside
            told[:, :-1] |= beside
        strange = has & ~knows & (sequences.lengths >= 3)[:, None]
        return np.where(strange, 0, items).astype(np.int32)

    def _key(self, first: Int32, second: Int32) -> NDArray[np.int64]:
        return first.astype(np.int64) * self._size + second
