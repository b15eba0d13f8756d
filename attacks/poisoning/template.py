"""What all poisoning templates share: how profiles are sized, arranged and timed. Each says which items they hold.

Mobasher et al., ACM TOIT 2007: a fake profile consists of target, selected and filler items. Originals rate them; an
implicit log has no ratings, so an attack is which items, in which order, at which times.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.poisoning.orders import Order, draw_targets
from robust.attacks.poisoning.orders_by_log import ORDERS_BY_LOG, arrange
from robust.attacks.poisoning.profiles import Room, spread_targets
from robust.attacks.poisoning.times import Times, policy
from robust.attacks.poisoning.variants import shape_variants
from robust.log import Int32, LogEdit
from robust.threat import Budget

LogAccess = Literal["none", "popularity", "full"]


class Template(PoisoningAttack):
    """Fake users of one pattern.

    Each profile has exactly `profile_length` items, fewer only where the catalogue is smaller, and holds no item that
    is no target twice. It holds every target once (if it is too short, targets take turns over profiles), except in the
    order `alternate`, where every second place is a target, drawn anew.

    Attributes:
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0020",
        "atlas@5.6.1:AML.T0021",
        "nist-ai-100-2e2025:NISTAML.024",
        "ML02:2023",
    )
    log_access: ClassVar[LogAccess] = "popularity"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})
    spends: ClassVar[frozenset[str]] = frozenset({"users"})
    control: ClassVar[str | None] = "random"
    ordered: ClassVar[bool] = False
    """Whether the other items come in an order that means something; else it is a random one."""

    order: Order = "shuffle"
    times: Times = "bootstrap"
    length: float = Field(default=1.0, gt=0, le=1)

    @property
    def needs_log(self) -> LogAccess:
        """What of the log it needs with these parameters: `log_access`, or all of it for an order by the train rows."""
        return "full" if self.order in ORDERS_BY_LOG else self.log_access

    @abstractmethod
    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """int32 [profiles, others]: what the profiles hold beside the targets, no item twice in a profile."""

    def pushed(self, targets: int, length: int) -> int:
        """How many of so many targets a profile of this length holds."""
        return min(targets, length)

    def filled(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """The others, in an order that an order policy may keep."""
        others = self.others(access, room, rng)
        return others if self.ordered or self.order == "shuffle" else rng.permuted(others, axis=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]] | None:
        """The random attack in the same arrangement: what the choice of items adds."""
        return None if self.control is None else (self.control, self.arrangement)

    @property
    def arrangement(self) -> dict[str, Any]:
        """The parameters that every template has."""
        return {"order": self.order, "times": self.times, "length": self.length}

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """`budget.users` profiles of `budget.profile_length` items, targets included."""
        wanted = max(int(self.length * (budget.profile_length or 1)), 1)
        held, others = self._places(len(goal.items), min(wanted, access.n_items), access.n_items)
        if self.order == "alternate" and held:
            targets = draw_targets(goal.items, (budget.users or 0, held), rng)
        else:
            targets = spread_targets(goal.items, budget.users or 0, held)
        room = Room(len(targets), others, wanted, np.asarray(goal.items, dtype=np.int32))
        items = arrange(self.order, access, targets, self.filled(access, room, rng), rng)
        return LogEdit(add=items.astype(np.int32), times=access.timeline(rng, items.shape, policy(self.times)))

    def _places(self, targets: int, length: int, n_items: int) -> tuple[int, int]:
        """How many places of a profile go to targets and to others, of which the catalogue may have too few."""
        held = self.pushed(targets, length)
        if held == 0:
            return 0, min(length, n_items - targets)
        others = min(length // 2 if self.order == "alternate" else length - held, n_items - targets)
        return length - others, others

    def variants(self) -> list[Self]:
        """Orders × lengths, and the shares of `varied`."""
        return [self.model_copy(update=changes) for changes in shape_variants(self.order, self.length, **self.varied())]

    def varied(self) -> dict[str, list[float]]:
        """Further shares that an attacker who knows a sanitiser would try, each list beginning with its own value."""
        return {}
