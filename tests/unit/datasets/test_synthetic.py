"""The generator refuses what it cannot draw, and its truth is a distribution."""

from __future__ import annotations

import numpy as np
import pytest

from robust.datasets import load_dataset
from robust.datasets.synthetic import DAY, generate
from robust.errors import InputError


def test_probabilities_sum_to_one_and_leave_padding_out() -> None:
    rng = np.random.default_rng(1)
    truth = generate(users=2, items=9, length=5, rng=rng, order=2, popularity=1, trend=2, season=1, drift=0.7).structure
    histories = rng.integers(1, 10, size=(50, 4))
    histories[:5, :3] = 0  # too short for order 2
    times = rng.integers(0, 60 * DAY, 50)
    table = truth.probabilities(histories, times)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert (table[:, 0] == 0).all()
    np.testing.assert_allclose(table[:5], truth.background(times[:5]))
    best = truth.best(histories, times, 3)
    picked = np.take_along_axis(table, best.astype(np.int64), axis=1)
    np.testing.assert_allclose(picked, -np.sort(-table, axis=1)[:, :3])


def test_the_same_generator_state_gives_the_same_log() -> None:
    one, two, other = (generate(users=20, items=9, length=5, rng=np.random.default_rng(seed)).log for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.item, two.item)
    np.testing.assert_array_equal(one.timestamp, two.timestamp)
    assert len(one) != len(other) or (one.item != other.item).any()


def test_the_dataset_has_the_size_that_it_says() -> None:
    log = load_dataset("synthetic")
    assert (log.n_users, log.n_items) == (1000, 200)
    assert 28_000 < len(log) < 32_000
    assert log.lengths.min() >= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": 0},
        {"order": 4},
        {"users": 0},
        {"items": 1},
        {"length": 1},
        {"branches": 10},
        {"concentration": 1.1},
        {"drift": -0.1},
        {"days": 0},
        {"period_days": 0},
    ],
)
def test_arguments_out_of_range(wrong: dict[str, float]) -> None:
    arguments: dict[str, float] = {"users": 5, "items": 9, "length": 5} | wrong
    with pytest.raises(InputError, match=f"needs {next(iter(wrong))}"):
        generate(**arguments, rng=np.random.default_rng(0))  # type: ignore[arg-type]
