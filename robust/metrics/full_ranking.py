"""Ranks and top-K lists over the whole catalogue, never over sampled negatives (Krichene & Rendle, KDD 2020).

A rank is found by counting the scores above it, which costs a pass over the row and no sort. Ties go against the
defender: the true item loses them, a promoted target wins them, a demoted one loses them. Scores are float
[B, n_items + 1]; column 0 is padding and is never read. −inf means "cannot be recommended". The caller has refused
NaN before (it would compare as lower than everything).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]
Ids = NDArray[np.integer[Any]]

MISS = 2**31 - 1
"""The rank of what is not in the ranking at all: larger than any rank, and small enough for int32."""


def top_k(scores: Scores, k: int) -> Int32:
    """The k best items of each row, best first; equal scores go to the lower id.

    Deterministic, and a prefix of `top_k(scores, k + 1)`.

    Args:
        scores: float [B, n_items + 1].

    Returns:
        int32 [B, k]; what has a score of −inf, and what lies beyond n_items, is 0.
    """
    if k < 1:
        raise InputError(f"K = {k}: a list has at least one place.")
    items = scores[:, 1:]
    rows, n_items = items.shape
    taken = min(k, n_items)
    lists = np.zeros((rows, k), dtype=np.int32)
    if rows == 0 or taken == 0:
        return lists
    # negated, since numpy selects from the low end five times faster where most scores are equal
    threshold = -np.partition(-items, taken - 1, axis=1)[:, taken - 1, None]
    chosen = items >= threshold
    # Where more items tie at the threshold than there are places left, the lowest ids among them take the places.
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > taken)
    if len(crowded):
        above = items[crowded] > threshold[crowded]
        tied = chosen[crowded] & ~above
        places = taken - np.count_nonzero(above, axis=1)
        chosen[crowded] = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= places[:, None]))
    column = (np.flatnonzero(chosen) % n_items).reshape(rows, taken)  # ascending ids, exactly `taken` in each row
    value = np.take_along_axis(items, column, axis=1)
    order = np.argsort(-value, axis=1, kind="stable")
    best, value = np.take_along_axis(column, order, axis=1), np.take_along_axis(value, order, axis=1)
    lists[:, :taken] = np.where(np.isneginf(value), 0, best + 1)
    return lists


def mask_seen(scores: Scores, seen: Ids, *, keep: Ids | None = None) -> None:
    """Set the scores of seen items to −inf, in place.

    Under "exclude" a true next item that the user has seen before is a miss by definition: no list would hold it.
    `keep` is for protocols that except it.

    Args:
        scores: float [B, n_items + 1], changed.
        seen: int [B, L], 0-padded.
        keep: int [B], one item of each row whose score stays as it is.
    """
    row = np.arange(len(scores))
    kept = None if keep is None else scores[row, keep].copy()
    scores[row[:, None], seen] = -np.inf  # padding masks column 0, which nobody reads
    if kept is not None:
        scores[row, keep] = kept


def rank_of_truth(scores: Scores, truth: Ids) -> Int64:
    """int64 [B], 1 + #{v ≠ y: s_v ≥ s_y} for the true items y [B]; `MISS` where y is 0 (none) or cannot be listed."""
    return _ranks(scores, truth[:, None], wins_ties=False)[:, 0]


def rank_of_promoted(scores: Scores, targets: Ids) -> Int64:
    """int64 [B, T], 1 + #{v ≠ t: s_v > s_t} for targets [B, T]: the attacker wants them high, so they win ties.

    Two targets with equal scores share a rank.
    """
    return _ranks(scores, targets, wins_ties=True)


def rank_of_demoted(scores: Scores, targets: Ids) -> Int64:
    """int64 [B, T], 1 + #{v ≠ t: s_v ≥ s_t} for targets [B, T]: the attacker wants them low, so they lose ties."""
    return _ranks(scores, targets, wins_ties=False)


def _ranks(scores: Scores, targets: Ids, *, wins_ties: bool) -> Int64:
    ranks = np.empty(targets.shape, dtype=np.int64)
    row = np.arange(len(scores))
    for column in range(targets.shape[1]):
        item = targets[:, column]
        own = scores[row, item]
        if wins_ties:
            above = 1 + np.count_nonzero(scores[:, 1:] > own[:, None], axis=1)
        else:
            above = np.count_nonzero(scores[:, 1:] >= own[:, None], axis=1)  # counts the item itself: the 1 of the rank
        # written so that NaN, should one come this far, is a miss and not a rank of 0
        ranks[:, column] = np.where((item != 0) & (own > -np.inf), above, MISS)
    return ranks


def rank_in_lists(lists: Ids, truth: Ids) -> Int64:
    """int64 [B], the place from 1 of the items `truth` [B] in lists [B, K]; `MISS` where one is not listed, or is 0."""
    found = (lists == truth[:, None]) & (truth[:, None] != 0)
    place = np.where(found, np.arange(1, lists.shape[1] + 1), MISS)
    ranks: Int64 = place.min(axis=1, initial=MISS).astype(np.int64)
    return ranks
