"""The random attack: target items among uniformly drawn filler.

Lam and Riedl, "Shilling Recommender Systems for Fun and Profit", WWW 2004; Mobasher et al., ACM TOIT 2007:
no selected items, filler uniform over the catalogue without the targets.

Known deviations: the originals rate items (filler around the global mean, targets at the maximum). Implicit logs have
no ratings, so an attack is which items, in which order, at which times. `degrade` pushes nothing: random profiles as
in Betello et al., 2024 (arXiv 2410.09936), which hardly move utility. A fake profile without an item says nothing
against it, so there is no `demote`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.poisoning.orders import Order
from robust.attacks.poisoning.profiles import Times, fake_profiles
from robust.attacks.poisoning.variants import shape_variants
from robust.log import LogEdit
from robust.threat import Budget


class Random(PoisoningAttack):
    """Fake users with the targets and random filler.

    Attributes:
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "random"
    source: ClassVar[str] = "Lam and Riedl, WWW 2004; implicit and ordered form ours"
    tags: ClassVar[tuple[str, ...]] = ("atlas@5.6.1:AML.T0020", "atlas@5.6.1:AML.T0021", "ML02:2023")
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "popularity"
    goals: ClassVar[frozenset[str]] = frozenset({"promote", "degrade"})

    order: Order = "shuffle"
    times: Times = "bootstrap"
    length: float = Field(default=1.0, gt=0, le=1)

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """`budget.users` profiles of `budget.profile_length` items, targets included."""
        length = max(int(self.length * (budget.profile_length or 1)), 1)
        return fake_profiles(access, goal.items, np.zeros(0, np.int32), length, self.order, budget, rng)

    def variants(self) -> list[Random]:
        """Orders × lengths."""
        return [self.model_copy(update=changes) for changes in shape_variants(self.order, self.length)]
