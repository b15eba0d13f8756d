"""Windows cover every row that has a successor once; batches hold what the log holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust.log import InteractionLog
from robust.recommenders.windows import batches, cut, hold_out


def log_of(lengths: list[int], n_items: int = 50) -> InteractionLog:
    user = np.repeat(np.arange(len(lengths)), lengths)
    item = np.random.default_rng(0).integers(1, n_items + 1, len(user))
    return InteractionLog.from_columns(user, item, np.arange(len(user)), n_users=len(lengths), n_items=n_items)


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=20),
    context=st.integers(1, 12),
    size=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_every_pair_of_neighbours_is_trained_on_exactly_once(
    lengths: list[int], context: int, size: int, seed: int
) -> None:
    log = log_of(lengths)
    rng = np.random.default_rng(seed)
    windows = cut(log, context, rng)
    assert windows.length.max(initial=0) <= context
    runs = zip(windows.first, windows.length, strict=True)
    covered = [int(row) for first, length in runs for row in range(first, first + length)]
    has_successor = np.flatnonzero(log.user[1:] == log.user[:-1])
    assert sorted(covered) == sorted(has_successor)

    pairs = [
        (int(i), int(t))
        for batch in batches(log, windows, size, rng)
        for i, t in zip(batch.items[batch.mask], batch.targets[batch.mask], strict=True)
    ]
    assert sorted(pairs) == sorted((int(log.item[r]), int(log.item[r + 1])) for r in has_successor)


def test_batches_are_aligned_to_the_left_and_hold_little_padding() -> None:
    rng = np.random.default_rng(1)
    log = log_of([int(n) for n in rng.integers(2, 60, 4000)])
    padded = filled = 0
    for batch in batches(log, cut(log, 50, rng), 128, rng):
        assert np.array_equal(batch.mask, np.arange(batch.items.shape[1]) < batch.lengths[:, None])
        assert batch.items.shape[1] == batch.lengths.max()
        padded += batch.items.size
        filled += int(batch.mask.sum())
    assert filled / padded > 0.93


def test_long_users_are_cut_elsewhere_every_epoch() -> None:
    log, rng = log_of([500]), np.random.default_rng(0)
    assert len({tuple(cut(log, 50, rng).first) for _ in range(20)}) > 10


def test_holdout_takes_last_items_out_of_the_given_log_only() -> None:
    log = log_of([2, 5, 8] * 20)
    held = hold_out(log, 0.5, 1000, np.random.default_rng(0))
    assert len(held.users) == 20  # half of the forty users with three rows
    assert np.all(log.lengths[held.users] >= 3)
    assert np.array_equal(held.targets, log.item[log.offsets[held.users + 1] - 1])
    expected = log.lengths - np.isin(np.arange(60), held.users)
    assert np.array_equal(held.train.lengths, expected)


@pytest.mark.parametrize("share, at_most", [(0.0, 100), (0.5, 0)])
def test_holdout_can_be_empty(share: float, at_most: int) -> None:
    log = log_of([5] * 10)
    held = hold_out(log, share, at_most, np.random.default_rng(0))
    assert len(held.users) == 0
    assert len(held.train) == len(log)
