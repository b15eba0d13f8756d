"""A limit on how many answers one caller gets in all.

OWASP ML 2023 and MITRE ATLAS (AML.M0004, "Restrict Number of ML Model Queries") name it against attacks that search by
asking. After `queries` answers a caller is refused: lists are rows of 0, scores −∞. What comes after a refusal, or asks
about too large a part of the catalogue, is flagged.

Known deviations: the limit is for a lifetime, not per day, since a log of requests has no clock here; who is flagged is
reported and otherwise treated like everybody.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.defense import Caller, Callers, Cost, ServingDefense
from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Capability, Float32


class QueryBudget(ServingDefense):
    """Answers each caller so often, then refuses.

    Attributes:
        queries: answers per caller in all, lists and scores together.
        walk: a caller is flagged whose questions have ended in this share of the catalogue.
    """

    name: ClassVar[str] = "query-budget"
    source: ClassVar[str] = "MITRE ATLAS 5.6.1, AML.M0004 (restrict number of model queries)"
    weaknesses: ClassVar[str] = (
        "A search that plans its questions fits into the budget, and one over many accounts has as many budgets. It "
        "is nothing to who holds the weights or a surrogate. An honest user who asks often is refused like an "
        "attacker. A walk that stops below the threshold, or is shared among accounts, is not flagged."
    )
    assumptions: ClassVar[str] = "Accounts cost something, and the model can only be reached through the service."
    cost: ClassVar[Cost] = "negligible"
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})

    queries: int = Field(default=100, ge=1)
    walk: float = Field(default=0.25, gt=0, le=1)

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        """The plain lists, and rows of 0 for who has spent their budget."""
        return np.where((callers.asked < self.queries)[:, None], lists, np.int32(0))

    def blur(self, scores: Float32, sequences: SequenceBatch, callers: Callers, seed: int) -> Float32:
        """The plain scores, and −∞ for who has spent their budget."""
        return np.where((callers.asked < self.queries)[:, None], scores, np.float32(-np.inf))

    def queries_allowed(self) -> int | None:
        """`queries`."""
        return self.queries

    def flag(self, caller: Caller) -> str | None:
        """Who goes on asking after a refusal floods; who asks about a large part of the catalogue walks it."""
        if caller.refused:
            return f"asked {caller.asked:,} times, {caller.refused:,} of them beyond the budget of {self.queries:,}"
        if caller.coverage >= self.walk:
            return f"walked {caller.coverage:.0%} of the catalogue in {caller.asked:,} questions"
        return None
