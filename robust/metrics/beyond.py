"""Beyond accuracy: coverage, novelty, and how unequally exposure is shared among items.

These describe all lists together. An attack can leave NDCG alone and still empty the long tail.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError
from robust.metrics.ranking import Float

Lists = NDArray[np.integer[Any]]


def coverage(lists: Lists, n_items: int) -> float:
    """Share of the catalogue that stands in at least one list, |∪ R_K| / n_items.

    Args:
        lists: int [n, K], padded with 0.
    """
    shown = np.bincount(_checked(lists, n_items).ravel(), minlength=n_items + 1)[1:]
    return float(np.count_nonzero(shown) / n_items)


def novelty(lists: Lists, popularity: NDArray[Any], n_users: int) -> Float:
    """Mean self-information −log2(popularity / n_users) of each list's items, in bits (Zhou et al., PNAS 2010).

    Args:
        lists: int [n, K], padded with 0.
        popularity: number of train users that hold each item, [n_items + 1]. An item that nobody holds counts as held
            by one user: its self-information would be infinite. Counts above `n_users` (repeats) count as `n_users`.
        n_users: train users.

    Returns:
        float64 [n], NaN for an empty list.
    """
    known = _checked(lists, len(popularity) - 1)
    bits = -np.log2(np.clip(np.asarray(popularity, dtype=np.float64), 1, n_users) / n_users)
    bits[0] = 0.0
    filled = np.count_nonzero(known, axis=1)
    return np.where(filled > 0, bits[known].sum(axis=1) / np.maximum(filled, 1), np.nan)


def exposure(lists: Lists, n_items: int) -> Float:
    """What each item is shown, discounted by place: Σ_u 1[i ∈ R_K(u)] / log2(1 + place).

    Args:
        lists: int [n, K], padded with 0.

    Returns:
        float64 [n_items], for items 1…n_items.
    """
    discount = np.broadcast_to(1.0 / np.log2(np.arange(2, lists.shape[1] + 2)), lists.shape)
    shown = np.bincount(_checked(lists, n_items).ravel(), weights=discount.ravel(), minlength=n_items + 1)
    return shown[1:].astype(np.float64)


def gini(values: NDArray[Any]) -> float:
    """Gini coefficient Σ_i (2i − n − 1) e_(i) / (n Σ e) of non-negative values, zeros included.

    0: all equal; (n − 1)/n: one has everything. NaN where nothing is shown at all.
    """
    ascending = np.sort(np.asarray(values, dtype=np.float64))
    n, total = len(ascending), float(ascending.sum())
    if n == 0 or total == 0:
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * total))


def gini_of_exposure(lists: Lists, n_items: int) -> float:
    """Gini coefficient of `exposure` over the whole catalogue."""
    return gini(exposure(lists, n_items))


def _checked(lists: Lists, n_items: int) -> Lists:
    if lists.ndim != 2 or (lists.size and (int(lists.min()) < 0 or int(lists.max()) > n_items)):
        raise InputError(f"Lists have shape [n, K] and hold ids 0…{n_items}; got shape {lists.shape}.")
    return lists
