"""The best forms of each user's sequence, as a search finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32, Int64

Float64 = NDArray[np.float64]


def leading(rows: Int64, values: Float64, count: int | None) -> NDArray[np.intp]:
    """Indices of the `count` largest values of each row (None: of all), row after row, the first of equals first."""
    order = np.lexsort((-values, rows))
    if count is None:
        return order
    group = rows[order]
    first = np.searchsorted(group, group, side="left")
    return order[np.arange(len(order)) - first < count]


class Pool:
    """The `width` best different forms of each row (None: all of them).

    Attributes:
        rows: int64 [P], ascending. items: int32 [P, W]. values: float64 [P], falling within a row.
    """

    def __init__(self, width: int | None, columns: int) -> None:
        self.width = width
        self.rows, self.values = np.zeros(0, np.int64), np.zeros(0)
        self.items = np.zeros((0, columns), np.int32)

    def offer(self, rows: Int64, items: Int32, values: Float64) -> None:
        """Keep what of these forms [R, W] belongs to the best."""
        rows, values = np.concatenate([self.rows, rows]), np.concatenate([self.values, values])
        items = np.concatenate([self.items, items])
        kept = _different(rows, items)
        kept = kept[leading(rows[kept], values[kept], self.width)]
        self.rows, self.items, self.values = rows[kept], items[kept], values[kept]


def _different(rows: Int64, items: Int32) -> NDArray[np.intp]:
    """Indices of the first of each set of equal forms of one row, ascending."""
    keyed = np.ascontiguousarray(np.column_stack([rows.astype(np.int32), items]))
    as_bytes: NDArray[Any] = keyed.view(np.dtype((np.void, keyed.shape[1] * keyed.itemsize))).ravel()
    return np.sort(np.unique(as_bytes, return_index=True)[1])


class Best:
    """The best form of each row so far, at first the clean one.

    Attributes:
        items: int32 [B, W]. values: float64 [B], above the clean form's.
    """

    def __init__(self, clean: Int32) -> None:
        self.items, self.values = clean.copy(), np.zeros(len(clean))

    def offer(self, rows: Int64, items: Int32, values: Float64) -> None:
        """Keep what is better than what is known; `rows` name each row once at most."""
        better = values > self.values[rows]
        self.items[rows[better]], self.values[rows[better]] = items[better], values[better]
