"""What must hold of ranks, lists and metrics whatever the scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from robust.metrics.beyond import gini
from robust.metrics.full_ranking import (
    MISS,
    rank_in_lists,
    rank_of_demoted,
    rank_of_promoted,
    rank_of_truth,
    top_k,
)
from robust.metrics.ranking import hit_ratio, mrr, ndcg

Scores = NDArray[np.float32]
# few values, so that ties are the rule, and −inf for what cannot be listed
entries = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0])
scores = st.tuples(st.integers(1, 4), st.integers(2, 9)).flatmap(lambda s: arrays(np.float32, s, elements=entries))
lengths = st.integers(1, 11)


@given(scores, lengths)
def test_lists_are_a_stable_sort(scores: Scores, k: int) -> None:
    for listed, row in zip(top_k(scores, k).tolist(), scores.tolist(), strict=True):
        best = sorted((item for item in range(1, len(row)) if row[item] > -np.inf), key=lambda item: -row[item])
        assert listed == [*best, *[0] * k][:k]


@given(scores, lengths)
def test_a_shorter_list_is_a_prefix(scores: Scores, k: int) -> None:
    assert (top_k(scores, k + 1)[:, :k] == top_k(scores, k)).all()


@given(scores)
def test_ranks_are_counts_and_ties_go_against_the_defender(scores: Scores) -> None:
    for item in range(1, scores.shape[1]):
        ids = np.full(len(scores), item)
        truth, promoted = rank_of_truth(scores, ids), rank_of_promoted(scores, ids[:, None])[:, 0]
        assert (rank_of_demoted(scores, ids[:, None])[:, 0] == truth).all()
        assert (promoted <= truth).all()
        in_lists = rank_in_lists(top_k(scores, scores.shape[1]), ids)
        assert ((promoted <= in_lists) & (in_lists <= truth)).all()  # a list breaks the tie in some way between
        for rank, best, row in zip(truth, promoted, scores, strict=True):
            others = np.delete(row[1:], item - 1)
            if row[item] == -np.inf:
                assert rank == best == MISS
            else:
                assert rank == 1 + sum(others >= row[item])
                assert best == 1 + sum(others > row[item])


@given(scores, lengths)
def test_a_monotone_transform_of_the_scores_changes_nothing(scores: Scores, k: int) -> None:
    bent = (np.exp(scores) * 3 - 7).astype(np.float32)
    bent[np.isneginf(scores)] = -np.inf
    truth = np.full(len(scores), 1)
    assert (top_k(bent, k) == top_k(scores, k)).all()
    assert (rank_of_truth(bent, truth) == rank_of_truth(scores, truth)).all()


@given(st.lists(st.one_of(st.integers(1, 30), st.just(MISS)), min_size=1), st.integers(1, 20))
def test_metrics_lie_between_0_and_1_and_grow_with_the_list(ranks: list[int], k: int) -> None:
    for metric in (hit_ratio, ndcg, mrr):
        here, longer = metric(ranks, k), metric(ranks, k + 1)
        assert ((here >= 0) & (here <= 1) & (here <= longer)).all()
    assert (mrr(ranks, k) <= ndcg(ranks, k)).all()
    assert (ndcg(ranks, k) <= hit_ratio(ranks, k)).all()


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1e6)), st.floats(0.01, 100))
def test_inequality_does_not_depend_on_the_unit(values: NDArray[np.float64], unit: float) -> None:
    values[0] = 1.0  # something is shown
    assert gini(values) + 1e-12 >= 0
    assert gini(values) <= 1 - 1 / len(values) + 1e-9
    assert abs(gini(values * unit) - gini(values)) < 1e-9
