"""Hit ratio, NDCG and reciprocal rank per user, from the rank of the one true next item.

With a single relevant item the ideal DCG is 1, so NDCG@K = 1/log2(1 + rank) for rank ≤ K, and HR@K is Recall@K
(Järvelin & Kekäläinen, TOIS 2002; full ranking as Krichene & Rendle, KDD 2020, ask).

Ranks are integers from 1 (best). Anything beyond K is a miss, `full_ranking.MISS` above all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust.errors import InputError

Float = NDArray[np.float64]


def checked_ranks(ranks: ArrayLike, k: int) -> NDArray[Any]:
    """The ranks as an array.

    Raises:
        InputError: `k` is below 1, or a rank is not a whole number from 1 up (0 is never a rank: a miss is `MISS`).
    """
    array = np.asarray(ranks)
    if k < 1:
        raise InputError(f"K = {k}: a list has at least one place.")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"Ranks are integers, got {array.dtype}.")
    if array.size and int(array.min()) < 1:
        raise InputError(f"Ranks start at 1, got {int(array.min())}; a miss is MISS.")
    return array


def hit_ratio(ranks: ArrayLike, k: int) -> Float:
    """HR@K: float64 of the ranks' shape, 1 where rank ≤ k, else 0."""
    return (checked_ranks(ranks, k) <= k).astype(np.float64)


def ndcg(ranks: ArrayLike, k: int) -> Float:
    """NDCG@K: float64 of the ranks' shape, 1/log2(1 + rank) where rank ≤ k, else 0."""
    array = checked_ranks(ranks, k)
    return np.where(array <= k, 1.0 / np.log2(1.0 + array), 0.0)


def mrr(ranks: ArrayLike, k: int) -> Float:
    """MRR@K: float64 of the ranks' shape, 1/rank where rank ≤ k, else 0."""
    array = checked_ranks(ranks, k)
    return np.where(array <= k, 1.0 / array, 0.0)
