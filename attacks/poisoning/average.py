"""The average attack: target items among filler drawn by popularity.

Lam and Riedl, WWW 2004; Mobasher et al., ACM TOIT 2007: each filler item is rated around *its own* mean, so that item
by item a fake user looks like everybody. The implicit counterpart of an item's mean rating is how often it is held:

    filler of a profile ~ successive sampling without replacement, P(i) ∝ train rows of i, targets left out

so that the fakes' item marginals follow the log's, as long as no item is so popular that a profile would hold it twice.
Items without a train row are drawn only where all others are taken.

On flights (Markov chain, 3% fakes, cold*5) it raises exposure from .001 to .066 interleaved and .086 alternating,
against .048 and .071 for `random`; on the synthetic log it does no better than `random` (.020 against .022).

Known deviations: no ratings in implicit logs, as for `random`, so this form is ours. RecAD's release stores an item's
mean rating where the standard deviation belongs; here there is neither.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robust.access import AccessView
from robust.attacks.poisoning.profiles import Room, draw_weighted
from robust.attacks.poisoning.template import Template
from robust.log import Int32


class Average(Template):
    """Fake users with the targets, and filler as popular as genuine users' items.

    Attributes:
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "average"
    source: ClassVar[str] = "Lam and Riedl, WWW 2004; implicit and ordered form ours"

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """Filler by popularity."""
        taken = np.tile(room.targets, (room.profiles, 1))
        return draw_weighted(access.popularity, taken, room.others, rng)
