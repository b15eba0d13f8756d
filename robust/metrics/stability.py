"""How far two lists for the same user agree: rank-biased overlap cut at K, and Jaccard; their mean over users is RLS.

With A and B the two lists, each item at most once:

    FRBO@K     (1 − p) / (1 − p^m) · Σ_{d = 1 … m} p^(d − 1) |A_{1:d} ∩ B_{1:d}| / d
    Jaccard@K  |A_{1:K} ∩ B_{1:K}| / |A_{1:K} ∪ B_{1:K}|
    RLS        the mean over users of either: Rank List Sensitivity (Oh et al., CIKM 2022, arXiv 2201.12686)

FRBO, finite rank-biased overlap, is from Betello et al., ECIR 2024 (arXiv 2307.13165): the rank-biased overlap of
Webber et al., TOIS 2010, scaled so that equal lists have 1. Disjoint lists have 0 in both. In lists of the whole
catalogue the scale is 1 to within p^n_items, so FRBO is then the rank-biased overlap itself.

Known deviations: m = K in the paper. A list may be shorter (fewer items to recommend, a refusal); here m is the length
of the longer of the two, K at most, so that equal short lists have 1 and a short list is not equal to a longer one that
it begins. The released function forgets the factor 1 / (1 − p^K) there: two equal lists of 5 have .4095 at K = 20. Two
empty lists agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError
from robust.log import Int64
from robust.metrics.ranking import Float

Lists = NDArray[np.integer[Any]]


def frbo(first: Lists, second: Lists, k: int, p: float = 0.9) -> Float:
    """Finite rank-biased overlap: float64 [B] in [0, 1].

    Args:
        first, second: int [B, K'], best first, padded with 0 at the end; what stands beyond place k is not looked at.
        p: weight of each place relative to the one before.

    Raises:
        InputError: lists of unequal shape, k below 1, p outside (0, 1).
    """
    if not 0 < p < 1:
        raise InputError(f"The weight p lies between 0 and 1, got {p}.")
    a, b = _cut(first, second, k)
    depth = np.arange(1, a.shape[1] + 1)
    terms = p ** (depth - 1) * _overlaps(a, b) / depth
    longer = _longer(a, b)
    counted = np.where(depth <= longer[:, None], terms, 0.0).sum(axis=1)
    return np.where(longer > 0, (1 - p) / (1 - p ** np.maximum(longer, 1)) * counted, 1.0)


def jaccard(first: Lists, second: Lists, k: int) -> Float:
    """Shared items over all items of the two lists: float64 [B] in [0, 1], whatever their order; see `frbo`."""
    a, b = _cut(first, second, k)
    shared = _overlaps(a, b)[:, -1]
    either = np.count_nonzero(a, axis=1) + np.count_nonzero(b, axis=1) - shared
    return np.where(either > 0, shared / np.maximum(either, 1), 1.0)


def rank_list_sensitivity(
    first: Lists, second: Lists, k: int, similarity: Callable[[Lists, Lists, int], Float] = frbo
) -> float:
    """The mean similarity over users, 1 if no list changes; despite its name a stability."""
    return float(similarity(first, second, k).mean())


def _cut(first: Lists, second: Lists, k: int) -> tuple[Lists, Lists]:
    if first.ndim != 2 or first.shape != second.shape or first.shape[1] == 0:
        raise InputError(f"Two sets of lists have one shape [B, K]; got {first.shape} and {second.shape}.")
    if k < 1:
        raise InputError(f"K = {k}: a list has at least one place.")
    return first[:, :k], second[:, :k]


def _longer(a: Lists, b: Lists) -> Int64:
    longer: Int64 = np.maximum(np.count_nonzero(a, axis=1), np.count_nonzero(b, axis=1))
    return longer


def _overlaps(a: Lists, b: Lists) -> Int64:
    """int64 [B, K], |A_{1:d} ∩ B_{1:d}| for d = 1 … K, in time K log K per row."""
    rows, k = a.shape
    both = np.concatenate([a, b], axis=1)
    order = np.argsort(both, axis=1, kind="stable")
    item = np.take_along_axis(both, order, axis=1)
    row, column = np.nonzero((item[:, 1:] == item[:, :-1]) & (item[:, 1:] != 0))
    # of two equal items the one of A comes first; they meet at the deeper of their places
    met = np.maximum(order[row, column], order[row, column + 1] - k)
    meetings: Int64 = np.bincount(row * k + met, minlength=rows * k).reshape(rows, k)
    return meetings.cumsum(axis=1)
