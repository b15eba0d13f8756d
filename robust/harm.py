"""How far an attack goes towards its goal, by what ranked lists show and nothing else: every served endpoint has those.

Always in the direction of a change for the worse, and 0 for what is clean:

    degrade   relative loss of the true next item's discounted gain where it is known, else of the rank-weighted overlap
              with the clean list; 1 = all of it
    promote   rise of the targets' mean discounted gain 1/log2(1 + rank)
    demote    fall of it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32

if TYPE_CHECKING:
    from robust.threat import Degrade, Demote, Promote

Float64 = NDArray[np.float64]
Rows = NDArray[np.integer[Any]]
HarmOf = Callable[[Rows, Int32], Float64]
"""(rows [R], their lists [R, k]) to float [R]."""


def harm_against(clean: Int32, goal: Promote | Demote | Degrade, next_items: Int32 | None = None) -> HarmOf:
    """How much worse lists are than the clean ones [B, k].

    Args:
        next_items: int32 [B], the true next items, if the attacker knows them.
    """
    if goal.kind != "degrade":
        targets = np.asarray(goal.items, dtype=np.int32)
        sign = 1.0 if goal.kind == "promote" else -1.0
        start = gain_of(clean, np.tile(targets, (len(clean), 1)))
        return lambda rows, lists: sign * (gain_of(lists, np.tile(targets, (len(rows), 1))) - start[rows])
    if next_items is not None:
        known = next_items[:, None]
        whole = gain_of(clean, known)
        return lambda rows, lists: _lost(gain_of(lists, known[rows]), whole[rows])
    whole = overlap(clean, clean)
    return lambda rows, lists: _lost(overlap(lists, clean[rows]), whole[rows])


def _lost(now: Float64, before: Float64) -> Float64:
    """1 − now/before; where there was nothing to lose, −now: what was won instead."""
    return np.where(before > 0, 1 - now / np.maximum(before, 1e-12), -now)


def _discounts(lists: Int32) -> Float64:
    return np.where(lists != 0, 1 / np.log2(np.arange(2, lists.shape[1] + 2)), 0.0)


def gain_of(lists: Int32, wanted: Int32) -> Float64:
    """[B], mean discounted gain 1/log2(1 + rank) of the wanted items [B, m] in the lists [B, k]; 0 where absent."""
    found = lists[:, :, None] == wanted[:, None, :]
    return np.asarray((found * _discounts(lists)[:, :, None]).sum(axis=(1, 2)) / wanted.shape[1])


def overlap(lists: Int32, clean: Int32) -> Float64:
    """[B], rank-weighted overlap Σ w(rank) · w(clean rank) over shared items; w = 1/log2(1 + rank), 0 if disjoint."""
    shared = (lists[:, :, None] == clean[:, None, :]) & (clean != 0)[:, None, :]
    return np.asarray(np.einsum("bkj,bk,bj->b", shared, _discounts(lists), _discounts(clean)))
