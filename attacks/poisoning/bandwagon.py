"""The bandwagon (popular) attack: target items among the most popular items, and random filler.

Mobasher et al., "Toward Trustworthy Recommender Systems", ACM TOIT 2007; Burke et al., 2005: the selected
items are the most popular ones, so that a fake user resembles many genuine users at the price of public knowledge.

Known deviations: no ratings in implicit logs, as for `random`. Released code (ARLib) emits 1.5 times the profile
length plus the targets; here targets, selected and filler together are exactly the profile length.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.poisoning.orders import Order
from robust.attacks.poisoning.profiles import Times, fake_profiles
from robust.attacks.poisoning.variants import shape_variants
from robust.log import LogEdit
from robust.threat import Budget


class Bandwagon(PoisoningAttack):
    """Fake users with the targets, the most popular items, and random filler.

    Attributes:
        selected: share of the profile taken by the most popular items (at least one item unless 0).
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "bandwagon"
    source: ClassVar[str] = "Mobasher et al., ACM TOIT 2007; implicit and ordered form ours"
    tags: ClassVar[tuple[str, ...]] = ("atlas@5.6.1:AML.T0020", "atlas@5.6.1:AML.T0021", "ML02:2023")
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "popularity"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})
    control: ClassVar[str | None] = "random"

    selected: float = Field(default=0.1, ge=0, le=1)
    order: Order = "shuffle"
    times: Times = "bootstrap"
    length: float = Field(default=1.0, gt=0, le=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """The random attack in the same arrangement: what popular items add."""
        return "random", {"order": self.order, "times": self.times, "length": self.length}

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """`budget.users` profiles of `budget.profile_length` items, targets included."""
        length = max(int(self.length * (budget.profile_length or 1)), 1)
        count = max(round(self.selected * length), 1) if self.selected else 0
        ranked = np.argsort(-access.popularity[1:], kind="stable") + 1
        popular = ranked[~np.isin(ranked, goal.items)][:count]
        return fake_profiles(access, goal.items, popular, length, self.order, budget, rng)

    def variants(self) -> list[Bandwagon]:
        """Orders × lengths × shares of popular items."""
        shares = [self.selected, *(s for s in (0.0, 0.3, 0.6) if s != self.selected)]
        return [self.model_copy(update=changes) for changes in shape_variants(self.order, self.length, selected=shares)]
