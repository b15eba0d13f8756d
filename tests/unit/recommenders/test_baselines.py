"""Baselines against hand-computed tables and independent code."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from robust.errors import InputError
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.baselines import ItemKNN, Markov, Popularity
from tests.toys import chain_log, taste_log

# user 0: 1 2 3 2; user 1: 2 3; user 2: 1 2 4; item 5 never
LOG = InteractionLog.from_columns([0, 0, 0, 0, 1, 1, 2, 2, 2], [1, 2, 3, 2, 2, 3, 1, 2, 4], range(9), n_items=5)


def ranked(model: Popularity | Markov | ItemKNN, *items: int) -> list[int]:
    return [int(item) for item in model.recommend(SequenceBatch.from_lists([list(items)]), 5)[0]]


def test_popularity_ignores_the_sequence() -> None:
    model = Popularity().fit(LOG, seed=0)
    assert ranked(model, 3) == ranked(model, 1, 2) == [2, 1, 3, 4, 5]


def test_first_order_markov_by_hand() -> None:
    model = Markov().fit(LOG, seed=0)
    scores = model.score(SequenceBatch.from_lists([[1, 2]]))[0]
    # 2 was followed by 3, 3 and 4; popularity adds less than a thousandth
    assert scores[1:] == pytest.approx([0, 0, 2 / 3, 1 / 3, 0], abs=1e-3)
    assert ranked(model, 1, 2) == [3, 4, 2, 1, 5]
    assert ranked(model, 4) == [2, 1, 3, 4, 5]  # no successor: popularity


def test_gaps_count_and_vote_with_falling_weight() -> None:
    model = Markov(gaps=2).fit(LOG, seed=0)
    # from 1: at gap 1 item 2 twice; at gap 2 items 3 and 4, half a count each
    row_of_1 = np.array([0, 2, 0.5, 0.5, 0]) / 3
    # from 2: 3, 3, 4 at gap 1; 2 at gap 2 (user 0: 2 3 2)
    row_of_2 = np.array([0, 0.5, 2, 1, 0]) / 3.5
    scores = model.score(SequenceBatch.from_lists([[4, 1, 2]]))[0, 1:]
    assert scores == pytest.approx(row_of_2 + row_of_1 / 2, abs=1e-3)


def test_item_knn_is_the_mean_cosine_over_users_whatever_the_order() -> None:
    log = taste_log(users=60, n_items=40)
    held = np.zeros((log.n_users, 41))
    held[log.user, log.item] = 1
    similarity = cosine_similarity(held.T)
    np.fill_diagonal(similarity, 0)
    model = ItemKNN(neighbours=40).fit(log, seed=0)
    history = [3, 9, 9, 17]
    expected = similarity[[3, 9, 17]].mean(axis=0)
    forwards, backwards = (model.score(SequenceBatch.from_lists([row]))[0, 1:] for row in (history, history[::-1]))
    assert forwards == pytest.approx(expected[1:], abs=1e-3)
    assert np.array_equal(forwards, backwards)


def test_item_knn_keeps_the_nearest_neighbours_only() -> None:
    log = taste_log(users=100, n_items=60)
    few, all_of_them = (ItemKNN(neighbours=k).fit(log, seed=0) for k in (5, 60))
    one = SequenceBatch.from_lists([[7]])
    assert np.array_equal(few.recommend(one, 5), all_of_them.recommend(one, 5))
    assert int((few.score(one)[0, 1:] > 0.01).sum()) == 5


@pytest.mark.parametrize("kind", [Popularity, Markov, ItemKNN])
def test_misuse_is_refused(kind: type[Popularity] | type[Markov] | type[ItemKNN]) -> None:
    with pytest.raises(InputError, match="is not fitted"):
        kind().score(SequenceBatch.from_lists([[1]]))
    with pytest.raises(InputError, match=r"run from 1 to 5, 0 pads; a sequence holds 6…6"):
        kind().fit(LOG, seed=0).score(SequenceBatch.from_lists([[6]]))
    with pytest.raises(InputError, match="no setting of"):
        kind(gap=3)


def test_fitting_leaves_the_victim_as_it_was() -> None:
    first = Markov(gaps=2).fit(chain_log(users=5), seed=0)
    before = first.score(SequenceBatch.from_lists([[1]])).copy()
    second = first.fit(chain_log(users=9, noise=0.5), seed=0)
    assert second.settings == first.settings
    assert np.array_equal(first.score(SequenceBatch.from_lists([[1]])), before)
