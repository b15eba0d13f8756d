"""Dropping positions one at a time, the worst first, since neighbours look different once it is gone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robust.defense import close_gaps
from robust.log import Int32

LEAST = 3
"""The shortest sequence in which a position can be told apart from its neighbours."""


def drop_worst_first(
    items: Int32, badness: Callable[[Int32], NDArray[np.float64]], threshold: float, most: float
) -> Int32:
    """int32 [B, L], `items` with 0 where a position was dropped.

    The position of most badness above the threshold goes, its neighbours close up, and so on, max(1, ⌊`most` · length⌋)
    times; sequences of fewer than `LEAST` items are left alone.

    Args:
        badness: float64 [b, L] of gap-free items [b, L], −∞ at padding.
    """
    kept = items.copy()
    lengths = np.count_nonzero(items, axis=1)
    allowed = np.maximum((most * lengths + 1e-9).astype(np.int64), 1)
    rows = np.flatnonzero(lengths >= LEAST)
    for drop in range(int(allowed.max(initial=0))):
        rows = rows[allowed[rows] > drop]
        if len(rows) == 0:
            break
        # where each position of the gap-free form stood
        place = np.argsort(kept[rows] != 0, axis=1, kind="stable")
        found = badness(close_gaps(kept[rows]))
        worst = found.argmax(axis=1)[:, None]
        over = np.take_along_axis(found, worst, axis=1)[:, 0] > threshold
        rows, columns = rows[over], np.take_along_axis(place, worst, axis=1)[over, 0]
        kept[rows, columns] = 0
    return kept
