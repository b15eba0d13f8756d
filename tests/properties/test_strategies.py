"""The strategies keep their promises, reach what they should reach, and shrink to what is easy to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from pydantic import Field

from robust import plugins
from robust.attack import AnyGoal, Attack, EvasionAttack, PoisoningAttack
from robust.checks import check_edit, check_sequences, edit_distance
from robust.defense import Defense
from robust.edits import Edit, apply_edits
from robust.errors import InputError
from robust.frozen import Frozen
from robust.log import InteractionLog, SequenceBatch
from robust.testing import strategies as ours
from robust.threat import Budget, Knowledge


@given(log=ours.interaction_logs())
def test_logs_are_sorted_and_within_their_vocabularies(log: InteractionLog) -> None:
    assert len(log) >= 1
    order = np.lexsort((np.arange(len(log)), log.timestamp, log.user))
    assert np.array_equal(order, np.arange(len(log)))
    assert log.item.min() >= 1
    assert log.item.max() <= log.n_items
    assert log.user.max() < log.n_users


def test_logs_shrink_to_one_row() -> None:
    log = find(ours.interaction_logs(), lambda log: len(log) >= 1)
    assert (log.n_users, log.n_items, log.item.tolist()) == (1, 1, [1])


@pytest.mark.parametrize(
    "wanted",
    [
        lambda log: log.n_users == 8,
        lambda log: (log.lengths == 0).any(),
        lambda log: np.any((np.diff(log.timestamp) == 0) & (np.diff(log.user) == 0)),
    ],
    ids=["many users", "a user without rows", "ties in time"],
)
def test_logs_reach_the_awkward_cases(wanted: Any) -> None:
    assert wanted(find(ours.interaction_logs(), wanted))


@given(batch=ours.sequence_batches(n_items=7, max_length=4))
def test_batches_are_padded_on_the_left(batch: SequenceBatch) -> None:
    assert np.all((batch.items[:, :-1] == 0) | (batch.items[:, 1:] != 0))
    assert batch.lengths.min() >= 1
    assert batch.lengths.max() <= 4
    assert batch.items.max() <= 7


@given(data=st.data(), edits=st.integers(0, 4))
def test_edits_stay_within_their_budget(data: st.DataObject, edits: int) -> None:
    sequence = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    done = data.draw(ours.edits(sequence, Budget(edits=edits), n_items=9))
    edited = apply_edits(sequence, done)
    width = max(len(sequence), len(edited))
    clean, attacked = (SequenceBatch.from_lists([s], width) for s in (sequence, edited))
    assert edit_distance(clean, attacked)[0] <= len(done) <= edits
    assert edited
    check_sequences("edits", clean, attacked, edits, 9)


def test_edits_shrink_to_one_simple_late_edit_by_the_most_popular_item() -> None:
    popular = [6, 2, 9]
    drawn = find(ours.edits([1, 2, 3, 4], Budget(edits=3), n_items=9, items=popular), lambda done: len(done) > 0)
    assert drawn == (Edit("replace", 1, 6),)
    assert str(drawn[0]) == "replace the newest item by 6"


@pytest.mark.parametrize("kind", ["replace", "insert", "delete"])
def test_every_kind_of_edit_is_drawn(kind: str) -> None:
    found = find(ours.edits([1, 2, 3], Budget(edits=2), n_items=5), lambda done: any(e.kind == kind for e in done))
    assert len(found) == 1


def test_an_edit_beyond_the_sequence_is_refused() -> None:
    with pytest.raises(InputError, match="the sequence has 2 items"):
        apply_edits([1, 2], [Edit("delete", 3)])
    assert apply_edits([1, 2, 3], [Edit("insert", 3, 9), Edit("delete", 1), Edit("replace", 1, 7)]) == [1, 9, 7]


@given(data=st.data(), users=st.integers(0, 4), length=st.integers(1, 5))
def test_profiles_stay_within_their_budget(data: st.DataObject, users: int, length: int) -> None:
    budget = Budget(users=users, profile_length=length)
    check_edit("profiles", data.draw(ours.profiles(budget, n_items=6)), budget, 6)


def test_profiles_shrink_to_one_user_with_one_popular_item() -> None:
    edit = find(ours.profiles(Budget(users=5, profile_length=4), n_items=9, items=[7, 1]), lambda e: e.fake_users > 0)
    assert edit.add.tolist() == [[7]]


def test_a_budget_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="needs a budget that states edits"):
        find(ours.edits([1], Budget(users=1, profile_length=1), n_items=2), lambda _: True)
    with pytest.raises(InputError, match="states users and profile_length"):
        find(ours.profiles(Budget(edits=1), n_items=2), lambda _: True)


@given(goal=ours.goals(n_items=5))
def test_goals_name_distinct_items_of_the_catalogue(goal: AnyGoal) -> None:
    assert len(set(goal.items)) == len(goal.items) <= 3
    assert all(1 <= item <= 5 for item in goal.items)


@given(budget=ours.budgets(kinds=["edits", "epsilon"]))
def test_budgets_spend_one_thing(budget: Budget) -> None:
    assert (budget.edits is None) != (budget.epsilon is None)
    assert budget.users is None


@settings(deadline=None)
@given(attack=ours.attacks())
def test_attacks_have_valid_parameters(attack: Attack) -> None:
    assert plugins.build("attacks", attack.name, attack.model_dump()) == attack


@settings(deadline=None)
@given(defense=ours.defenses())
def test_defenses_have_valid_parameters(defense: Defense) -> None:
    assert plugins.build("defenses", defense.name, defense.model_dump()) == defense


@pytest.mark.parametrize("name", sorted(plugins.names("attacks")))
def test_every_installed_attack_is_drawn(name: str) -> None:
    drawn = find(ours.attacks(), lambda attack: attack.name == name, settings=settings(max_examples=2000))
    assert drawn == plugins.build("attacks", name, {})


def test_attacks_are_chosen_by_kind_and_knowledge() -> None:
    blind = ours.attacks(kind="evasion", knowledge=Knowledge(model="lists"))
    found = find(blind, lambda attack: attack.name == "random-substitution")
    assert found == plugins.build("attacks", "random-substitution", {})
    with pytest.raises(NoSuchExample):
        find(blind, lambda attack: attack.model_access not in ("none", "lists"), settings=settings(max_examples=200))
    for attack in (find(ours.attacks(kind="poisoning", goal="degrade"), lambda _: True),):
        assert isinstance(attack, PoisoningAttack)
        assert "degrade" in attack.goals
    with pytest.raises(InputError, match="No installed attack fits"):
        find(ours.attacks(kind="evasion", knowledge=Knowledge(model="none")), lambda _: True)
    assert issubclass(type(find(ours.attacks(kind="evasion"), lambda _: True)), EvasionAttack)


class Odd(Frozen):
    """A plugin's record with every kind of limit."""

    share: float = Field(default=0.1, gt=0, lt=1)
    count: int = Field(gt=2, lt=5)
    maybe: int | None = Field(default=None, ge=1)
    table: dict[str, int] = Field(default_factory=dict)
    word: str = Field(examples=["a", "b"])


@given(odd=ours.parameters(Odd))
def test_limits_of_fields_are_kept(odd: Odd) -> None:
    assert 0 < odd.share < 1
    assert odd.count in (3, 4)
    assert odd.table == {}


def test_a_field_without_known_values_says_what_it_needs() -> None:
    class Unknown(Frozen):
        word: str

    with pytest.raises(InputError, match=r"Unknown\.word: no values are known for .*give it examples"):
        ours.parameters(Unknown)
