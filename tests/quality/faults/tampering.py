"""Planted faults of attacks that change genuine rows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from robust.attack import PoisoningAttack
from robust.log import LogEdit


def newest(access: Any, count: int) -> Any:
    """Rows, those nearest the end of their users' sequences first."""
    log = access.log
    return np.argsort(log.lengths[log.user] - log.position, kind="stable")[:count]


class SoundTampering(PoisoningAttack):
    """Removes the newest rows; the base of the faults below."""

    name: ClassVar[str] = "sound-tampering"
    source: ClassVar[str] = "planted fault"
    log_access: ClassVar[Any] = "full"
    goals: ClassVar[frozenset[str]] = frozenset({"degrade"})

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(remove=newest(access, budget.rows or 0), scope="history")


class OneMoveTooMany(SoundTampering):
    name: ClassVar[str] = "one-move-too-many"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        rows = newest(access, budget.rows + 1 if budget.rows else 0)
        return LogEdit(move_rows=rows, move_times=np.full(len(rows), access.log.timestamp.min()))


class CountsAnInsertionAsNothing(SoundTampering):
    """Removes as many as it may, and inserts as many again."""

    name: ClassVar[str] = "insertions-are-free"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        log, rows = access.log, newest(access, budget.rows or 0)
        return LogEdit(
            remove=rows,
            insert_users=log.user[rows],
            insert_items=log.item[rows] % 9 + 1,
            insert_times=log.timestamp[rows],
        )


class SpendsUsersOnRows(SoundTampering):
    """Takes the budget of fake users for one of rows where it states none."""

    name: ClassVar[str] = "users-for-rows"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(remove=newest(access, budget.rows or budget.users or 0))


class OneRowAtLeast(SoundTampering):
    name: ClassVar[str] = "one-at-least"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(remove=newest(access, max(budget.rows or 0, 1)))


class PutsEverythingBack(SoundTampering):
    """Replaces each item by itself."""

    name: ClassVar[str] = "puts-back"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        rows = newest(access, budget.rows or 0)
        return LogEdit(replace_rows=rows, replace_items=access.log.item[rows])


class ForgetsItsScope(SoundTampering):
    """From time to time the test inputs stay as they are."""

    name: ClassVar[str] = "forgets-scope"
    calls: ClassVar[list[int]] = []

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        self.calls.append(1)
        forgets = len(self.calls) // 2 % 2 == 0
        return LogEdit(remove=newest(access, budget.rows or 0), scope="train" if forgets else "history")


class MoreIsLessTampering(SoundTampering):
    """Gives up where it may change many rows."""

    name: ClassVar[str] = "more-is-less-tampering"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(remove=newest(access, (budget.rows or 0) if (budget.rows or 0) < 400 else 0), scope="history")


SOUND: list[Any] = [SoundTampering()]
FAULTS: list[tuple[Any, str]] = [
    (OneMoveTooMany(), "budget"),
    (CountsAnInsertionAsNothing(), "budget"),
    (SpendsUsersOnRows(), "budget"),
    (OneRowAtLeast(), "zero budget"),
    (PutsEverythingBack(), "effect"),
    (ForgetsItsScope(), "repeatable"),
    (MoreIsLessTampering(), "nested budgets"),
]
