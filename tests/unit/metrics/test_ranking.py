"""Quality metrics against scikit-learn and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from robust.errors import InputError
from robust.metrics.full_ranking import MISS, rank_of_truth
from robust.metrics.ranking import hit_ratio, mrr, ndcg

USERS, ITEMS = 200, 40


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """Scores [n, n_items + 1] without ties, and true items."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((USERS, ITEMS + 1)), rng.integers(1, ITEMS + 1, USERS)


@pytest.mark.parametrize("k", [1, 5, 10, ITEMS])
def test_ndcg_is_scikit_learns(scored: tuple[np.ndarray, np.ndarray], k: int) -> None:
    scores, truth = scored
    relevant = np.eye(ITEMS + 1)[truth][:, 1:]
    ours = ndcg(rank_of_truth(scores, truth), k)
    assert ours.mean() == pytest.approx(ndcg_score(relevant, scores[:, 1:], k=k))


@pytest.mark.parametrize("k", [1, 5, 10])
def test_hit_ratio_is_scikit_learns_top_k_accuracy(scored: tuple[np.ndarray, np.ndarray], k: int) -> None:
    scores, truth = scored
    theirs = top_k_accuracy_score(truth, scores[:, 1:], k=k, labels=np.arange(1, ITEMS + 1))
    assert hit_ratio(rank_of_truth(scores, truth), k).mean() == pytest.approx(theirs)


def test_mrr_is_scikit_learns_average_precision_of_one_item_ties_included(
    scored: tuple[np.ndarray, np.ndarray],
) -> None:
    scores, truth = np.round(scored[0]), scored[1]
    relevant = np.eye(ITEMS + 1)[truth][:, 1:]
    ours = mrr(rank_of_truth(scores, truth), ITEMS)
    assert ours.mean() == pytest.approx(label_ranking_average_precision_score(relevant, scores[:, 1:]))


def test_by_hand() -> None:
    ranks = [1, 2, 3, 10, 11, MISS]
    assert hit_ratio(ranks, 10).tolist() == [1, 1, 1, 1, 0, 0]
    assert ndcg(ranks, 3) == pytest.approx([1, 1 / np.log2(3), 1 / 2, 0, 0, 0])
    assert mrr(ranks, 10) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 10, 0, 0])


def test_what_is_no_rank_is_refused() -> None:
    with pytest.raises(InputError, match="start at 1"):
        hit_ratio([0, 3], 10)
    with pytest.raises(InputError, match="integers"):
        ndcg([1.5], 10)
    with pytest.raises(InputError, match="K = 0"):
        mrr([1], 0)
