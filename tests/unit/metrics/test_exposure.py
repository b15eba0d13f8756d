"""Exposure of targets, shifts of ranks, and how exposure is shared."""

from __future__ import annotations

import numpy as np
import pytest

from robust.errors import InputError
from robust.metrics.beyond import coverage, exposure, gini, gini_of_exposure, novelty
from robust.metrics.exposure import log_rank, rank_shift, target_hit_ratio
from robust.metrics.full_ranking import MISS


def test_exposure_counts_targets_that_a_user_does_not_hold() -> None:
    ranks = np.array([[1, 11, 3], [1, 2, 50], [50, 50, 2], [1, 1, 1]])
    held = np.array([[False, False, False], [True, False, False], [True, True, False], [True, True, True]])
    found = target_hit_ratio(ranks, held, 10)
    assert found[:3] == pytest.approx([2 / 3, 1 / 2, 1])
    assert np.isnan(found[3])
    with pytest.raises(InputError, match="same shape"):
        target_hit_ratio(ranks, held[:2], 10)


def test_a_shift_is_in_doublings_of_the_rank_and_bounded_by_the_catalogue() -> None:
    assert rank_shift([1, 8, 5, 1], [4, 2, 5, MISS], 64) == pytest.approx([2, -2, 0, 6])
    assert log_rank([0, 1, 2, 64, 99], 64) == pytest.approx([0, 0, 1, 6, 6])


def test_coverage_is_the_share_of_items_shown() -> None:
    assert coverage(np.array([[1, 2], [2, 0]]), 8) == 0.25


def test_novelty_is_self_information_in_bits() -> None:
    popularity = np.array([0, 16, 4, 0, 40])
    found = novelty(np.array([[1, 2], [3, 0], [4, 0], [0, 0]]), popularity, 16)
    # held by all: 0; by a quarter: 2 bits; by nobody: as if by one; more rows than users: as if by all
    assert found[:3] == pytest.approx([1.0, 4.0, 0.0])
    assert np.isnan(found[3])


def test_exposure_is_discounted_by_place() -> None:
    assert exposure(np.array([[1, 2], [1, 0]]), 3) == pytest.approx([2.0, 1 / np.log2(3), 0.0])


def test_gini_is_half_the_mean_absolute_difference_over_the_mean() -> None:
    values = np.random.default_rng(0).exponential(size=50)
    values[:10] = 0
    brute = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(brute)
    assert gini(np.ones(5)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 7.0])) == pytest.approx(3 / 4)
    assert np.isnan(gini(np.zeros(3)))
    assert gini_of_exposure(np.array([[2], [2]]), 4) == pytest.approx(3 / 4)


@pytest.mark.parametrize("lists", [[[4]], [[0, 4]], [[-1, 2]], [1, 2]])
def test_what_is_no_list_of_this_catalogue_is_refused(lists: list[list[int]]) -> None:
    with pytest.raises(InputError, match="0…3"):
        coverage(np.array(lists), 3)
    with pytest.raises(InputError, match="0…3"):
        novelty(np.array(lists), np.ones(4), 9)
