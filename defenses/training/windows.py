"""Changes to batches of training windows: what is left of each after some of its items are dropped, cut or reordered.

All take a batch whose windows are aligned to the left and leave one of the same kind; the log itself is not touched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robust.log import Bool, Int64
from robust.recommenders.windows import Batch


def delete(batch: Batch, drop: Bool, rng: np.random.Generator) -> Batch:
    """The windows without the items marked in `drop` [B, L]; one that would lose all keeps its newest.

    An item that stays is asked for one of the true next items between it and the next that stays, drawn uniformly: as
    a history that ends there, of which the newest items may have been dropped.
    """
    rows, width = np.arange(len(batch.items)), batch.items.shape[1]
    keep = batch.mask & ~drop
    keep[rows, batch.lengths - 1] |= ~keep.any(axis=1)
    place = np.arange(width)
    # the next kept place after each, or the window's end
    following = np.minimum.accumulate(np.where(keep, place, width)[:, ::-1], axis=1)[:, ::-1]
    following = np.concatenate([following[:, 1:], np.full((len(rows), 1), width)], axis=1)
    run = np.minimum(following, batch.lengths[:, None]) - place
    asked = place + (rng.random(keep.shape) * np.maximum(run, 1)).astype(np.int64)
    targets = np.take_along_axis(batch.targets, np.minimum(asked, width - 1), axis=1)
    return _packed(batch, keep, targets)


def crop(batch: Batch, length: Int64, rng: np.random.Generator) -> Batch:
    """A run of `length` [B] consecutive items of each window, from a random place."""
    first = (rng.random(len(length)) * (batch.lengths - length + 1)).astype(np.int64)
    place = np.arange(batch.items.shape[1])
    keep = (place >= first[:, None]) & (place < (first + length)[:, None])
    return _packed(batch, keep, batch.targets)


def reorder(batch: Batch, length: Int64, rng: np.random.Generator) -> Batch:
    """A run of `length` [B] consecutive items of each window in random order; the newest target stays where it is."""
    first = (rng.random(len(length)) * (batch.lengths - length + 1)).astype(np.int64)
    place = np.arange(batch.items.shape[1])
    inside = (place >= first[:, None]) & (place < (first + length)[:, None])
    # a random key within the run, drawn from its own range, so that everything else stays in order
    key = np.where(inside, first[:, None] + rng.random(batch.items.shape) * length[:, None], place)
    items = np.take_along_axis(batch.items, np.argsort(key, axis=1), axis=1)
    newest = batch.targets[np.arange(len(items)), batch.lengths - 1]
    targets = np.concatenate([items[:, 1:], np.zeros_like(items[:, :1])], axis=1)
    targets[np.arange(len(items)), batch.lengths - 1] = newest
    return Batch(items, targets, batch.lengths, batch.users)


def share_of(lengths: Int64, share: NDArray[np.float64] | float) -> Int64:
    """int64 [B], this share of each length, rounded down, at least one."""
    shares: Int64 = np.maximum(np.floor(lengths * share + 1e-9), 1).astype(np.int64)
    return shares


def _packed(batch: Batch, keep: Bool, targets: NDArray[np.int32]) -> Batch:
    """The kept places of each window, moved to the left in order; columns that nobody needs are left out."""
    lengths = keep.sum(axis=1).astype(np.int64)
    order = np.argsort(~keep, axis=1, kind="stable")[:, : int(lengths.max())]
    valid = np.arange(order.shape[1]) < lengths[:, None]
    items = np.where(valid, np.take_along_axis(batch.items, order, axis=1), 0)
    asked = np.where(valid, np.take_along_axis(targets, order, axis=1), 0)
    return Batch(items, asked, lengths, batch.users)
