"""From sequences padded on the left, as the world sees them, to sequences aligned to the left, as models use them."""

from __future__ import annotations

import numpy as np

from robust.errors import InputError
from robust.log import Int32, Int64, SequenceBatch


def align_left(items: Int32, context: int) -> tuple[Int64, Int64]:
    """Where the newest `context` items of each row stand.

    Args:
        items: int32 [B, L], 0 where there is none, at the left or in between.

    Returns:
        columns: int64 [B, W], the column of each row's 1st, 2nd, … item; 0 beyond its length. W ≥ 1 is the longest.
        lengths: int64 [B], at most `context`.
    """
    filled = items != 0
    present = filled.sum(axis=1)
    lengths = np.minimum(present, context).astype(np.int64)
    order = np.argsort(~filled, axis=1, kind="stable")
    place = np.arange(max(int(lengths.max(initial=0)), 1))
    columns = np.where(place < lengths[:, None], (present - lengths)[:, None] + place, 0)
    return np.take_along_axis(order, columns, axis=1).astype(np.int64), lengths


def refuse_unknown(sequences: SequenceBatch, n_items: int) -> None:
    """Raise InputError where a sequence holds an id that is neither an item nor padding."""
    items = sequences.items
    if items.size and (items.min() < 0 or items.max() > n_items):
        raise InputError(f"Item ids run from 1 to {n_items}, 0 pads; a sequence holds {items.min()}…{items.max()}.")
