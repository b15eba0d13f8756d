"""The parts of a fake profile: target, selected and filler items, each item at most once per profile."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robust.access import AccessView
from robust.attacks.poisoning.orders import ORDERS, Order
from robust.log import Int32, LogEdit
from robust.threat import Budget

Times = Literal["bootstrap"]
"""`bootstrap`: the start of a random genuine user and real gaps, strictly increasing, within the train rows' span."""


def spread_targets(items: tuple[int, ...], profiles: int, length: int) -> Int32:
    """int32 [profiles, t]: all targets in each profile; if it is too short for all, they take turns over profiles."""
    each = min(len(items), length)
    turn = np.arange(profiles)[:, None] * each + np.arange(each)[None, :]
    return np.asarray(items, dtype=np.int32)[turn % max(len(items), 1)] if each else np.zeros((profiles, 0), np.int32)


def draw_filler(pool: Int32, shape: tuple[int, int], rng: np.random.Generator) -> Int32:
    """int32 of this shape: per profile, a uniform draw without replacement from `pool` [p].

    Floyd's sampling (Bentley and Floyd, CACM 1987), for all profiles at once: time and memory grow with the profile's
    length, not with the catalogue's.
    """
    profiles, count = shape
    chosen = np.empty(shape, dtype=np.int64)
    for column in range(count):
        newest = len(pool) - count + column
        drawn = rng.integers(0, newest + 1, size=profiles)
        taken = (chosen[:, :column] == drawn[:, None]).any(axis=1)
        chosen[:, column] = np.where(taken, newest, drawn)
    return pool[chosen]


def fake_profiles(
    access: AccessView,
    targets: tuple[int, ...],
    selected: NDArray[np.integer],
    length: int,
    order: Order,
    budget: Budget,
    rng: np.random.Generator,
) -> LogEdit:
    """`budget.users` profiles of exactly `length` items (fewer if the catalogue is smaller), with real gaps in time.

    Args:
        targets: pushed items; empty for profiles that push nothing.
        selected: items that every profile holds, without targets; the first are taken if they are too many.
    """
    profiles, length = budget.users or 0, min(length, access.n_items)
    pushed = spread_targets(targets, profiles, length)
    taken = np.asarray(selected[: length - pushed.shape[1]], dtype=np.int32)
    pool = np.setdiff1d(np.arange(1, access.n_items + 1, dtype=np.int32), np.array([*taken, *targets], dtype=np.int32))
    filler = draw_filler(pool, (profiles, length - pushed.shape[1] - len(taken)), rng)
    others = np.concatenate([np.tile(taken, (profiles, 1)), filler], axis=1)
    items = ORDERS[order](pushed, others, rng).astype(np.int32)
    return LogEdit(add=items, times=access.timeline(rng, (profiles, items.shape[1])))
