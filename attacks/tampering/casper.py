"""CASPER: change the rows on which the most later rows hang.

Oh et al., "Rank List Sensitivity of Recommender Systems to Interaction Perturbations", CIKM 2022 (arXiv 2201.12686):

    1  an edge from each row to the next of the same user and of the same item, within their newest W rows
    2  the cascade of every row that no edge leads to: all rows that can be reached from it
    3  delete, replace, or insert at, the rows of the largest cascades

It looks at no model. Oh et al. perturb one row and find that every list moves; a budget of rows is ours. Rows of equal
cascades come in random order, and so do, last, all that no row hangs on or that are no root.

Known deviations: the released code only deletes. Which item is inserted or put in place is not in it, and the paper
could not be read in full: the least popular item is from memory. The code links W − 1 rows (49), here W. Where it is
asked for more rows than there are roots, its argsort takes any rows, test rows among them; here train rows only. It
takes rows in the order of the file, here by time. As there, users are tested from the changed log: `scope: history`.

Do not expect more of it than of random rows. The released LSTM trains on rows in the order of the file, never shuffled,
so that a deleted row shifts every batch behind it, and an early row all of them. Our victims shuffle users: on flights
(GRU4Rec, `scope: train`, same initial weights) one row leaves FRBO@10 .995, and each of three random rows .943, .989,
.989; 1% of the rows leave .854, and two random draws .852, .860. Another seed leaves .77.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.tampering.cascade import cascade_sizes
from robust.attacks.tampering.operations import ItemChoice, Operation, draw_rows, tamper
from robust.log import LogEdit, Scope
from robust.threat import Budget


class Casper(PoisoningAttack):
    """The rows with the largest cascades are deleted, replaced, or followed by an inserted row.

    Attributes:
        operation: what is done to them. item: what is put in: the least popular item, or one drawn uniformly.
        window: how many of the newest rows of each user and item are linked (W).
        scope: `history` if the test inputs are changed too, `train` if only what is trained on.
    """

    name: ClassVar[str] = "casper"
    source: ClassVar[str] = "Oh et al., CIKM 2022 (arXiv 2201.12686)"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0020",
        "atlas@5.6.1:AML.T0059",
        "nist-ai-100-2e2025:NISTAML.013",
        "ML02:2023",
    )
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "full"
    goals: ClassVar[frozenset[str]] = frozenset({"degrade"})
    spends: ClassVar[frozenset[str]] = frozenset({"rows"})
    control: ClassVar[str | None] = "random-tampering"

    operation: Operation = "deletion"
    item: ItemChoice = "unpopular"
    window: int = Field(default=50, ge=2)
    scope: Scope = "history"

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """The same done to random rows: what the cascade adds."""
        return "random-tampering", {"operation": self.operation, "item": self.item, "scope": self.scope}

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """The operation on `budget.rows` rows, or on all there are."""
        log, granted = access.log, budget.rows or 0
        shuffled = draw_rows(log, len(log), rng)
        largest = np.argsort(-cascade_sizes(log, self.window)[shuffled], kind="stable")[:granted]
        return tamper(log, shuffled[largest], self.operation, self.item, self.scope, rng)
