"""The reverse bandwagon attack, which demotes: in its original form the target in the company of disliked items.

Mobasher et al., ACM TOIT 2007: a fake user rates the target low together with items that are known to be disliked. The
same paper's love/hate attack rates the target low and everything else high. Without ratings, to hold an item is to like
it, and a profile can say something against a target only by what stands where it might have stood:

    form: love-hate (default)   no target; a share `selected` of the profile drawn by popularity, so that what competes
                                for the targets' places is boosted, the rest uniform filler
    form: tie                   the original: the targets, `selected` of the least popular items, uniform filler

Known deviations: no ratings in implicit logs, where the original *promotes*, since every profile is one more who takes
the target. Target HR@10 of a Markov chain (popular*5, 3% fakes, shuffled, 3 seeds): on flights .070 clean, .090 with
`tie`, .065 with `love-hate` as with uniform filler; on synthetic .100, .121, .096, .098. Only a victim that divides by
popularity is fooled by `tie` (item-kNN on flights: .071 to .050). Hence the other default. `random` cannot demote, so
the control is the same form without selected items.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attacks.poisoning.profiles import Room, draw_weighted, selected_and_filler
from robust.attacks.poisoning.template import Template
from robust.attacks.poisoning.variants import shares
from robust.log import Int32
from robust.threat import Budget


class ReverseBandwagon(Template):
    """Fake users who speak against the targets: by popular items in their place, or by unpopular company.

    Attributes:
        form: whether profiles leave the targets out (love-hate) or hold them (tie).
        selected: share of the profile taken by popular (love-hate) or by the least popular items (tie).
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "reverse-bandwagon"
    source: ClassVar[str] = "Mobasher et al., ACM TOIT 2007; implicit and ordered form ours"
    goals: ClassVar[frozenset[str]] = frozenset({"demote"})
    control: ClassVar[str | None] = "reverse-bandwagon"

    form: Literal["love-hate", "tie"] = "love-hate"
    selected: float = Field(default=1.0, ge=0, le=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """The same form with uniform filler only: what the choice of items adds."""
        return "reverse-bandwagon", {**self.arrangement, "form": self.form, "selected": 0.0}

    def pushed(self, targets: int, length: int) -> int:
        """None, or all of them."""
        return 0 if self.form == "love-hate" else super().pushed(targets, length)

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """Popular or the least popular items, and uniform filler."""
        count = room.share(self.selected)
        if self.form == "tie":
            ranked = np.argsort(access.popularity[1:], kind="stable") + 1
            unpopular = ranked[~np.isin(ranked, room.targets)][:count]
            return selected_and_filler(access.n_items, unpopular, room, rng)
        targets = np.tile(room.targets, (room.profiles, 1))
        popular = draw_weighted(access.popularity, targets, count, rng)
        taken = np.concatenate([popular, targets], axis=1)
        filler = draw_weighted(np.ones(access.n_items + 1), taken, room.others - count, rng)
        return np.concatenate([popular, filler], axis=1)

    def varied(self) -> dict[str, list[float]]:
        """Shares of popular or unpopular items."""
        return {"selected": shares(self.selected, 0.0, 0.3, 0.6)}
