"""The probe attack: profiles of what the live system itself recommends, with the targets in them.

O'Mahony et al., "Recommender Systems: Attack Types and Strategies", AAAI 2005 (from memory): the attacker begins with
a few seed items and lets the recommender tell which items belong with them, so that little knowledge is needed.

    each fake account begins with one random seed item
    repeat: ask the system for the account's top `k`; take one of them uniformly at random, neither a target nor held
    then the targets come in by the order policy (`interleave` by default: one before each target)

A list that holds nothing new gives way to a random item. One query is one list of one account; when the query budget
cannot bear a list for every account, random items fill the rest. On flights (Markov chain, 3% fakes) it does no better
than `random` (exposure .050 against .048).

Known deviations: the originals probe with ratings; accounts walk without the targets, which come in afterwards.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attacks.poisoning.orders import Order
from robust.attacks.poisoning.profiles import Room, draw_weighted
from robust.attacks.poisoning.template import Template
from robust.log import Int32, SequenceBatch


class Probe(Template):
    """Fake users with the targets, and a walk through the recommender's own lists.

    Attributes:
        k: how long a list is looked at.
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "probe"
    source: ClassVar[str] = "O'Mahony et al., AAAI 2005; implicit and ordered form ours"
    model_access: ClassVar[Literal["none", "lists", "scores", "gradients"]] = "lists"
    ordered: ClassVar[bool] = True

    k: int = Field(default=10, ge=1)
    order: Order = "interleave"

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """A seed and what follows it, in the order of the walk."""
        targets, anything = np.tile(room.targets, (room.profiles, 1)), np.ones(access.n_items + 1)
        walk = draw_weighted(anything, targets, min(room.others, 1), rng)
        while room.profiles and walk.shape[1] < room.others and access.queries_left(room.profiles) != 0:
            walk = np.concatenate([walk, self._next(access, walk, targets, rng)], axis=1)
        taken = np.concatenate([walk, targets], axis=1)
        return np.concatenate([walk, draw_weighted(anything, taken, room.others - walk.shape[1], rng)], axis=1)

    def _next(self, access: AccessView, walk: Int32, targets: Int32, rng: np.random.Generator) -> Int32:
        """int32 [profiles, 1]: one item of each account's list, or any, that it does not hold and that is no target."""
        held = np.concatenate([walk, targets], axis=1)
        lists = access.model.recommend(SequenceBatch(walk), min(self.k, access.n_items))
        new = (lists != 0) & ~(lists[:, :, None] == held[:, None, :]).any(axis=2)
        chosen = np.where(new, rng.random(lists.shape), -1.0).argmax(axis=1)
        following = np.where(new.any(axis=1), lists[np.arange(len(lists)), chosen], 0)
        lost = following == 0
        following[lost] = draw_weighted(np.ones(access.n_items + 1), held[lost], 1, rng)[:, 0]
        return following[:, None].astype(np.int32)
