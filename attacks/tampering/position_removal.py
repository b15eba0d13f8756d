"""Position removal: what a service loses that sees only a part of what its users do.

Betello et al., "Investigating the Robustness of Sequential Recommender Systems Against Training Data Perturbations",
ECIR 2024 (arXiv 2307.13165), section on training data perturbations. Of a user's T train rows, oldest first, n go:

    beginning   keep n + 1 … T               somebody who has just joined
    middle      keep 1 … a and b + 1 … T      somebody who has paused, with a = ⌊(T − n)/2⌋, b = ⌊(T + n)/2⌋
    end         keep 1 … T − n               somebody who has left

Users are taken in random order until the budget of rows is spent; the last of them loses what is left of it. With
`rows: 100%` the budget reaches everybody, as in the paper.

Nearly all of the damage is at the end, and nearly all of that through the inputs: a first-order Markov model on the
synthetic log (n = 5) falls from NDCG@10 .484 to .063, to .480 at the beginning, to .388 for 5 rows anywhere, and with
`scope: train` to .477.

Known deviations: the paper counts L = T + 1 with the test row, and drops users with L ≤ 10 from the data; here nobody
is dropped, and a user with fewer than n + `keep` train rows loses all but `keep`. The released README keeps the middle
from item b on, and so removes n − 1 items; here b + 1, n items in all three places. As there, the perturbed log is also
what users are tested from, so that inputs lose these items too (`scope: history`); with `scope: train` only what is
trained on is perturbed, and what remains of the effect is what the weights lack.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.tampering.operations import share_out
from robust.log import LogEdit, Scope
from robust.threat import Budget


class PositionRemoval(PoisoningAttack):
    """`n` consecutive rows of each user reached go.

    Attributes:
        where: which part of a user's train rows goes.
        n: rows removed per user. keep: rows that a user keeps at least; 0 lets users vanish.
        scope: `history` if the test inputs are cut too, `train` if only what is trained on.
    """

    name: ClassVar[str] = "position-removal"
    source: ClassVar[str] = "Betello et al., ECIR 2024 (arXiv 2307.13165)"
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

    where: Literal["beginning", "middle", "end"] = "end"
    n: int = Field(default=10, ge=1)
    keep: int = Field(default=1, ge=0)
    scope: Scope = "history"

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """As many rows of as many users, anywhere: what the position adds."""
        return "random-tampering", {"per_user": self.n, "keep": self.keep, "scope": self.scope}

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """At most `budget.rows` rows removed."""
        log = access.log
        lost = share_out(log, self.n, self.keep, budget.rows or 0, rng)[log.user]
        length = log.lengths[log.user]
        first = {"beginning": np.zeros_like(lost), "middle": (length - lost) // 2, "end": length - lost}[self.where]
        removed = (log.position >= first) & (log.position < first + lost)
        return LogEdit(remove=np.flatnonzero(removed), scope=self.scope)
