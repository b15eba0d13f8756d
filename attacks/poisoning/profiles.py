"""The parts of a fake profile: target, selected and filler items, each item at most once per profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32, Int64

BLOCK = 1 << 21
"""Elements of one block of the [profiles, items] matrix of weighted draws (16 MiB of float64)."""


@dataclass(frozen=True)
class Room:
    """What a template has to fill beside the targets.

    Attributes:
        profiles: fake users. others: items of each that are no targets. length: items of a whole profile.
        targets: the items to leave out, [t].
    """

    profiles: int
    others: int
    length: int
    targets: Int32

    def share(self, share: float) -> int:
        """So much of a whole profile, in items: at least one unless it is 0, at most what there is room for."""
        return min(max(round(share * self.length), 1) if share else 0, self.others)


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


def draw_weighted(weights: NDArray[np.floating] | Int64, taken: Int32, count: int, rng: np.random.Generator) -> Int32:
    """int32 [profiles, count]: per profile, one item after the other with probability ∝ weight among those left.

    Each item waits for an exponential time divided by its weight, and the first ones are taken (Efraimidis and
    Spirakis, 2006): successive sampling without replacement. Items of weight 0 come only after all others, uniformly.
    Memory is bounded: profiles are drawn in blocks, which changes no draw.

    Args:
        weights: [n_items + 1], at least 0; entry 0 is not looked at. taken: int32 [profiles, m], left out; 0 is none.
    """
    rate = np.maximum(np.asarray(weights, dtype=np.float64), 1e-30)
    rows = max(BLOCK // len(rate), 1)
    chosen = np.empty((len(taken), count), dtype=np.int32)
    for start in range(0, len(taken) if count else 0, rows):
        part = taken[start : start + rows]
        wait = rng.standard_exponential((len(part), len(rate))) / rate
        wait[:, 0] = np.inf
        np.put_along_axis(wait, part.astype(np.int64), np.inf, axis=1)
        first = np.argpartition(wait, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(wait, first, axis=1), axis=1)
        chosen[start : start + rows] = np.take_along_axis(first, order, axis=1)
    return chosen


def selected_and_filler(n_items: int, selected: NDArray[np.integer], room: Room, rng: np.random.Generator) -> Int32:
    """int32 [profiles, others]: in each profile the selected items, at most `others`, none a target; uniform filler."""
    taken = np.asarray(selected, dtype=np.int32)
    pool = np.setdiff1d(np.arange(1, n_items + 1, dtype=np.int32), np.concatenate([taken, room.targets]))
    filler = draw_filler(pool, (room.profiles, room.others - len(taken)), rng)
    return np.concatenate([np.tile(taken, (room.profiles, 1)), filler], axis=1)
