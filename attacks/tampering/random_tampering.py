"""Random tampering: the control of everything that chooses which genuine rows to change.

Rows are drawn uniformly from the whole log (the random row of Oh et al., CIKM 2022), or `per_user` rows of each of as
many random users as the budget reaches, which is what `position-removal` does in the places that it chooses. What is
done to a row is what the attack under comparison does.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.tampering.operations import (
    ItemChoice,
    Operation,
    draw_rows,
    draw_rows_of_users,
    share_out,
    tamper,
)
from robust.log import LogEdit, Scope
from robust.threat import Budget


class RandomTampering(PoisoningAttack):
    """One operation on rows drawn at random.

    Attributes:
        operation: what is done to a row; `move` puts it when another row happened.
        item: what is put in: the least popular item, or one drawn uniformly.
        per_user: rows of each user reached; None draws from the whole log at once.
        keep: rows that a user keeps at least, where `per_user` is given.
        scope: `history` if the test inputs are changed too, `train` if only what is trained on.
    """

    name: ClassVar[str] = "random-tampering"
    source: ClassVar[str] = "control of Oh et al., CIKM 2022 (arXiv 2201.12686), and of Betello et al., ECIR 2024"
    tags: ClassVar[tuple[str, ...]] = (
        "control",
        "atlas@5.6.1:AML.T0020",
        "atlas@5.6.1:AML.T0059",
        "nist-ai-100-2e2025:NISTAML.013",
        "ML02:2023",
    )
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "full"
    goals: ClassVar[frozenset[str]] = frozenset({"degrade"})
    spends: ClassVar[frozenset[str]] = frozenset({"rows"})

    operation: Operation | Literal["move"] = "deletion"
    item: ItemChoice = "uniform"
    per_user: int | None = Field(default=None, ge=1)
    keep: int = Field(default=1, ge=0)
    scope: Scope = "history"

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """The operation on `budget.rows` rows, or on all there are."""
        log, granted = access.log, budget.rows or 0
        if self.per_user is None:
            rows = draw_rows(log, granted, rng)
        else:
            rows = draw_rows_of_users(log, share_out(log, self.per_user, self.keep, granted, rng), rng)
        return tamper(log, rows, self.operation, self.item, self.scope, rng)
