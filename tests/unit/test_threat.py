"""Goals and budgets as a scenario states them, and what they become on a log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from robust.attack import Access
from robust.errors import InputError, NotApplicable
from robust.log import InteractionLog
from robust.threat import Budget, BudgetSpec, Degrade, Demote, GoalSpec, Knowledge, Promote
from tests.toys import taste_log


def log_of_lengths(*lengths: int, n_items: int = 10) -> InteractionLog:
    users = np.repeat(np.arange(len(lengths)), lengths)
    return InteractionLog.from_columns(
        users, np.arange(len(users)) % n_items + 1, np.arange(len(users)), n_users=len(lengths), n_items=n_items
    )


@pytest.mark.parametrize(
    ("users", "train_users", "fakes"),
    [
        ("1%", 2561, 25),
        ("3%", 2561, 76),
        (0.01, 2561, 25),
        ("29%", 100, 29),
        ("0.5%", 150, 0),
        (7, 2561, 7),
        (0, 5, 0),
        ("100%", 6, 6),
    ],
)
def test_shares_become_whole_users_rounded_down(users: Any, train_users: int, fakes: int) -> None:
    log = log_of_lengths(*[1] * train_users)
    assert BudgetSpec(users=users).resolve(log).users == fakes


def test_users_without_train_rows_do_not_count() -> None:
    log = log_of_lengths(3, 0, 5, 0, 9, 4)
    budget = BudgetSpec(users="50%", rows="10%").resolve(log)
    assert (budget.users, budget.profile_length, budget.rows) == (2, 4, 2)  # 50% of 4; median of 3 4 5 9; 10% of 21


def test_other_limits_are_taken_as_they_are() -> None:
    budget = BudgetSpec(edits=2, epsilon=0.5, norm="linf", unit="absolute", queries=9).resolve(log_of_lengths(2))
    assert budget == Budget(edits=2, epsilon=0.5, norm="linf", unit="absolute", queries=9)
    assert BudgetSpec(users=3, profile_length=6).resolve(log_of_lengths(2, 2)).profile_length == 6


@pytest.mark.parametrize(
    "given",
    [{}, {"users": -1}, {"users": 2.5}, {"users": "200%"}, {"users": "many"}, {"edits": 1.5}, {"epsilon": float("inf")},
     {"users": 1, "profile_length": 0}, {"edits": 1, "norm": "l1"}, {"edit": 1}],
)  # fmt: skip
def test_budgets_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BudgetSpec(**given)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"users": "1%"}, "1% fake users"),
        ({"users": "0.5%"}, "0.5% fake users"),
        ({"users": 10}, "10 fake users"),
        ({"edits": 1}, "1 edit"),
        ({"edits": 2, "queries": 40}, "2 edits, 40 queries"),
        ({"epsilon": 0.5}, "ε = 0.5"),
    ],
)
def test_a_budget_has_a_name(given: dict[str, Any], label: str) -> None:
    assert BudgetSpec(**given).label == label


def test_cold_and_popular_targets_come_from_their_fifth() -> None:
    log = taste_log()
    trained = np.flatnonzero(log.popularity > 0)
    ranked = trained[np.argsort(log.popularity[trained], kind="stable")]
    fifth = len(ranked) // 5
    for seed in range(20):
        cold = GoalSpec(promote="cold*5").resolve(log, np.random.default_rng(seed))
        popular = GoalSpec(demote="popular*5", k=3).resolve(log, np.random.default_rng(seed))
        assert isinstance(cold, Promote)
        assert isinstance(popular, Demote)
        assert len(set(cold.items)) == 5
        assert set(cold.items) <= set(ranked[:fifth].tolist())
        assert set(popular.items) <= set(ranked[-fifth:].tolist())
        assert (cold.k, popular.k) == (10, 3)
    assert GoalSpec(degrade=True).resolve(log, np.random.default_rng(0)) == Degrade()


def test_targets_are_drawn_anew_per_seed_and_alike_for_one() -> None:
    log, goal = taste_log(), GoalSpec(promote="any*3")
    draws = [goal.resolve(log, np.random.default_rng(seed)).items for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert goal.redraws_targets
    assert not GoalSpec(promote=(3,)).redraws_targets


def test_listed_targets_are_raw_ids() -> None:
    log = InteractionLog.from_columns([0, 0, 0], [1, 2, 3], [1, 2, 3], item_ids=np.array([10, 20, 35]))
    assert GoalSpec(demote=(35, "10")).resolve(log, np.random.default_rng(0)).items == (1, 3)
    with pytest.raises(InputError, match="'11' is not in log, which has 3 items"):
        GoalSpec(promote=(11,)).resolve(log, np.random.default_rng(0))


def test_too_few_candidates_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="needs 5 items, but only 2 qualify"):
        GoalSpec(promote="cold*5").resolve(log_of_lengths(10), np.random.default_rng(0))


@pytest.mark.parametrize(
    "given",
    [{}, {"promote": "cold*5", "degrade": True}, {"promote": "warm*5"}, {"promote": "cold"}, {"demote": ()},
     {"degrade": False}, {"promote": "cold*5", "k": 0}, {"pormote": "cold*5"}],
)  # fmt: skip
def test_goals_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GoalSpec(**given)


def test_goals_have_names() -> None:
    assert GoalSpec(promote="cold*5").label == "promote cold*5 into the top 10"
    assert GoalSpec(demote=(3, "x"), k=5).label == "demote 3, x out of the top 5"
    assert GoalSpec(degrade=True).label == "degrade everybody's list"


def test_knowledge_is_ordered() -> None:
    levels: tuple[Access, ...] = ("none", "lists", "scores", "gradients")
    for place, level in enumerate(levels):
        granted = [needed for needed in levels if Knowledge(model=level).grants_model(needed)]
        assert granted == list(levels[: place + 1])
