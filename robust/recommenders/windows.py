"""A log cut into training windows, and windows gathered into batches, without a loop over users or rows.

A window is a run of consecutive rows of one user: each row is an input, the row after it the target. A user with more
rows than fit into the context has several, so that every row is trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.log import Bool, Int32, Int64, InteractionLog

_POOL = 32


@dataclass(frozen=True)
class Windows:
    """The windows of one epoch: window w predicts rows first[w] + 1 … first[w] + length[w]."""

    first: Int64
    length: Int64


@dataclass(frozen=True)
class Batch:
    """Windows side by side, items aligned to the left.

    Attributes:
        items: int32 [B, L], 0 beyond a window's end. targets: int32 [B, L], the next item, 0 where there is none.
        lengths: int64 [B]. users: int64 [B], whose windows they are.
    """

    items: Int32
    targets: Int32
    lengths: Int64
    users: Int64

    @property
    def mask(self) -> Bool:
        """bool [B, L], True at items."""
        filled: Bool = self.items != 0
        return filled


def cut(log: InteractionLog, context: int, rng: np.random.Generator) -> Windows:
    """Windows of at most `context` inputs that cover every row which has a successor exactly once.

    A user who fits into one window has one. A longer one is cut at a random place, drawn anew for every epoch, so
    that over the epochs each row is seen at many distances from a window's end.
    """
    pairs = np.maximum(log.lengths - 1, 0)
    # drawn for users who have rows only: one whose rows were all removed leaves no trace in the others
    cuts = np.zeros(log.n_users, dtype=np.int64)
    cuts[log.lengths > 0] = rng.integers(context, size=int((log.lengths > 0).sum()))
    last = np.where(pairs > context, context - cuts, pairs)
    count = np.where(pairs > 0, 1 + -(-(pairs - last) // context), 0)
    user = np.repeat(np.arange(log.n_users), count)
    from_end = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    stop = pairs[user] - np.where(from_end > 0, last[user] + (from_end - 1) * context, 0)
    start = np.maximum(pairs[user] - last[user] - from_end * context, 0)
    return Windows(log.offsets[user] + start, stop - start)


def batches(log: InteractionLog, windows: Windows, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """All windows in random order, `size` to a batch, similar lengths together so that little is padding."""
    order = rng.permutation(len(windows.first))
    pool = np.arange(len(order)) // (size * _POOL)
    order = order[np.lexsort((windows.length[order], pool))]
    starts = np.arange(0, len(order), size)
    for start in rng.permutation(starts):
        chosen = order[start : start + size]
        yield gather(log, windows.first[chosen], windows.length[chosen])


def gather(log: InteractionLog, first: Int64, length: Int64) -> Batch:
    """The windows as one batch."""
    place = np.arange(int(length.max()))
    valid = place < length[:, None]
    index = np.where(valid, first[:, None] + place, 0)
    items: Int32 = np.where(valid, log.item[index], 0)
    targets: Int32 = np.where(valid, log.item[np.where(valid, index + 1, 0)], 0)
    users = np.searchsorted(log.offsets, first, side="right") - 1
    return Batch(items, targets, length, users.astype(np.int64))


@dataclass(frozen=True)
class Holdout:
    """A validation set made out of the log that a fit was given.

    Attributes:
        train: the log without the held-out rows. users: int64 [V]. targets: int32 [V], the last item of each.
    """

    train: InteractionLog
    users: NDArray[np.int64]
    targets: Int32


def hold_out(log: InteractionLog, share: float, at_most: int, rng: np.random.Generator) -> Holdout:
    """Hold out the last item of a random `share` of the users who have at least three, `at_most` of them."""
    eligible = np.flatnonzero(log.lengths >= 3)
    users = np.sort(rng.choice(eligible, size=min(int(share * len(eligible)), at_most), replace=False))
    rows = log.offsets[users + 1] - 1
    keep = np.ones(len(log), dtype=bool)
    keep[rows] = False
    return Holdout(log.rows(keep), users, log.item[rows])
