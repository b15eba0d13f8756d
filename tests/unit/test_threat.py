"""Goals and budgets as a scenario states them, and what they become on a log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from robust.access import Access
from robust.errors import InputError, NotApplicable
from robust.frozen import Frozen
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
    given: dict[str, Any] = {
        "edits": 2,
        "epsilon": 0.5,
        "norm": "linf",
        "per": "sequence",
        "unit": "absolute",
        "queries": 9,
    }
    assert BudgetSpec(**given).resolve(log_of_lengths(2)) == Budget(**given)
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
        ({"users": 10, "profile_length": 7}, "10 fake users, profiles of 7"),
        ({"edits": 1}, "1 edit"),
        ({"edits": 2, "queries": 40}, "2 edits, 40 queries"),
        ({"epsilon": 0.5}, "ε = 0.5"),
        ({"epsilon": 0.5, "norm": "linf"}, "ε = 0.5 in linf"),
        ({"epsilon": 2, "per": "sequence"}, "ε = 2 per sequence"),
        ({"epsilon": 2, "per": "sequence", "norm": "linf", "unit": "absolute"}, "ε = 2 absolute in linf"),
        ({"rows": 12}, "12 rows"),
        ({"rows": "1.25%"}, "1.25% of rows"),
        ({"users": "3%", "rows": 0}, "3% fake users, 0 rows"),
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
    assert Knowledge() == Knowledge(log="popularity", model="none", next_item=False)


class Holder(Frozen):
    """A record with an array."""

    values: np.ndarray[Any, Any]


def test_a_record_holds_what_it_was_given_for_good() -> None:
    holder = Holder(values=np.arange(3))
    with pytest.raises(ValidationError, match="frozen"):
        holder.values = np.arange(4)  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra"):
        Holder.model_validate({"values": np.arange(3), "depth": 3})
    with pytest.raises(InputError, match=r"no field of Budget 'edit'\. Did you mean 'edits'"):
        Budget.model_validate({"edit": 3})


@pytest.mark.parametrize("goal", [Promote, Demote])
def test_a_goal_has_targets_and_a_list_of_at_least_one_place(goal: type[Promote] | type[Demote]) -> None:
    assert goal(items=(4,)).k == 10
    assert goal(items=(4,), k=1).k == 1
    for wrong in ({"items": ()}, {"items": (4,), "k": 0}):
        with pytest.raises(InputError, match=f"{goal.__name__}: "):
            goal.model_validate(wrong)


def test_degrading_has_no_targets() -> None:
    assert Degrade().items == ()


@pytest.mark.parametrize("record", [Budget, BudgetSpec])
@pytest.mark.parametrize(
    ("field", "least"),
    [("users", 0), ("rows", 0), ("edits", 0), ("epsilon", 0), ("queries", 0), ("profile_length", 1)],
)
def test_a_budget_starts_at_its_least_amount(record: type[Budget] | type[BudgetSpec], field: str, least: int) -> None:
    spent = {"edits": 1, field: least}
    assert getattr(record.model_validate(spent), field) == least
    with pytest.raises(ValidationError if record is BudgetSpec else InputError):
        record.model_validate(spent | {field: least - 1})


@pytest.mark.parametrize("radius", [float("inf"), float("nan"), -0.5])
@pytest.mark.parametrize("record", [Budget, BudgetSpec])
def test_a_radius_is_a_number(record: type[Budget] | type[BudgetSpec], radius: float) -> None:
    with pytest.raises(ValidationError if record is BudgetSpec else InputError):
        record(epsilon=radius)


@pytest.mark.parametrize("field", ["users", "rows"])
def test_a_share_runs_from_none_to_all(field: str) -> None:
    log = log_of_lengths(3, 3)
    assert getattr(BudgetSpec.model_validate({field: "0%"}).resolve(log), field) == 0
    assert getattr(BudgetSpec.model_validate({field: "100%"}).resolve(log), field) == {"users": 2, "rows": 6}[field]
    for wrong in ("100.1%", "-1%", -0.5, 1.5):
        with pytest.raises(ValidationError):
            BudgetSpec.model_validate({field: wrong})


def test_a_profile_is_as_long_as_told_or_as_the_median_history() -> None:
    assert BudgetSpec(users=1).resolve(log_of_lengths(1, 1, 6)).profile_length == 1
    assert BudgetSpec(users=1, profile_length=1).resolve(log_of_lengths(6)).profile_length == 1
    assert BudgetSpec(users=1).resolve(log_of_lengths(0, 0)).profile_length is None


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"users": "1%"}, 0.01),
        ({"rows": 5}, 5),
        ({"edits": 2}, 2),
        ({"epsilon": 0.5}, 0.5),
        ({"users": 0, "rows": 3}, 0),
    ],
)
def test_budgets_are_ordered_by_what_they_spend(given: dict[str, Any], size: float) -> None:
    assert BudgetSpec(**given).size == size


def log_of_popularity(*rows: int) -> InteractionLog:
    """Item i has rows[i − 1] rows, one user each."""
    items = np.repeat(np.arange(1, len(rows) + 1), rows)
    return InteractionLog.from_columns(np.arange(len(items)), items, np.zeros(len(items)), n_items=len(rows))


def test_a_fifth_is_of_the_items_with_train_rows_and_holds_at_least_one() -> None:
    rng = np.random.default_rng(0)
    ten = log_of_popularity(0, 5, 4, 3, 2, 1, 6, 7, 8, 9, 10, 0)
    assert GoalSpec(promote="cold*2").resolve(ten, rng).items == (5, 6)
    assert GoalSpec(promote="popular*2").resolve(ten, rng).items == (10, 11)
    assert GoalSpec(promote="any*10").resolve(ten, rng).items == tuple(range(2, 12))
    four = log_of_popularity(3, 1, 4, 2)
    assert GoalSpec(promote="cold*1").resolve(four, rng).items == (2,)
    assert GoalSpec(demote="popular*1").resolve(four, rng).items == (3,)
    with pytest.raises(NotApplicable, match="only 1 qualify"):
        GoalSpec(promote="cold*2").resolve(four, rng)


def test_without_raw_ids_listed_targets_are_the_dense_ids() -> None:
    log, rng = log_of_popularity(1, 1, 1), np.random.default_rng(0)
    assert GoalSpec(promote=(3, 1, "3"), k=1).resolve(log, rng) == Promote(items=(1, 3), k=1)
    for outside in (0, 4):
        with pytest.raises(InputError, match=f"'{outside}' is not in log"):
            GoalSpec(promote=(outside,)).resolve(log, rng)
