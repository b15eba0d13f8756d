"""The segment attack: target items among the items that the same users hold, and random filler.

Mobasher et al., ACM TOIT 2007; Burke et al., KDD 2006: a target is pushed to the users of one segment, by fake users
who like what this segment likes. There the segment is a genre; here, without metadata, it is the target's nearest
neighbours by co-occurrence in the train rows:

    similarity(t, i) = |U_t ∩ U_i| / √(|U_t| · |U_i|),    U_i = the users who hold i

Each target has a segment of its own. All profiles hold the same selected items: the nearest neighbour of each target in
turn, then the second nearest of each, …, each item once, no target, none that shares no user with any target. Where the
segments are shorter than the share of `selected`, uniform filler takes the rest.

Known deviations: no ratings in implicit logs, as for `random`; segments by co-occurrence in place of genres. Neighbours
of cold items are cold as well, so larger shares reach fewer users: on flights (Markov chain, 3% fakes, cold*5,
interleaved) exposure rises from .001 to .050 with a share of .1 (`random` .048), to .034 with .3, to .009 with .6.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.access import AccessView
from robust.attacks.poisoning.profiles import Room, selected_and_filler
from robust.attacks.poisoning.similarity import co_occurrence
from robust.attacks.poisoning.template import LogAccess, Template
from robust.attacks.poisoning.variants import shares
from robust.log import Int32


class Segment(Template):
    """Fake users with the targets, their nearest neighbours, and random filler.

    Attributes:
        selected: share of the profile taken by the targets' segments (at least one item unless 0).
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "segment"
    source: ClassVar[str] = "Mobasher et al., ACM TOIT 2007; implicit and ordered form ours"
    log_access: ClassVar[LogAccess] = "full"

    selected: float = Field(default=0.1, ge=0, le=1)

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """The targets' neighbours, and uniform filler."""
        nearest = neighbours(co_occurrence(access.log, room.targets), room.targets)
        return selected_and_filler(access.n_items, nearest[: room.share(self.selected)], room, rng)

    def varied(self) -> dict[str, list[float]]:
        """Shares of the segment."""
        return {"selected": shares(self.selected, 0.0, 0.3, 0.6)}


def neighbours(similarity: NDArray[np.float64], targets: Int32) -> Int32:
    """int32, the items that are similar to any target: the first of each target, then the second of each, …

    Args:
        similarity: float64 [t, n_items + 1]. targets: [t], which are nobody's neighbours.
    """
    similarity = similarity.copy()
    similarity[:, [0, *targets]] = 0.0
    ranked = np.argsort(-similarity, axis=1, kind="stable")
    similar = np.take_along_axis(similarity, ranked, axis=1) > 0
    in_turn = ranked.T[similar.T]
    _, first = np.unique(in_turn, return_index=True)
    return in_turn[np.sort(first)].astype(np.int32)
