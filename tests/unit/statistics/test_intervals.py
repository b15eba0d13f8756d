"""Limits and p-values against hand-computed cases, scipy, and enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robust.errors import InputError, NotApplicable
from robust.statistics import limits, p_above, p_below, users_needed
from robust.statistics.moments import moments, quantile


def test_limits_are_scipys_t_interval_of_the_sample_with_two_pseudo_users() -> None:
    values = np.random.default_rng(0).uniform(-0.5, 0.5, 40)
    found = limits(values, alpha=0.05, worst=(-1.0, 1.0))
    for pseudo, side in ((-1.0, 0), (1.0, 1)):
        augmented = [*values, pseudo, pseudo]
        ends = stats.t.interval(0.9, 41, loc=np.mean(augmented), scale=stats.sem(augmented))
        assert (found.low, found.high)[side] == pytest.approx(ends[side])
    assert found.mean == pytest.approx(values.mean())


def test_p_values_are_scipys_t_test_of_the_sample_with_two_pseudo_users() -> None:
    values = np.random.default_rng(1).uniform(-0.2, 0.6, 60)
    above = stats.ttest_1samp([*values, -1.0, -1.0], 0.1, alternative="greater").pvalue
    below = stats.ttest_1samp([*values, 1.0, 1.0], 0.1, alternative="less").pvalue
    assert p_above(values, 0.1, (-1.0, 1.0)) == pytest.approx(above, rel=1e-9)
    assert p_below(values, 0.1, (-1.0, 1.0)) == pytest.approx(below, rel=1e-9)


def test_seeds_and_users_each_bring_their_own_t_quantile() -> None:
    """Two seeds × two users, by hand: seed effects ±.1, user effects ±.2, and two pseudo-users at 1."""
    values = np.array([[0.1 + 0.2, 0.1 - 0.2], [-0.1 + 0.2, -0.1 - 0.2]])
    seed_means = [(0.3 - 0.1 + 2) / 4, (0.1 - 0.3 + 2) / 4]  # .55, .45
    user_means = [0.2, -0.2, 1.0, 1.0]
    between_seeds = np.var(seed_means, ddof=1) / 2
    between_users = np.var(user_means, ddof=1) / 4
    width = np.sqrt(stats.t.ppf(0.9, 1) ** 2 * between_seeds + stats.t.ppf(0.9, 3) ** 2 * between_users)
    assert limits(values, alpha=0.1, worst=(-1, 1)).high == pytest.approx(0.5 + width)


def test_a_user_missing_under_one_seed_is_left_out_of_that_seed_only() -> None:
    values = np.array([[[0.2, 0.4, np.nan], [0.0, 0.2, 0.4]]])
    found = moments(values)
    assert found.mean[0] == pytest.approx((0.3 + 0.2) / 2)
    # user u moves the mean by Σ_s (y − M_s)/(S·n_s)
    influence = np.array([-0.1 / 4 - 0.2 / 6, 0.1 / 4 + 0.0, 0.2 / 6])
    assert found.users[0, 0] == pytest.approx((influence**2).sum() * 3 / 2)
    assert found.seeds[0, 0] == pytest.approx(np.var([0.3, 0.2], ddof=1) / 2)


def test_between_three_seeds_the_variance_of_the_mean_is_that_of_seed_means_over_three() -> None:
    found = moments(np.array([[[0.1, 0.3], [0.2, 0.4], [0.6, 0.8]]]))
    assert found.seeds[0, 0] == pytest.approx(np.var([0.2, 0.3, 0.7], ddof=1) / 3)
    assert found.users[0, 0] == pytest.approx(np.var([0.3, 0.5], ddof=1) / 2)


def test_one_user_under_a_seed_is_enough_if_there_are_others_under_another() -> None:
    found = moments(np.array([[[0.1, 0.2, np.nan], [np.nan, np.nan, 0.3]]]))
    assert found.mean[0] == pytest.approx((0.15 + 0.3) / 2)


def test_quantiles_are_the_upper_ones_of_the_table() -> None:
    assert quantile(0.025, 10) == pytest.approx(2.228, abs=5e-4)
    assert quantile(0.05, 2) == pytest.approx(2.920, abs=5e-4)


def test_a_user_missing_everywhere_does_not_exist() -> None:
    values = np.random.default_rng(2).random((3, 20))
    holder = np.concatenate([values, np.full((3, 1), np.nan)], axis=1)
    with_holder, without = (limits(v, alpha=0.05, worst=(0, 1)) for v in (holder, values))
    assert (with_holder.low, with_holder.high) == pytest.approx((without.low, without.high), rel=1e-12)


def test_one_half_is_the_p_value_at_the_mean_with_its_pseudo_users() -> None:
    values = np.array([[0.5, 0.5]])
    assert p_above(values, 0.25, (0.0, 1.0)) == pytest.approx(0.5)


def test_the_worst_case_on_binary_data_stays_below_alpha() -> None:
    """Exact rate, by enumeration over the binomial, of an upper limit below the true share of ruined users."""
    worst = 0.0
    for n in (20, 50, 100, 200):
        highs = np.array([limits(np.arange(n) < hits, alpha=0.05, worst=(0.0, 1.0)).high for hits in range(min(n, 80))])
        for share in np.linspace(0.002, 0.3, 150):
            missed = np.flatnonzero(highs < share)
            worst = max(worst, float(stats.binom.pmf(missed, n, share).sum()))
    assert 0.03 < worst < 0.05


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.2])
def test_users_needed_is_where_an_unchanged_metric_first_passes(limit: float) -> None:
    needed = users_needed(limit)
    assert needed is not None
    assert limits(np.zeros(needed), alpha=0.05, worst=(-1, 1)).high < limit
    assert limits(np.zeros(needed - 1), alpha=0.05, worst=(-1, 1)).high >= limit
    assert needed == pytest.approx(4.33 / limit, abs=3)


def test_no_number_of_users_shows_a_change_of_at_most_nothing() -> None:
    assert users_needed(0.0) is None


def test_values_outside_their_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"reach from 0 to 3.*clip"):
        limits([[0.0, 3.0]], alpha=0.05, worst=(-1, 1))
    with pytest.raises(InputError, match="clip"):
        limits([[0.5, 0.5]], alpha=0.05, worst=(0.5, 0.5))


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 1.0, 1.5])
def test_an_error_rate_lies_between_0_and_1(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        limits([[0.0, 0.3]], alpha=alpha, worst=(-1, 1))


@pytest.mark.parametrize("end", [0.0, 1_000.0])
def test_rounding_of_float32_is_forgiven_in_proportion_to_the_range(end: float) -> None:
    beyond = 1.0 if end else -1.0
    limits([0.0, 1.0, end + beyond * 0.0005], alpha=0.05, worst=(0, 1_000))
    with pytest.raises(InputError, match="clip"):
        limits([0.0, 1.0, end + beyond * 0.002], alpha=0.05, worst=(0, 1_000))


@pytest.mark.parametrize("shape", [(2, 2, 2), (0, 5), ()])
def test_measurements_are_seeds_by_users(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"values: expected numbers of shape \[S seeds, n users\]"):
        limits(np.zeros(shape), alpha=0.05, worst=(-1, 1))


@pytest.mark.parametrize("shape", [(3, 4), (1, 0, 4), (0, 2, 4)])
def test_moments_are_of_variables_by_seeds_by_users(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        moments(np.zeros(shape))


def test_a_user_is_missing_in_both_arms_or_in_none() -> None:
    with pytest.raises(InputError, match="missing in the other"):
        moments(np.array([[[0.1, 0.2, np.nan]], [[0.1, 0.2, 0.3]]]))


def test_nobody_left_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="nobody"):
        limits(np.full((3, 5), np.nan), alpha=0.05, worst=(-1, 1))
    for nobody in (np.zeros((3, 0)), np.zeros(0)):
        with pytest.raises(NotApplicable, match="no evaluated user"):
            limits(nobody, alpha=0.05, worst=(-1, 1))
    with pytest.raises(NotApplicable):  # one user has no spread
        limits([[0.1]], alpha=0.05, worst=(-1, 1))
    with pytest.raises(NotApplicable, match="seed 1"):
        limits([[0.1, 0.2], [np.nan, np.nan]], alpha=0.05, worst=(-1, 1))
