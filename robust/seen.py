"""Which items each evaluated user held before anybody attacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.log import Bool, Int32, Int64, InteractionLog


@dataclass(frozen=True)
class Seen:
    """Which items each evaluated user holds in the *clean* train rows (CSR), so that an attack cannot change the mask.

    Attributes:
        offsets: int64 [n + 1]. items: int32, each user's distinct items, sorted.
    """

    offsets: Int64
    items: Int32

    @classmethod
    def of(cls, log: InteractionLog, users: NDArray[np.integer[Any]]) -> Seen:
        """The holdings of these users."""
        pairs = np.unique(log.user.astype(np.int64) * (log.n_items + 1) + log.item)
        owner, item = np.divmod(pairs, log.n_items + 1)
        bounds = np.searchsorted(owner, np.arange(log.n_users + 1))
        starts, stops = bounds[users], bounds[np.asarray(users) + 1]
        offsets = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
        index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], stops - starts)
        return cls(offsets, item[index].astype(np.int32))

    def padded(self, start: int, stop: int) -> Int32:
        """int32 [stop − start, longest], 0-padded."""
        lengths = np.diff(self.offsets[start : stop + 1])
        held = np.zeros((stop - start, max(int(lengths.max(initial=0)), 1)), dtype=np.int32)
        row = np.repeat(np.arange(stop - start), lengths)
        column = np.arange(len(row)) - np.repeat(self.offsets[start:stop] - self.offsets[start], lengths)
        held[row, column] = self.items[self.offsets[start] : self.offsets[stop]]
        return held

    def holds(self, items: tuple[int, ...]) -> Bool:
        """bool [n, len(items)], who holds which of these items."""
        held = np.zeros((len(self.offsets) - 1, len(items)), dtype=bool)
        row = np.repeat(np.arange(len(held)), np.diff(self.offsets))
        for column, item in enumerate(items):
            held[row[self.items == item], column] = True
        return held
