"""Ranks and lists over the whole catalogue: ties, masks, padding."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.errors import InputError
from robust.metrics.full_ranking import (
    MISS,
    mask_seen,
    rank_in_lists,
    rank_of_demoted,
    rank_of_promoted,
    rank_of_truth,
    top_k,
)

INF = np.inf


def row(*scores: float) -> NDArray[np.float32]:
    """One row; the padding column has the highest score of all, and must not matter."""
    return np.array([[99.0, *scores]], dtype=np.float32)


def test_the_true_item_loses_ties() -> None:
    assert rank_of_truth(row(1, 3, 3, 3), np.array([3])).tolist() == [3]
    assert rank_of_truth(row(5, 5, 5, 5), np.array([1])).tolist() == [4]
    assert rank_of_truth(row(1, 3, 2), np.array([2])).tolist() == [1]


def test_a_promoted_target_wins_ties_and_a_demoted_one_loses_them() -> None:
    scores, targets = row(1, 3, 3, 3), np.array([[3, 1]])
    assert rank_of_promoted(scores, targets).tolist() == [[1, 4]]
    assert rank_of_demoted(scores, targets).tolist() == [[3, 4]]


def test_no_targets_have_no_ranks() -> None:
    assert rank_of_promoted(row(1, 2), np.zeros((1, 0), np.int32)).shape == (1, 0)


def test_what_cannot_be_listed_is_a_miss() -> None:
    scores = row(1, -INF, 2)
    assert rank_of_truth(scores, np.array([2])).tolist() == [MISS]
    assert rank_of_truth(scores, np.array([0])).tolist() == [MISS]
    assert rank_of_promoted(scores, np.array([[2, 3]])).tolist() == [[MISS, 1]]


def test_lists_are_best_first_ties_to_the_lower_id_and_padded() -> None:
    assert top_k(row(1, 3, 3, 2), 3).tolist() == [[2, 3, 4]]
    assert top_k(row(5, 5, 5, 5), 2).tolist() == [[1, 2]]
    assert top_k(row(1, 3), 4).tolist() == [[2, 1, 0, 0]]
    assert top_k(row(-INF, 3, -INF), 2).tolist() == [[2, 0]]
    assert top_k(row(-INF, -INF), 2).tolist() == [[0, 0]]
    assert top_k(row(INF, 3, INF), 2).tolist() == [[1, 3]]
    assert top_k(np.zeros((0, 4), np.float32), 2).shape == (0, 2)
    assert top_k(row(1, 2), 1).dtype == np.int32


def test_long_lists_of_a_large_catalogue_are_a_stable_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 300, size=(4, 2_000)).astype(np.float32)
    best = np.argsort(-scores[:, 1:], axis=1, kind="stable") + 1
    for k in (1, 2, 100, 1_999):
        assert np.array_equal(top_k(scores, k), best[:, :k])


def test_a_list_has_at_least_one_place_and_may_be_longer_than_the_catalogue() -> None:
    with pytest.raises(InputError, match="K = 0"):
        top_k(row(1, 2), 0)
    assert top_k(np.zeros((2, 1), np.float32), 3).tolist() == [[0, 0, 0]] * 2


def test_a_miss_is_the_largest_rank_that_int32_holds() -> None:
    assert np.iinfo(np.int32).max == MISS


def test_seen_items_leave_the_ranking() -> None:
    scores = np.tile(row(1, 2, 3, 4), (2, 1))
    mask_seen(scores, np.array([[0, 4], [3, 4]]))
    assert top_k(scores, 4).tolist() == [[3, 2, 1, 0], [2, 1, 0, 0]]
    assert rank_of_truth(scores, np.array([4, 1])).tolist() == [MISS, 2]  # a seen true item is a miss


def test_the_true_item_can_be_excepted_from_the_mask() -> None:
    scores = row(1, 2, 3, 4)
    mask_seen(scores, np.array([[3, 4]]), keep=np.array([3]))
    assert rank_of_truth(scores, np.array([3])).tolist() == [1]
    assert top_k(scores, 4).tolist() == [[3, 2, 1, 0]]


def test_ranks_in_lists() -> None:
    lists = np.array([[4, 2, 0], [4, 2, 0], [0, 0, 0]])
    assert rank_in_lists(lists, np.array([2, 3, 0])).tolist() == [2, MISS, MISS]
    assert rank_in_lists(np.zeros((2, 0), np.int32), np.array([1, 2])).tolist() == [MISS, MISS]
