"""More planted faults of a poisoning attack."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from robust.attack import PoisoningAttack
from robust.attacks.poisoning.random import Random
from robust.log import LogEdit


class Sound(PoisoningAttack):
    """Fake users who hold the first target; the base of the faults below."""

    name: ClassVar[str] = "sound-poison"
    source: ClassVar[str] = "planted fault"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=np.full((budget.users or 0, 1), goal.items[0], np.int32))


class OneRowTooMany(Sound):
    name: ClassVar[str] = "row-too-many"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        rows = np.arange(budget.rows + 1 if budget.rows else 0)
        return LogEdit(replace_rows=rows, replace_items=np.full(len(rows), goal.items[0], np.int32))


class InsertsFakeUsers(Sound):
    """Rows of users whom nobody has heard of, under the budget of genuine rows; only that budget shows it."""

    name: ClassVar[str] = "inserts-fakes"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        count = budget.rows or 0
        users = np.full(count, access.log.n_users, np.int32)
        items, times = np.full(count, goal.items[0], np.int32), np.zeros(count, np.int64)
        return LogEdit(insert_users=users, insert_items=items, insert_times=times)


class LongWhenShortIsAllowed(Sound):
    """A profile of two, also where one item is allowed."""

    name: ClassVar[str] = "two-at-least"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=np.tile(np.array(goal.items[:2], np.int32), (budget.users or 0, 1)))


class PercentForCount(Sound):
    """Takes the number of users for a share of them."""

    name: ClassVar[str] = "percent"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        users = -(-(budget.users or 0) * 2 * access.log.n_users // 100)
        return LogEdit(add=np.full((users, 1), goal.items[0], np.int32))


class ReadsTheLogAllTheSame(Sound):
    """Goes round the view to rows that it declares not to need."""

    name: ClassVar[str] = "reads-all-the-same"
    log_access: ClassVar[Any] = "popularity"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=access._log.item[: budget.users or 0, None].copy())


class SpoilsPopularity(Sound):
    name: ClassVar[str] = "spoils-popularity"
    log_access: ClassVar[Any] = "popularity"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        if access.popularity.base is not None:
            access.popularity.base[goal.items[0]] += 1
        return LogEdit(add=np.full((budget.users or 0, 1), goal.items[0], np.int32))


class DrawsALittleGlobally(Sound):
    """One number: the global generator's keys stay as they are, only its place in them moves."""

    name: ClassVar[str] = "draws-a-little"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        np.random.mtrand._rand.random_sample()
        return LogEdit(add=np.full((budget.users or 0, 1), goal.items[0], np.int32))


class Remembers(Sound):
    """Every call is another: a count outlives it."""

    name: ClassVar[str] = "remembers"
    calls: ClassVar[list[int]] = []

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        self.calls.append(1)
        return LogEdit(add=np.full((budget.users or 0, 1), 1 + len(self.calls) % 50, np.int32))


class MoreIsLessPoison(Random):
    """Leaves the targets out where it has many fake users."""

    name: ClassVar[str] = "more-is-less-poison"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        edit = super().poison(access, goal, budget, rng)
        if (budget.users or 0) < 20:
            return edit
        return LogEdit(add=np.where(np.isin(edit.add, goal.items), 50, edit.add).astype(np.int32), times=edit.times)


SOUND: list[Any] = [Sound()]
FAULTS: list[tuple[Any, str]] = [
    (OneRowTooMany(), "budget"),
    (InsertsFakeUsers(), "budget"),
    (LongWhenShortIsAllowed(), "budget"),
    (PercentForCount(), "budget"),
    (ReadsTheLogAllTheSame(), "knowledge"),
    (DrawsALittleGlobally(), "repeatable"),
    (Remembers(), "repeatable"),
    (MoreIsLessPoison(), "nested budgets"),
]
SPOILERS: list[tuple[Any, str]] = [(SpoilsPopularity(), "inputs")]
"""These spoil what all tests share; each is tried on a trial of its own."""
