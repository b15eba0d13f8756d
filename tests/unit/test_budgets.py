"""Every way of spending more than the budget, or of handing back something broken, is caught by the base classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field, SkipValidation

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.errors import BudgetExceeded, NotApplicable, RobustError
from robust.log import LogEdit, SequenceBatch
from robust.threat import Budget, Degrade, Demote, Promote
from tests.toys import LinearBag, taste_log, view

LOG = taste_log(users=40)
GOAL = Promote(items=(80,))
RNG = np.random.default_rng(0)
ONE, TWO = np.array([7]), np.array([3, 4])


class Scripted(PoisoningAttack):
    """Hands back the edit that it was given."""

    name: ClassVar[str] = "scripted"
    source: ClassVar[str] = "test"
    edit: Annotated[LogEdit, SkipValidation] = Field(exclude=True)

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        return self.edit


def poison(edit: LogEdit, **limits: Any) -> LogEdit:
    budget = Budget(**{"users": 2, "profile_length": 4, "rows": 0} | limits)
    return Scripted(edit=edit)(view(log=LOG), GOAL, budget, RNG).edit


def profiles(*rows: list[int], times: Any = None) -> LogEdit:
    return LogEdit(add=np.array(rows, dtype=np.int32), times=times)


def test_an_edit_within_budget_passes_unchanged() -> None:
    edit = profiles([1, 2, 3, 4], [5, 6, 0, 0], times=np.array([[1, 2, 3, 4], [1, 9, 0, 0]]))
    assert poison(edit) is edit


@pytest.mark.parametrize(
    ("edit", "limits", "limit", "allowed", "spent"),
    [
        (profiles([1], [2], [3]), {}, "fake users", 2, 3),
        (profiles([1]), {"users": None}, "fake users", 0, 1),
        (profiles([1, 2, 3, 4, 5]), {}, "profile length", 4, 5),
        (LogEdit(remove=np.array([0])), {}, "genuine rows", 0, 1),
        (LogEdit(remove=TWO, replace_rows=ONE, replace_items=ONE), {"rows": 2}, "genuine rows", 2, 3),
        (LogEdit(move_rows=TWO, move_times=TWO), {"rows": 1}, "genuine rows", 1, 2),
        (LogEdit(insert_users=TWO, insert_items=TWO, insert_times=TWO), {"rows": 1}, "genuine rows", 1, 2),
    ],
)
def test_a_unit_too_many_names_attack_limit_and_value(
    edit: LogEdit, limits: dict[str, Any], limit: str, allowed: int, spent: int
) -> None:
    with pytest.raises(BudgetExceeded) as caught:
        poison(edit, **limits)
    assert (caught.value.attack, caught.value.limit, caught.value.allowed, caught.value.spent) == (
        "scripted",
        limit,
        allowed,
        spent,
    )
    assert all(part in str(caught.value) for part in ("scripted", limit, str(allowed), str(spent)))


def test_a_row_touched_twice_counts_once() -> None:
    edit = LogEdit(
        replace_rows=np.array([3]), replace_items=np.array([1]), move_rows=np.array([3]), move_times=np.array([0])
    )
    assert poison(edit, rows=1).touched_rows == 1


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (profiles([1, 81]), "item 1…81 of a catalogue 1…80"),
        (profiles([-1, 3]), "item -1…3"),
        (LogEdit(replace_rows=np.array([0]), replace_items=np.array([0])), "item 0"),
        (profiles([1, 0, 2]), "gap"),
        (profiles([0, 1]), "gap"),
        (profiles([1, 2], times=np.array([[5, 5]])), "strictly increase"),
        (profiles([1, 2], times=np.array([[5, 4]])), "strictly increase"),
        (profiles([1, 2], times=np.array([[5, 6, 7]])), "times of shape"),
        (LogEdit(add=np.array([1, 2], dtype=np.int32)), r"expected \[fake users, profile length\]"),
        (LogEdit(replace_rows=np.array([0, 1]), replace_items=np.array([1])), "2 replace_rows but 1 replace_items"),
        (LogEdit(move_rows=np.array([0])), "1 move_rows but 0 move_times"),
        (LogEdit(insert_users=np.array([0]), insert_items=np.array([1])), "1 insert_users but 0 insert_times"),
    ],
)
def test_a_broken_edit_is_an_error_of_the_attack(edit: LogEdit, complaint: str) -> None:
    with pytest.raises(RobustError, match=complaint):
        poison(edit, rows=10)


class Editor(EvasionAttack):
    """Applies a function to the item array."""

    name: ClassVar[str] = "editor"
    source: ClassVar[str] = "test"
    change: Callable[[Any], Any]

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        changed = self.change(sequences.items.copy())
        return changed if isinstance(changed, SequenceBatch) else SequenceBatch(changed, sequences.users)


CLEAN = SequenceBatch([[0, 0, 1, 2, 3], [4, 5, 6, 7, 8]], [0, 1])


def edit_with(change: Callable[[Any], Any], edits: int = 1) -> SequenceBatch:
    return Editor(change=change)(view(LinearBag()), CLEAN, Degrade(), Budget(edits=edits), RNG).sequences


def replace_two(items: Any) -> Any:
    items[1, [1, 3]] = 9
    return items


def insert_one(items: Any) -> Any:
    items[0] = [0, 1, 2, 9, 3]
    return items


def delete_one(items: Any) -> Any:
    items[1] = [0, 4, 5, 7, 8]
    return items


def push_out(items: Any) -> Any:
    items[1] = [5, 6, 7, 8, 9]  # appended at full width, so the oldest item is gone too
    return items


def swap(items: Any) -> Any:
    items[1] = [4, 6, 5, 7, 8]
    return items


@pytest.mark.parametrize("change", [insert_one, delete_one])
def test_an_insertion_or_deletion_is_one_edit(change: Callable[[Any], Any]) -> None:
    assert not np.array_equal(edit_with(change, edits=1).items, CLEAN.items)


@pytest.mark.parametrize("change", [replace_two, push_out, swap])
def test_one_edit_too_many_is_caught(change: Callable[[Any], Any]) -> None:
    with pytest.raises(BudgetExceeded, match="edits per sequence"):
        edit_with(change, edits=1)


@pytest.mark.parametrize("change", [replace_two, push_out, swap])
def test_two_replacements_a_full_window_and_a_swap_are_two_edits(change: Callable[[Any], Any]) -> None:
    assert not np.array_equal(edit_with(change, edits=2).items, CLEAN.items)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda items: SequenceBatch(items[:1], [0]), "returned 1 sequences for 2"),
        (lambda items: SequenceBatch(items[::-1], [1, 0]), "another order"),
        (lambda items: np.where(items == 3, 31, items), "outside the catalogue"),
        (lambda items: np.where(items == 3, -1, items), "outside the catalogue"),
        (lambda items: np.where(items == 2, 0, items), "padding inside"),
        (lambda items: np.where(items == 3, 0, items), "padding inside or after"),
    ],
)
def test_broken_sequences_are_an_error_of_the_attack(change: Callable[[Any], Any], complaint: str) -> None:
    with pytest.raises(RobustError, match=complaint):
        edit_with(change, edits=5)


class Pusher(EmbeddingAttack):
    """Deltas of a given form, scaled to ε times `factor`, at the items; `stray` at padding too."""

    name: ClassVar[str] = "pusher"
    source: ClassVar[str] = "test"
    factor: float = 1.0
    stray: bool = False
    value: float = 1.0
    shape: tuple[int, ...] = ()

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        if self.shape:
            return torch.zeros(self.shape)
        deltas = torch.zeros((*sequences.items.shape, 6))
        deltas[..., 0] = self.factor * (budget.epsilon or 0.0) * self.value
        return deltas if self.stray else deltas * torch.from_numpy(sequences.items != 0).unsqueeze(-1)


def push(epsilon: float = 0.5, **fields: Any) -> Any:
    budget = Budget(epsilon=epsilon, unit="absolute", norm=fields.pop("norm", "l2"))
    return Pusher(**fields)(view(LinearBag(width=5)), CLEAN, Degrade(), budget, RNG)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_radius_a_hair_too_large_is_caught(norm: str) -> None:
    assert push(norm=norm).epsilon == 0.5
    with pytest.raises(BudgetExceeded, match=f"{norm} radius per position"):
        push(factor=1.0001, norm=norm)


def test_broken_deltas_are_an_error_of_the_attack() -> None:
    with pytest.raises(RobustError, match="moved padding"):
        push(stray=True)
    with pytest.raises(RobustError, match="not finite"):
        push(value=float("nan"))
    with pytest.raises(RobustError, match=r"expected \[2, 5, D\]"):
        push(shape=(2, 4, 6))


def test_epsilon_in_units_of_the_nearest_neighbour() -> None:
    from robust.perturbation import neighbour_distance

    model = LinearBag(width=5)
    perturbed = Pusher()(view(model), CLEAN, Degrade(), Budget(epsilon=0.25), RNG)
    assert perturbed.epsilon == pytest.approx(0.25 * neighbour_distance(model.table))
    assert float(perturbed.deltas.norm(dim=-1).max()) == pytest.approx(perturbed.epsilon)


def test_a_budget_of_another_kind_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="states users or rows"):
        Scripted(edit=LogEdit())(view(log=LOG), GOAL, Budget(edits=1), RNG)
    with pytest.raises(NotApplicable, match="states edits"):
        Editor(change=lambda items: items)(view(LinearBag()), CLEAN, Degrade(), Budget(epsilon=1.0), RNG)
    with pytest.raises(NotApplicable, match="states epsilon"):
        Pusher()(view(LinearBag()), CLEAN, Degrade(), Budget(edits=1), RNG)


def test_a_goal_that_the_attack_does_not_pursue_is_not_applicable() -> None:
    class Promoter(Scripted):
        goals: ClassVar[frozenset[str]] = frozenset({"promote"})

    with pytest.raises(NotApplicable, match="pursues promote, not demote"):
        Promoter(edit=LogEdit())(view(log=LOG), Demote(items=(1,)), Budget(users=1, profile_length=3), RNG)
