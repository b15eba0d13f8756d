"""Two runs: equal to the one-run machinery where that applies, and to formulas by hand where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from robust.errors import InputError, NotApplicable
from robust.statistics import change_limits, contrast, p_above, p_below
from robust.statistics.differences import difference
from robust.statistics.moments import moments, two_samples

Float = NDArray[np.float64]
ALPHA = 0.05


def runs(seeds: tuple[int, int] = (4, 4), users: int = 60) -> list[tuple[Float, Float]]:
    """Clean and attacked of two models on the same users."""
    rng = np.random.default_rng(3)
    user = rng.random(users)
    found = []
    for count, level in zip(seeds, (0.6, 0.5), strict=True):
        clean = np.clip(user * 0.8 + 0.2 * rng.random((count, users)), 0, 1)
        found.append((clean, clean * level * (0.9 + 0.1 * rng.random((count, 1))) * (0.5 + 0.5 * rng.random(users))))
    return found


def test_the_same_seeds_are_a_drop_from_one_attacked_level_to_the_other() -> None:
    base, new = runs()
    found = difference(base, new, kind="drop", alpha=ALPHA, same_seeds=True)
    expected = change_limits(base[1], new[1], "drop", ALPHA)
    assert found.loss is not None
    assert [found.loss.mean, found.loss.low, found.loss.high] == pytest.approx(
        [expected.mean, expected.low, expected.high]
    )
    tested = contrast(base[1], new[1], "drop", 0.0)
    assert found.p_worse == pytest.approx(p_above(*tested), rel=1e-6)
    assert found.p_better == pytest.approx(p_below(*tested), rel=1e-6)


def test_the_same_seeds_of_exposure_are_a_rise() -> None:
    base, new = runs()
    found = difference(base, new, kind="rise", alpha=ALPHA, same_seeds=True)
    expected = change_limits(base[1], new[1], "rise", ALPHA)
    assert found.loss is not None
    assert [found.loss.mean, found.loss.low, found.loss.high] == pytest.approx(
        [expected.mean, expected.low, expected.high]
    )
    assert found.absolute == pytest.approx(new[1].mean() - base[1].mean())


def test_other_seeds_add_the_spreads_of_both_runs() -> None:
    """A rise by hand: plus-two, then the two variances of seeds with the degrees of freedom that scipy gives them."""
    base, new = runs((3, 5))
    found = difference(base, new, kind="rise", alpha=ALPHA, same_seeds=False)
    assert found.loss is not None
    before, after = (np.hstack([run[1], np.full((len(run[1]), 2), value)]) for run, value in ((base, 0.0), (new, 1.0)))
    means = [arm.mean(axis=1) for arm in (before, after)]
    seeds = sum(own.var(ddof=1) / len(own) for own in means)
    degrees = stats.ttest_ind(*means, equal_var=False).df
    users = (after.mean(axis=0) - before.mean(axis=0)).var(ddof=1) / 62
    width = np.sqrt(stats.t.ppf(0.95, degrees) ** 2 * seeds + stats.t.ppf(0.95, 61) ** 2 * users)
    assert found.loss.high == pytest.approx(after.mean() - before.mean() + width)
    assert (found.n_users, found.n_seeds) == (60, 3)


def test_users_missing_under_some_seeds_move_only_the_means_that_they_are_in() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.random((1, 3, 9)), rng.random((1, 4, 9))
    first[0, 0, :4] = first[0, :, 8] = np.nan
    second[0, 2, 2:5] = np.nan

    def mean(block: Float) -> float:
        return float(np.nanmean(block[0], axis=1).mean())

    found = two_samples(first, second, np.array([1.0, -1.0]))
    assert found.mean == pytest.approx([mean(first), mean(second)])
    # the influence of a user is the derivative of the mean by its weight
    step, influence = 1e-6, np.zeros((2, 9))
    for row, block in enumerate((first, second)):
        for user in range(9):
            weights = np.ones(9)
            weights[user] += step
            heavier = np.nansum(block[0] * weights, axis=1) / (~np.isnan(block[0]) * weights).sum(axis=1)
            influence[row, user] = (heavier.mean() - mean(block)) / step
    assert found.users == pytest.approx(influence @ influence.T * 9 / 8, rel=1e-4)


def test_two_samples_of_which_one_is_the_other_differ_by_their_seeds_alone() -> None:
    values = np.random.default_rng(1).random((1, 4, 30))
    difference_of = np.array([1.0, -1.0])
    both, alone = two_samples(values, values, difference_of), moments(values)
    assert both.seed_degrees == pytest.approx(6)
    assert both.project(difference_of) == pytest.approx((0.0, 2 * alone.seeds[0, 0], 0.0), abs=1e-12)


def test_a_fixed_model_adds_no_spread_of_seeds() -> None:
    base, new = runs((1, 4))
    found = difference(base, new, kind="rise", alpha=ALPHA, same_seeds=False)
    assert found.n_seeds == 4
    assert difference(base, base, kind="rise", alpha=ALPHA, same_seeds=False).n_seeds == 1


def test_falling_deeper_agrees_with_resampled_users() -> None:
    base, new = runs((1, 1), users=400)
    found = difference(base, new, kind="drop", alpha=ALPHA, same_seeds=False)
    assert found.deeper is not None

    def deeper(users: NDArray[np.int64]) -> float:
        drops = [1 - run[1][0, users].mean() / run[0][0, users].mean() for run in (base, new)]
        return float(drops[1] - drops[0])

    rng = np.random.default_rng(2)
    drawn = [deeper(rng.integers(400, size=400)) for _ in range(2_000)]
    assert found.deeper.mean == pytest.approx(deeper(np.arange(400)))
    assert found.deeper.high - found.deeper.mean == pytest.approx(1.645 * np.std(drawn), rel=0.1)


def test_a_base_that_is_ruined_has_nothing_to_lose() -> None:
    base, new = runs()
    ruined = base[0], np.zeros_like(base[1])
    found = difference(ruined, new, kind="drop", alpha=ALPHA, same_seeds=True)
    assert found.loss is None
    assert found.p_better < 0.01
    assert found.p_worse > 0.5


def test_what_cannot_be_compared_is_said() -> None:
    base, new = runs()
    fewer = new[0][:, :50], new[1][:, :50]
    with pytest.raises(InputError, match="same users"):
        difference(base, fewer, kind="drop", alpha=ALPHA, same_seeds=False)
    with pytest.raises(InputError, match="lies in"):
        difference(base, (new[0] * 3, new[1]), kind="drop", alpha=ALPHA, same_seeds=True)
    nobody = np.full_like(base[0], np.nan)
    with pytest.raises(NotApplicable, match="fewer than two"):
        difference((nobody, nobody), (nobody, nobody), kind="rise", alpha=ALPHA, same_seeds=False)
