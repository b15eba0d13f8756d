"""What fake profiles hold."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from robust.attacks.poisoning.average import Average
from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.attacks.poisoning.obfuscated import Obfuscated
from robust.attacks.poisoning.power_user import PowerUser, newest_items, power_users
from robust.attacks.poisoning.profiles import draw_weighted
from robust.attacks.poisoning.random import Random
from robust.attacks.poisoning.reverse_bandwagon import ReverseBandwagon
from robust.attacks.poisoning.segment import Segment, neighbours
from robust.attacks.poisoning.similarity import co_occurrence
from robust.errors import NotApplicable, NotKnown
from robust.log import InteractionLog
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import taste_log, view

LOG = taste_log()
GOAL = Promote(items=(78, 79, 80))
BUDGET = Budget(users=9, profile_length=20)
RNG = np.random.default_rng


def test_bandwagon_selects_the_most_popular_items_for_every_profile() -> None:
    edit = Bandwagon(selected=0.2)(view(log=LOG), GOAL, BUDGET, RNG(0)).edit
    popular = np.argsort(-LOG.popularity[1:], kind="stable")[:4] + 1
    assert all(set(popular.tolist()) <= set(profile) for profile in edit.add.tolist())
    filler = edit.add[~np.isin(edit.add, [*popular, *GOAL.items])]
    assert len(filler) == 9 * (20 - 4 - 3)
    assert len(np.unique(filler)) > 40, "filler is drawn from the whole catalogue"


def test_a_popular_target_is_not_selected_twice() -> None:
    top = int(np.argmax(LOG.popularity))
    edit = Bandwagon(selected=0.5)(view(log=LOG), Promote(items=(top,)), BUDGET, RNG(0)).edit
    assert np.all((edit.add == top).sum(axis=1) == 1)


def test_a_share_too_small_for_one_item_still_selects_one() -> None:
    edit = Bandwagon(selected=0.01)(view(log=LOG), GOAL, BUDGET, RNG(0)).edit
    assert np.all((edit.add == np.argmax(LOG.popularity)).sum(axis=1) == 1)


def test_random_pushes_nothing_when_it_degrades() -> None:
    edit = Random()(view(log=LOG), Degrade(), Budget(users=200, profile_length=20), RNG(0)).edit
    counts = np.bincount(edit.add.ravel(), minlength=81)[1:]
    # 200 draws with probability 1/4 each: mean 50, standard deviation 6
    assert np.abs(counts - 50).max() < 5 * 6.2


def test_goals_and_knowledge_are_checked() -> None:
    for goal in (Demote(items=(1,)), Degrade()):
        with pytest.raises(NotApplicable, match="bandwagon"):
            Bandwagon()(view(log=LOG), goal, BUDGET, RNG(0))
    with pytest.raises(NotApplicable, match="reverse-bandwagon"):
        ReverseBandwagon()(view(log=LOG), GOAL, BUDGET, RNG(0))
    with pytest.raises(NotKnown, match="popularity"):
        Bandwagon()(view(log=LOG, knowledge=Knowledge(log="none")), GOAL, BUDGET, RNG(0))
    blind = view(log=LOG, knowledge=Knowledge(log="popularity"))
    assert Bandwagon()(blind, GOAL, BUDGET, RNG(0)).queries == 0
    for attack in (Segment(), PowerUser()):
        with pytest.raises(NotKnown, match="train rows"):
            attack(blind, GOAL, BUDGET, RNG(0))


def test_the_control_of_a_template_is_random_in_the_same_arrangement() -> None:
    arrangement = {"order": "interleave", "times": "recent", "length": 0.5}
    for kind in (Bandwagon, Average, Segment, PowerUser, Obfuscated):
        assert kind.model_validate(arrangement).control_attack(BUDGET) == ("random", arrangement)
    assert Random.model_validate(arrangement).control_attack(BUDGET) is None


# --- average


def test_one_item_is_drawn_in_proportion_to_popularity() -> None:
    weights = np.array([99, 5, 0, 3, 2])
    drawn = draw_weighted(weights, np.full((20_000, 1), 4, np.int32), 1, RNG(0))
    counts = np.bincount(drawn.ravel(), minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0], "padding, what nobody holds, what is left out"
    assert abs(counts[1] - 12_500) < 5 * 68  # a binomial of 20,000 and 5/8


def test_draws_follow_successive_sampling_in_their_order() -> None:
    weights = np.array([0.0, 5, 3, 2])
    drawn = draw_weighted(weights, np.zeros((30_000, 0), np.int32), 2, RNG(0))
    counts = Counter(map(tuple, drawn.tolist()))
    for first, second in permutations((1, 2, 3), 2):
        chance = weights[first] / 10 * weights[second] / (10 - weights[first])
        deviation = (30_000 * chance * (1 - chance)) ** 0.5
        assert abs(counts[first, second] - 30_000 * chance) < 5 * deviation


def test_what_nobody_holds_is_drawn_only_when_all_else_is_taken() -> None:
    drawn = draw_weighted(np.array([0, 0, 7, 0, 1]), np.zeros((200, 0), np.int32), 3, RNG(0))
    assert set(drawn[:, :2].ravel().tolist()) == {2, 4}
    assert set(drawn[:, 2].tolist()) == {1, 3}


def test_blocks_change_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = np.tile(np.array([2, 5], np.int32), (7, 1))
    whole = draw_weighted(np.arange(31), taken, 6, RNG(3))
    monkeypatch.setattr("robust.attacks.poisoning.profiles.BLOCK", 64)
    assert np.array_equal(draw_weighted(np.arange(31), taken, 6, RNG(3)), whole)


def test_the_items_of_average_are_as_popular_as_genuine_ones() -> None:
    # weights so flat that no item is expected twice in a profile: the marginals are those of the log
    log = InteractionLog.from_columns(
        np.arange(600), np.repeat(np.arange(1, 31), np.tile([10, 30], 15)), np.arange(600)
    )
    edit = Average()(view(log=log), Promote(items=(30,)), Budget(users=4000, profile_length=3), RNG(0)).edit
    counts = np.bincount(edit.add.ravel(), minlength=31)[1:30]
    expected = log.popularity[1:30] / log.popularity[1:30].sum() * 8000
    # the second item of a profile leaves a heavy one a little less: 1% here
    assert np.abs(counts / expected - 1).max() < 0.02 + 5 / counts.min() ** 0.5


# --- segment


def test_segments_take_turns_over_targets() -> None:
    similarity = np.array([[0, 1, 0.0, 0.9, 0.8, 0.0, 0.7], [0, 0.0, 1, 0.9, 0.0, 0.0, 0.1]])
    assert neighbours(similarity, np.array([1, 2], np.int32)).tolist() == [3, 4, 6]
    ranked = np.array([[0, 1, 0.3, 0, 0.9, 0.2, 0], [0, 0.3, 1, 0.8, 0.1, 0, 0]])
    assert neighbours(ranked, np.array([1, 2], np.int32)).tolist() == [4, 3, 5]


def test_segment_selects_whom_the_target_s_users_hold() -> None:
    target = 3  # of the first taste: items 1 to 20
    edit = Segment(selected=0.5)(view(log=LOG), Promote(items=(target,)), BUDGET, RNG(0)).edit
    similarity = co_occurrence(LOG, np.array([target]))[0]
    similarity[target] = 0
    nearest = np.argsort(-similarity, kind="stable")[:10].tolist()
    assert all(set(nearest) <= set(profile) for profile in edit.add.tolist())
    assert max(nearest) <= 20, "of the same taste"


def test_a_target_without_neighbours_leaves_the_profile_to_filler() -> None:
    log = InteractionLog.from_columns([0, 1, 1, 1], [1, 2, 3, 4], [0, 1, 2, 3], n_items=30)
    edit = Segment(selected=1)(view(log=log), Promote(items=(1,)), Budget(users=40, profile_length=9), RNG(0)).edit
    assert len(np.unique(edit.add)) == 30


# --- reverse bandwagon


def test_love_hate_leaves_the_targets_out_and_prefers_popular_items() -> None:
    item = np.repeat(np.arange(1, 41), np.arange(1, 41))  # item i is held i times
    log = InteractionLog.from_columns(np.arange(len(item)), item, np.arange(len(item)))
    goal, budget = Demote(items=(39, 40)), Budget(users=300, profile_length=5)
    edits = [ReverseBandwagon(selected=share)(view(log=log), goal, budget, RNG(0)).edit for share in (1, 0.6, 0)]
    assert not any(np.isin(edit.add, goal.items).any() for edit in edits)
    popular, mixed, uniform = (float(log.popularity[edit.add].mean()) for edit in edits)
    assert uniform == pytest.approx(19.5, abs=5 * 11 / 1500**0.5)
    assert popular == pytest.approx(25, abs=1), "two thirds of the way up, less a little since nothing is drawn twice"
    assert uniform + 1 < mixed < popular - 1
    assert ReverseBandwagon(order="alternate").control_attack(BUDGET)[1]["selected"] == 0
    every = Demote(items=tuple(range(1, 79)))
    assert ReverseBandwagon()(view(log=LOG), every, BUDGET, RNG(0)).edit.add.shape == (9, 2), "no more is left"


def test_tie_holds_the_targets_among_the_least_popular_items() -> None:
    goal = Demote(items=(1, 2))
    edit = ReverseBandwagon(form="tie", selected=0.5)(view(log=LOG), goal, BUDGET, RNG(0)).edit
    least = np.argsort(LOG.popularity[1:], kind="stable")[:10] + 1
    assert all({1, 2, *least.tolist()} <= set(profile) for profile in edit.add.tolist())


# --- power user

SMALL = InteractionLog.from_columns(
    [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3],
    [1, 2, 1, 3, 4, 5, 6, 1, 2, 4, 5, 2, 6],
    list(range(13)),
    n_users=5,
    n_items=12,
)


def test_power_users_hold_most_distinct_items() -> None:
    assert power_users(SMALL, 4).tolist() == [2, 0, 1, 3], "4, 3, 3 and 1; user 4 holds nothing"
    assert power_users(SMALL, 6).tolist() == [2, 0, 1, 3, 2, 0]


def test_copies_are_the_newest_distinct_items_in_order() -> None:
    copied = newest_items(SMALL, np.array([2, 0, 2, 3]), np.array([4], np.int32), 3)
    assert copied.tolist() == [[1, 5, 2], [2, 1, 3], [1, 5, 2], [0, 0, 6]]


def test_a_power_user_gives_at_most_a_share_to_targets() -> None:
    goal = Promote(items=(10, 11, 12))
    for share, held in ((0.01, 1), (0.3, 1), (0.4, 2), (1.0, 3)):
        edit = PowerUser(share=share)(view(log=SMALL), goal, Budget(users=3, profile_length=5), RNG(0)).edit
        assert np.isin(edit.add, goal.items).sum(axis=1).tolist() == [held] * 3
    copied = PowerUser(share=0.2)(view(log=SMALL), goal, Budget(users=3, profile_length=4), RNG(1)).edit.add
    genuine = [[item for item in profile if item < 10] for profile in copied.tolist()]
    assert genuine == [[4, 5, 2], [2, 1, 3], [4, 5, 6]], "in the users' own order"


def test_a_user_with_too_few_items_is_filled_up_at_the_oldest_end() -> None:
    edit = PowerUser(order="target_last")(
        view(log=SMALL), Promote(items=(12,)), Budget(users=4, profile_length=8), RNG(0)
    ).edit
    assert edit.add[3, -2:].tolist() == [6, 12]
    assert all(len(set(profile)) == 8 for profile in edit.add.tolist())
    # the catalogue has 12 items of which 11 are targets: there is but one other to copy
    crowded = PowerUser(share=0.1)(
        view(log=SMALL), Promote(items=tuple(range(2, 13))), Budget(users=2, profile_length=9), RNG(0)
    ).edit
    assert crowded.add.shape == (2, 9)


# --- obfuscated


def test_obfuscated_mixes_templates_and_leaves_targets_out() -> None:
    goal = Promote(items=(76, 77, 78, 79, 80))
    attack = Obfuscated(templates=("bandwagon", "segment"), noise=0, shift=0.4)
    edit = attack(view(log=LOG), goal, Budget(users=10, profile_length=20), RNG(0)).edit
    assert attack.needs_log == "full"
    assert Obfuscated().needs_log == "popularity"
    held = np.isin(edit.add, goal.items)
    assert held.sum(axis=1).tolist() == [3] * 10
    counts = np.bincount(edit.add[held], minlength=81)[76:]
    assert counts.tolist() == [6] * 5, "each target as often as another"
    groups = {frozenset(profile) & frozenset(goal.items) for profile in edit.add.tolist()}
    assert len(groups) == 5, "no longer the same group in each profile"
    popular = (np.argsort(-LOG.popularity[1:], kind="stable")[:2] + 1).tolist()
    nearest = neighbours(co_occurrence(LOG, np.array(goal.items)), np.array(goal.items, np.int32))[:2].tolist()
    assert all(set(popular) <= set(profile) for profile in edit.add[:5].tolist())
    assert all(set(nearest) <= set(profile) for profile in edit.add[5:].tolist())


def test_noise_replaces_its_share_of_other_items() -> None:
    # both genuine users hold items 1 to 10, so that whatever else a copy of them holds was drawn anew
    item, time = np.tile(np.arange(1, 11), 2), np.tile(np.arange(10), 2)
    log = InteractionLog.from_columns(np.repeat([0, 1], 10), item, time, n_items=90)
    for noise, expected in ((0.0, 0), (0.5, 5), (1.0, 10)):
        attack = Obfuscated(templates=("power-user",), noise=noise)
        edit = attack(view(log=log), Promote(items=(90,)), Budget(users=6, profile_length=11), RNG(0)).edit
        fresh = (edit.add > 10) & (edit.add < 90)
        assert fresh.sum(axis=1).tolist() == [expected] * 6
        assert all(len(set(profile)) == 11 for profile in edit.add.tolist())
