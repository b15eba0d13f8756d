"""In which order a fake profile shows its items. Sequential victims learn the order, so it is part of the attack.

An order takes targets [F, t] and other items [F, o] and gives profiles [F, t + o]. Each keeps every item once, and all
but `shuffle` keep the others in the order in which they come (a template without one hands them over shuffled).

    shuffle       uniformly at random
    scatter       the targets at random places among the others
    target_last   the targets at the newest end, in random order, after everything else
    interleave    x t x t … at the newest end: co-visitation, every target right after another item
    alternate     t x t' x' … over the whole profile, each target drawn anew (Yue et al., RecSys 2021: RandAlter)

Two more go by the train rows (`orders_by_log`): `markov` and `cluster_then_target`.

`interleave` stands at the newest end, since a victim reads the newest items only. On flights (GRU, 3% fakes, 5 cold
targets) it raises exposure from .003 to .024, against .017 for shuffle. It shows each target once; `alternate` gives
half of all places to targets, so that a profile holds the same target many times (`random`, a Markov chain on flights,
the same fakes: target_last .013, shuffle .035, markov .044, interleave .048, alternate .071).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from robust.log import Int32

Order = Literal["shuffle", "scatter", "target_last", "interleave", "alternate", "markov", "cluster_then_target"]


def shuffle(targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """All items in random order."""
    return rng.permuted(np.concatenate([others, targets], axis=1), axis=1)


def scatter(targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """Others in their order, targets at random places."""
    shape = len(targets), targets.shape[1] + others.shape[1]
    places = np.argsort(rng.random(shape), axis=1)[:, : targets.shape[1]]
    is_target = np.zeros(shape, dtype=bool)
    np.put_along_axis(is_target, places, True, axis=1)
    profiles = np.empty(shape, dtype=np.int32)
    profiles[~is_target] = others.ravel()
    np.put_along_axis(profiles, places, targets, axis=1)
    return profiles


def target_last(targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """Others, then targets in random order."""
    return np.concatenate([others, rng.permuted(targets, axis=1)], axis=1)


def interleave(targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """Others first, then one other before each target; where others run out, targets stand next to each other."""
    ordered = target_last(targets, others, rng)
    n_targets, n_others = targets.shape[1], others.shape[1]
    pairs = min(n_targets, n_others)
    place = np.arange(ordered.shape[1])
    tail = ordered.shape[1] - 2 * pairs
    alternating = np.empty(2 * pairs, dtype=np.int64)
    alternating[0::2] = place[n_others - pairs : n_others]
    alternating[1::2] = place[n_others : n_others + pairs]
    head = np.concatenate([place[: n_others - pairs], place[n_others + pairs :]])
    return ordered[:, np.concatenate([head, alternating])] if tail else ordered[:, alternating]


def alternate(targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """A target, another item, a target …; targets that the others do not reach stand first, next to each other.

    Nothing is drawn here: the targets come as `draw_targets` drew them, one for every second place.
    """
    del rng
    surplus = max(targets.shape[1] - others.shape[1] - 1, 0)
    paired = targets[:, surplus:]
    rest = np.empty((len(targets), paired.shape[1] + others.shape[1]), dtype=np.int32)
    alternating = slice(0, 2 * paired.shape[1], 2)
    is_target = np.zeros(rest.shape[1], dtype=bool)
    is_target[alternating] = True
    rest[:, is_target] = paired
    rest[:, ~is_target] = others
    return np.concatenate([targets[:, :surplus], rest], axis=1)


def draw_targets(items: tuple[int, ...], shape: tuple[int, int], rng: np.random.Generator) -> Int32:
    """int32 of this shape, each drawn uniformly and anew, so that a profile holds a target more than once."""
    return rng.choice(np.asarray(items, dtype=np.int32), size=shape)


ORDERS: dict[Order, Callable[[Int32, Int32, np.random.Generator], Int32]] = {
    "shuffle": shuffle,
    "scatter": scatter,
    "target_last": target_last,
    "interleave": interleave,
    "alternate": alternate,
}
"""The orders that need no knowledge of the log."""
