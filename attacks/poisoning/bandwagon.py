"""The bandwagon (popular) attack: target items among the most popular items, and random filler.

Mobasher et al., "Toward Trustworthy Recommender Systems", ACM TOIT 2007; Burke et al., 2005: the selected
items are the most popular ones, so that a fake user resembles many genuine users at the price of public knowledge.

Known deviations: no ratings in implicit logs, as for `random`. Released code (ARLib) emits 1.5 times the profile
length plus the targets; here targets, selected and filler together are exactly the profile length.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attacks.poisoning.profiles import Room, selected_and_filler
from robust.attacks.poisoning.template import Template
from robust.attacks.poisoning.variants import shares
from robust.log import Int32


class Bandwagon(Template):
    """Fake users with the targets, the most popular items, and random filler.

    Attributes:
        selected: share of the profile taken by the most popular items (at least one item unless 0).
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "bandwagon"
    source: ClassVar[str] = "Mobasher et al., ACM TOIT 2007; implicit and ordered form ours"

    selected: float = Field(default=0.1, ge=0, le=1)

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """The most popular items, and uniform filler."""
        ranked = np.argsort(-access.popularity[1:], kind="stable") + 1
        popular = ranked[~np.isin(ranked, room.targets)][: room.share(self.selected)]
        return selected_and_filler(access.n_items, popular, room, rng)

    def varied(self) -> dict[str, list[float]]:
        """Shares of popular items."""
        return {"selected": shares(self.selected, 0.0, 0.3, 0.6)}
