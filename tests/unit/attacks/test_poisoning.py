"""What fake profiles hold."""

from __future__ import annotations

import numpy as np
import pytest

from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.attacks.poisoning.orders import interleave
from robust.attacks.poisoning.random import Random
from robust.errors import NotApplicable, NotKnown
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import taste_log, view

LOG = taste_log()
GOAL = Promote(items=(78, 79, 80))
BUDGET = Budget(users=9, profile_length=20)


def test_bandwagon_selects_the_most_popular_items_for_every_profile() -> None:
    edit = Bandwagon(selected=0.2)(view(log=LOG), GOAL, BUDGET, np.random.default_rng(0)).edit
    popular = np.argsort(-LOG.popularity[1:], kind="stable")[:4] + 1
    assert all(set(popular.tolist()) <= set(profile) for profile in edit.add.tolist())
    filler = edit.add[~np.isin(edit.add, [*popular, *GOAL.items])]
    assert len(filler) == 9 * (20 - 4 - 3)
    assert len(np.unique(filler)) > 40, "filler is drawn from the whole catalogue"


def test_a_popular_target_is_not_selected_twice() -> None:
    top = int(np.argmax(LOG.popularity))
    edit = Bandwagon(selected=0.5)(view(log=LOG), Promote(items=(top,)), BUDGET, np.random.default_rng(0)).edit
    assert np.all((edit.add == top).sum(axis=1) == 1)


def test_a_share_too_small_for_one_item_still_selects_one() -> None:
    edit = Bandwagon(selected=0.01)(view(log=LOG), GOAL, BUDGET, np.random.default_rng(0)).edit
    assert np.all((edit.add == np.argmax(LOG.popularity)).sum(axis=1) == 1)


def test_random_pushes_nothing_when_it_degrades() -> None:
    edit = Random()(view(log=LOG), Degrade(), Budget(users=200, profile_length=20), np.random.default_rng(0)).edit
    counts = np.bincount(edit.add.ravel(), minlength=81)[1:]
    # 200 draws with probability 1/4 each: mean 50, standard deviation 6
    assert np.abs(counts - 50).max() < 5 * 6.2


def test_interleaving_puts_one_item_before_each_target() -> None:
    profile = interleave(
        np.array([[1, 2]], dtype=np.int32), np.array([[7, 8, 9, 10, 11]], dtype=np.int32), np.random.default_rng(0)
    )[0]
    assert (profile <= 2).tolist() == [False, False, False, False, True, False, True]


def test_goals_and_knowledge_are_checked() -> None:
    for goal in (Demote(items=(1,)), Degrade()):
        with pytest.raises(NotApplicable, match="bandwagon"):
            Bandwagon()(view(log=LOG), goal, BUDGET, np.random.default_rng(0))
    with pytest.raises(NotKnown, match="popularity"):
        Bandwagon()(view(log=LOG, knowledge=Knowledge(log="none")), GOAL, BUDGET, np.random.default_rng(0))
    blind = view(log=LOG, knowledge=Knowledge(log="popularity"))
    assert Bandwagon()(blind, GOAL, BUDGET, np.random.default_rng(0)).queries == 0


def test_the_control_of_bandwagon_is_random_in_the_same_arrangement() -> None:
    assert Bandwagon(order="interleave", length=0.5).control_attack(BUDGET) == (
        "random",
        {"order": "interleave", "times": "bootstrap", "length": 0.5},
    )
