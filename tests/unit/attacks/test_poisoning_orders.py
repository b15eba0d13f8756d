"""In which order profiles show their items, against cases worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from robust.attacks.poisoning.average import Average
from robust.attacks.poisoning.orders import alternate, draw_targets, interleave, scatter, target_last
from robust.attacks.poisoning.orders_by_log import cluster_then_target, markov
from robust.attacks.poisoning.random import Random
from robust.attacks.poisoning.segment import Segment
from robust.attacks.poisoning.similarity import co_occurrence
from robust.errors import NotKnown
from robust.log import Int32, InteractionLog
from robust.threat import Budget, Degrade, Knowledge, Promote
from tests.toys import chain_log, taste_log, view

RNG = np.random.default_rng


def rows(*profiles: list[int]) -> Int32:
    return np.array(profiles, dtype=np.int32)


def test_interleaving_puts_one_item_before_each_target() -> None:
    profile = interleave(rows([1, 2]), rows([7, 8, 9, 10, 11]), RNG(0))[0]
    assert (profile <= 2).tolist() == [False, False, False, False, True, False, True]


@pytest.mark.parametrize("order", [scatter, target_last, interleave, alternate])
def test_all_but_shuffle_keep_the_others_in_their_order(order: object) -> None:
    assert callable(order)
    others = rows(list(range(9, 4, -1)), list(range(11, 16)))
    for seed in range(5):
        arranged = order(rows([1, 2], [2, 3]), others, RNG(seed))
        assert arranged[arranged > 3].reshape(2, 5).tolist() == others.tolist()


def test_scattered_targets_stand_anywhere() -> None:
    arranged = scatter(np.full((4000, 1), 1, np.int32), np.tile(rows([7, 8, 9]), (4000, 1)), RNG(0))
    places = np.bincount((arranged == 1).argmax(axis=1), minlength=4)
    assert np.abs(places - 1000).max() < 5 * 28  # a binomial of 4000 and 1/4


@pytest.mark.parametrize(
    ("targets", "others", "expected"),
    [
        ([1, 2, 1], [7, 8], [1, 7, 2, 8, 1]),
        ([1, 2], [7, 8], [1, 7, 2, 8]),
        ([1, 2, 1, 2], [7], [1, 2, 1, 7, 2]),  # too few others: the targets in excess stand first
        ([1, 2], [], [1, 2]),
        ([], [7, 8], [7, 8]),
    ],
)
def test_alternating(targets: list[int], others: list[int], expected: list[int]) -> None:
    given = np.array([targets], np.int32).reshape(1, -1), np.array([others], np.int32).reshape(1, -1)
    assert alternate(*given, RNG(0)).tolist() == [expected]


def test_alternating_targets_are_drawn_anew_each_time() -> None:
    goal, budget = Promote(items=(3, 4)), Budget(users=400, profile_length=7)
    edit = Random(order="alternate")(view(log=taste_log()), goal, budget, RNG(0)).edit
    drawn = edit.add[:, ::2]
    assert np.isin(drawn, (3, 4)).all()
    assert not np.isin(edit.add[:, 1::2], (3, 4)).any()
    assert abs(float((drawn == 3).mean()) - 0.5) < 5 * 0.5 / 40
    assert abs(float((drawn[:, 0] == drawn[:, 1]).mean()) - 0.5) < 5 * 0.5 / 20, "independently of the one before"
    assert draw_targets((3, 4), (0, 5), RNG(0)).shape == (0, 5)


def test_markov_walks_where_genuine_users_went() -> None:
    log = chain_log(users=50, n_items=12, length=15)  # everybody goes from i to i + 1
    arranged = markov(log, rows([7], [7]), rows([5, 3, 4, 6, 8], [8, 6, 5, 3, 4]), RNG(0))
    for profile in arranged.tolist():
        assert profile[profile.index(6) + 1] == 7, "the target stands behind its only predecessor"
        without = [item for item in profile if item != 7]
        # a walk ends at 6 or 8, which lead to nothing that is left, and jumps on from there
        jumps = [(a, b) for a, b in pairwise(without) if b != a + 1]
        assert all(a in (6, 8) for a, _ in jumps), profile


def test_markov_draws_the_next_item_by_its_share() -> None:
    # from 1 three users in four go to 2, one to 3
    log = InteractionLog.from_columns(
        np.repeat(np.arange(4), 2), [1, 2, 1, 2, 1, 2, 1, 3], np.tile([0, 1], 4), n_items=4
    )
    arranged = markov(log, np.zeros((6000, 0), np.int32), np.tile(rows([1, 2, 3]), (6000, 1)), RNG(0))
    from_one = arranged[arranged[:, 0] == 1]
    assert abs(float((from_one[:, 1] == 2).mean()) - 0.75) < 5 * 0.433 / len(from_one) ** 0.5
    assert abs(len(from_one) - 2000) < 5 * 37, "and begins anywhere"


def test_markov_has_nothing_to_go_by_in_an_empty_log() -> None:
    empty = InteractionLog.from_columns([], [], [], n_users=2, n_items=9)
    assert sorted(markov(empty, rows([1, 2]), rows([5, 6]), RNG(0))[0].tolist()) == [1, 2, 5, 6]


def test_cluster_puts_similar_items_just_before_their_target() -> None:
    # users 0-3 hold 1 with 5, three of them with 6 too; users 4-5 hold 2 with 7; nobody of them holds 8
    user = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    item = [1, 5, 6, 1, 5, 6, 1, 5, 6, 1, 5, 2, 7, 2, 7, 8]
    log = InteractionLog.from_columns(user, item, np.arange(16), n_items=9)
    expected = {(8, 6, 5, 1, 7, 2), (8, 7, 2, 6, 5, 1)}
    seen = {tuple(cluster_then_target(log, rows([1, 2]), rows([5, 6, 7, 8]), RNG(s))[0].tolist()) for s in range(20)}
    assert seen == expected, "the most similar item last, what is similar to none at the oldest end"
    assert cluster_then_target(log, rows([]).reshape(1, 0), rows([5, 6]), RNG(0)).tolist() == [[5, 6]]


def test_similarity_is_the_cosine_of_who_holds_what() -> None:
    log = taste_log(users=40, n_items=40)
    held = np.zeros((40, 41))
    held[log.user, log.item] = 1
    norms = np.linalg.norm(held, axis=0)
    expected = held[:, [3, 7]].T @ held / np.maximum(np.outer(norms[[3, 7]], norms), 1e-9)
    assert co_occurrence(log, np.array([3, 7])) == pytest.approx(expected)


def test_orders_by_the_rows_need_the_rows() -> None:
    budget, goal = Budget(users=2, profile_length=5), Promote(items=(1,))
    blind = view(log=taste_log(), knowledge=Knowledge(log="popularity"))
    for order in ("markov", "cluster_then_target"):
        attack = Average.model_validate({"order": order})
        assert attack.needs_log == "full"
        with pytest.raises(NotKnown, match="train rows"):
            attack(blind, goal, budget, RNG(0))
    assert Average(order="alternate").needs_log == "popularity"
    assert Segment().needs_log == "full"


def test_alternating_without_targets_is_all_filler() -> None:
    edit = Random(order="alternate")(view(log=taste_log()), Degrade(), Budget(users=3, profile_length=9), RNG(0)).edit
    assert edit.add.shape == (3, 9)
    assert all(len(set(profile)) == 9 for profile in edit.add.tolist())
