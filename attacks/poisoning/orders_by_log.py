"""Orders that go by the train rows (`log: full`): where genuine users would have put the items of a fake profile.

    markov                the others as a walk on the first-order transitions of the train rows, each next one drawn
                          with P(next | current) among those that are left, uniformly where none of them ever followed;
                          then each target right after the item x of the walk with the highest P(target | x)
    cluster_then_target   before each target the others that are most similar to it (cosine of co-occurrence), the most
                          similar one last; what is similar to no target stands at the oldest end

Both arrange what a template chose and choose nothing themselves, so `cluster_then_target` has little to arrange unless
the template selects a segment. Their definitions are ours: the literature names them without stating them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robust.access import AccessView
from robust.attacks.poisoning.orders import ORDERS, Order
from robust.attacks.poisoning.similarity import co_occurrence
from robust.log import Int32, Int64, InteractionLog
from robust.recommenders.successors import Successors, Table

ANY = 1e-9
"""What a transition that never occurred weighs: nothing, unless all of them never occurred."""


def markov(log: InteractionLog, targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """A walk of genuine transitions, each target after its likeliest predecessor (ties at random)."""
    if len(log) == 0 or others.size == 0:
        return np.concatenate([others, rng.permuted(targets, axis=1)], axis=1)
    shares = Successors.of(log, 1).shares()
    walk = _walk(shares, others, rng)
    mixed = rng.permuted(targets, axis=1)
    likely = [_lookup(shares, walk, mixed[:, [column]]) for column in range(mixed.shape[1])]
    before = [np.argmax(share + ANY * rng.random(walk.shape), axis=1) for share in likely]
    after = np.stack(before, axis=1) if before else np.zeros((len(walk), 0), dtype=np.int64)
    return _insert(walk, mixed, after)


def cluster_then_target(log: InteractionLog, targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """The others of a target's segment just before it, targets in random order; of equal ones, targets take turns."""
    if targets.size == 0:
        return np.concatenate([others, targets], axis=1)
    pushed = np.unique(targets)
    similarity = co_occurrence(log, pushed)
    mixed = rng.permuted(targets, axis=1)
    to_each = similarity[np.searchsorted(pushed, mixed)[:, :, None], others[:, None, :]]  # [F, t, o]
    nearest, most = to_each.argmax(axis=1), to_each.max(axis=1)
    block = np.where(most > 0, nearest, -1)
    # by block, within it by similarity; a target closes its own block
    blocks = np.concatenate([block, np.broadcast_to(np.arange(mixed.shape[1]), mixed.shape)], axis=1)
    within = np.concatenate([most, np.full(mixed.shape, np.inf)], axis=1)
    items = np.concatenate([others, mixed], axis=1)
    return np.take_along_axis(items, np.lexsort((within, blocks), axis=1), axis=1)


def _walk(shares: Table, others: Int32, rng: np.random.Generator) -> Int32:
    """The same items, one after the other: all profiles take a step at a time."""
    rows, left = np.arange(len(others)), np.ones(others.shape, dtype=bool)
    walk = np.empty_like(others)
    place = rng.integers(others.shape[1], size=len(others))
    for step in range(others.shape[1]):
        walk[:, step] = others[rows, place]
        left[rows, place] = False
        if step + 1 < others.shape[1]:
            weights = _lookup(shares, walk[:, [step]], others) + ANY
            # the least exponential draw divided by its weight: one draw with probability ∝ weight
            waits = rng.standard_exponential(others.shape) / weights
            place = np.where(left, waits, np.inf).argmin(axis=1)
    return walk


def _lookup(shares: Table, before: Int32, after: Int32) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """float64, P(after | before), of two arrays [F, m] or [F, 1]."""
    row, column = np.broadcast_arrays(before, after)
    found = shares[row.ravel(), column.ravel()]
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float64).reshape(row.shape)


def _insert(walk: Int32, targets: Int32, after: Int64) -> Int32:
    """Each target [F, t] behind the place `after` [F, t] of the walk [F, o]; of several at one place, as they come."""
    places = np.broadcast_to(2 * np.arange(walk.shape[1]), walk.shape)
    keys = np.concatenate([places, 2 * after + 1], axis=1)
    items = np.concatenate([walk, targets], axis=1)
    return np.take_along_axis(items, np.argsort(keys, axis=1, kind="stable"), axis=1)


ORDERS_BY_LOG: dict[Order, Callable[[InteractionLog, Int32, Int32, np.random.Generator], Int32]] = {
    "markov": markov,
    "cluster_then_target": cluster_then_target,
}


def arrange(order: Order, access: AccessView, targets: Int32, others: Int32, rng: np.random.Generator) -> Int32:
    """Profiles in this order.

    Raises:
        NotKnown: the order goes by the train rows, which the attacker does not see.
    """
    if order in ORDERS_BY_LOG:
        return ORDERS_BY_LOG[order](access.log, targets, others, rng)
    return ORDERS[order](targets, others, rng)
