"""Numbers of users against a search over samples that do have so many: the interval itself is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.errors import InputError
from robust.statistics import limits, users_needed, users_to_decide
from robust.statistics.contrasts import contrast

Float = NDArray[np.float64]
MANY = 40_000


@pytest.mark.parametrize(
    ("limit", "scale", "alpha"), [(0.9, 1.0, 0.05), (0.5, 1.0, 0.01), (0.5, 4.0, 0.05), (2.5, 11.0, 0.025)]
)
def test_an_unchanged_metric_passes_from_the_number_named_on(limit: float, scale: float, alpha: float) -> None:
    needed = users_needed(limit, scale=scale, alpha=alpha)
    passing = [n for n in range(2, 400) if limits(np.zeros(n), alpha=alpha, worst=(-scale, scale)).high < limit]
    assert needed == passing[0]


def test_an_unchanged_metric_is_planned_to_the_user_whatever_the_bound() -> None:
    for limit in np.linspace(0.2, 0.99, 160):
        needed = users_needed(limit)
        assert needed is not None
        here, fewer = (limits(np.zeros(n), alpha=0.05, worst=(-1, 1)).high for n in (needed, needed - 1))
        assert here < limit <= fewer


@pytest.mark.parametrize("limit", [0.02, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("pair", [(0.9, 0.3), (1.0, 0.0), (0.5, 0.5)])
def test_a_drop_is_planned_on_the_clean_metrics_mean_and_spread(limit: float, pair: tuple[float, float]) -> None:
    """Users come in pairs, so the least even number that passes is the one named, or one more."""
    needed = users_needed(limit, kind="drop", clean=np.tile(pair, MANY // 2))
    assert needed is not None

    def passes(n: int) -> bool:
        clean = np.tile(pair, n // 2)
        values, threshold, worst = contrast(clean, clean, "drop", limit)
        return limits(values, alpha=0.05, worst=worst).high < threshold

    even = needed + needed % 2
    assert passes(even)
    assert not passes(even - 2)


def test_a_drop_is_planned_in_the_metrics_own_units() -> None:
    clean = np.tile([0.9, 0.3], MANY // 2)
    assert users_needed(0.1, kind="drop", clean=clean) == users_needed(0.1, kind="drop", clean=5 * clean, scale=5.0)


def sample(n: int, pair: tuple[float, float], seeds: Float) -> Float:
    """[S, n]: users of two kinds by turns, and what each seed adds to everybody."""
    values: Float = seeds[:, None] + np.tile(pair, n // 2)
    return values


@pytest.mark.parametrize(
    ("pair", "seeds", "threshold"),
    [
        ((0.0, 0.3), [0.0], 0.2),
        ((0.0, 0.3), [0.0], 0.05),
        ((-0.4, 0.9), [0.0], 0.6),
        ((0.0, 0.0), [0.0], 0.5),
        ((0.1, 0.1), [0.0], -0.6),
        ((0.0, 0.2), [-0.01, 0.01], 0.3),
        ((0.0, 0.2), [-0.02, 0.0, 0.02], 0.25),
        ((0.0, 0.2), [-0.02, 0.0, 0.02], -0.05),
        *(((0.1, 0.1), [-0.1, 0.0, 0.1], threshold) for threshold in (0.34, 0.36, 0.4, 0.45, 0.5, 0.6)),
        ((0.2, 0.5), [-0.05, 0.05, 0.02, -0.02, 0.0], 0.1),
    ],
)
def test_as_many_users_as_named_decide_and_fewer_do_not(
    pair: tuple[float, float], seeds: list[float], threshold: float
) -> None:
    worst, alpha = (-1.0, 1.0), 0.05
    effects = np.array(seeds)
    needed = users_to_decide(sample(MANY, pair, effects), threshold, worst, alpha)
    assert needed is not None

    def decides(n: int) -> bool:
        found = limits(sample(n, pair, effects), alpha=alpha, worst=worst)
        return found.high < threshold or found.low > threshold

    even = needed + needed % 2
    assert decides(even)
    assert not decides(even - 2)


def test_the_lower_limit_is_planned_with_the_least_value_possible() -> None:
    """Values in [0, 1], mean above the bound: the pseudo-users are at 0, not at −1."""
    needed = users_to_decide(sample(MANY, (0.4, 0.8), np.zeros(1)), 0.3, (0.0, 1.0), 0.05)
    assert needed is not None
    even = needed + needed % 2
    assert limits(sample(even, (0.4, 0.8), np.zeros(1)), alpha=0.05, worst=(0.0, 1.0)).low > 0.3
    assert limits(sample(even - 2, (0.4, 0.8), np.zeros(1)), alpha=0.05, worst=(0.0, 1.0)).low <= 0.3


def test_where_seeds_differ_too_much_no_number_of_users_decides() -> None:
    assert users_to_decide(sample(100, (0.0, 0.2), np.array([0.0, 0.2, 0.4])), 0.5, (-1.0, 1.0), 0.05) is None


def test_a_number_beyond_all_populations_is_no_answer() -> None:
    assert users_needed(1e-7) == pytest.approx(4.33e7, rel=0.01)
    assert users_needed(1e-9) is None


def test_a_relative_drop_needs_the_clean_metric() -> None:
    with pytest.raises(InputError, match="clean metric"):
        users_needed(0.1, kind="drop")
    assert users_needed(0.1, kind="drop", clean=np.zeros(50)) is None
