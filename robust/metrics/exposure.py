"""What an attack gains: how often target items are shown to users who do not hold them, and how far ranks move."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust.errors import InputError
from robust.metrics.ranking import Float, hit_ratio


def target_hit_ratio(target_ranks: ArrayLike, held: NDArray[np.bool_], k: int) -> Float:
    """Exposure of the targets per user: the share of the targets *not held* that stand in the user's top k.

    A user who holds a target would be shown it without an attack, so this pair is left out.

    Args:
        target_ranks: int [n, T], from 1.
        held: bool [n, T], who holds which target in the clean train rows.

    Returns:
        float64 [n], NaN for a user who holds all the targets.
    """
    hits = hit_ratio(target_ranks, k)
    if hits.shape != held.shape or hits.ndim != 2:
        raise InputError(f"target_ranks {hits.shape} and held {held.shape} must have the same shape [n, T].")
    counted = np.count_nonzero(~held, axis=1)
    listed = np.where(held, 0.0, hits).sum(axis=1)
    return np.where(counted > 0, listed / np.maximum(counted, 1), np.nan)


def log_rank(ranks: ArrayLike, n_items: int) -> Float:
    """log2 of the ranks, a miss counting as the last place: within [0, log2(n_items)]."""
    return np.log2(np.clip(np.asarray(ranks, dtype=np.float64), 1, n_items))


def rank_shift(clean: ArrayLike, attacked: ArrayLike, n_items: int) -> Float:
    """log2(rank' / rank): +1 means that the item stands twice as deep under attack.

    Bounded, as an interval needs: each rank is clipped to the catalogue, so the shift lies within ±log2(n_items).

    Args:
        clean, attacked: int ranks of the same shape, from 1; a miss counts as the last place.
    """
    return log_rank(attacked, n_items) - log_rank(clean, n_items)
