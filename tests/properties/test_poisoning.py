"""Fake profiles keep every promise for all shapes of catalogue, targets and budget."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.attacks.poisoning.orders import ORDERS, Order
from robust.attacks.poisoning.profiles import draw_filler, spread_targets
from robust.attacks.poisoning.random import Random
from robust.log import InteractionLog
from robust.threat import Budget, Promote
from tests.toys import view

seeds = st.integers(0, 2**32 - 1)


@given(
    n_items=st.integers(1, 12),
    data=st.data(),
    users=st.integers(0, 5),
    length=st.integers(1, 15),
    order=st.sampled_from(get_args(Order)),
    selected=st.floats(0, 1),
    share=st.floats(0.05, 1),
    seed=seeds,
)
def test_profiles(
    n_items: int, data: st.DataObject, users: int, length: int, order: Order, selected: float, share: float, seed: int
) -> None:
    targets = data.draw(st.lists(st.integers(1, n_items), min_size=1, max_size=n_items, unique=True))
    rng = np.random.default_rng(seed)
    log = InteractionLog.from_columns(
        np.repeat(np.arange(4), 5), rng.integers(1, n_items + 1, 20), rng.integers(0, 9, 20), n_items=n_items
    )
    goal, budget = Promote(items=tuple(targets)), Budget(users=users, profile_length=length)
    for attack in (
        Random(order=order, length=share),
        Bandwagon(order=order, length=share, selected=selected),
    ):
        edit = attack(view(log=log), goal, budget, np.random.default_rng(seed)).edit
        expected = min(max(int(share * length), 1), n_items)
        assert edit.add.shape == (users, expected)
        assert edit.add.dtype == np.int32
        for profile in edit.add.tolist():
            assert len(set(profile)) == expected, "no item twice"
            assert len(set(profile) & set(targets)) == min(expected, len(targets))
        assert edit.times is not None
        assert np.all(np.diff(edit.times, axis=1) > 0)
        assert edit.times.max(initial=0) <= log.timestamp.max()


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 9))
def test_targets_take_turns_evenly(targets: int, profiles: int, length: int) -> None:
    spread = spread_targets(tuple(range(1, targets + 1)), profiles, length)
    counts = np.bincount(spread.ravel(), minlength=targets + 1)[1:]
    assert counts.max() - counts.min() <= 1
    assert all(len(set(row)) == min(targets, length) for row in spread.tolist())


@given(st.integers(1, 5), st.integers(0, 5), st.integers(1, 5), seeds)
def test_orders_keep_every_item_once(n_targets: int, n_others: int, profiles: int, seed: int) -> None:
    targets = np.tile(np.arange(1, n_targets + 1, dtype=np.int32), (profiles, 1))
    others = np.tile(np.arange(11, n_others + 11, dtype=np.int32), (profiles, 1))
    for name, order in ORDERS.items():
        result = order(targets, others, np.random.default_rng(seed))
        expected = sorted([*targets[0], *others[0]])
        assert all(sorted(row) == expected for row in result.tolist())
        is_target = result <= n_targets
        if name == "target_last":
            assert np.all(is_target[:, n_others:])
        if name == "interleave" and n_others >= n_targets:
            assert np.all(is_target[:, -1::-2][:, :n_targets]), "every second item from the end is a target"
            assert np.all(is_target.sum(axis=1) == n_targets)
            assert not is_target[:, 0].any(), "no target without a predecessor to learn it from"


@given(st.integers(1, 8), seeds)
def test_filler_is_drawn_without_replacement(size: int, seed: int) -> None:
    pool = np.arange(3, 3 + size, dtype=np.int32)
    for count in range(size + 1):
        filler = draw_filler(pool, (6, count), np.random.default_rng(seed))
        assert all(len(set(row)) == count and set(row) <= set(pool.tolist()) for row in filler.tolist())


def test_every_subset_of_filler_is_equally_likely() -> None:
    drawn = np.sort(draw_filler(np.arange(1, 6, dtype=np.int32), (20_000, 2), np.random.default_rng(0)), axis=1)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 10
    # ten pairs, 2,000 expected each: the standard deviation is 42
    assert np.abs(counts - 2_000).max() < 5 * 42
