"""The power user attack: copies of the most active genuine users, some of whose items give way to targets.

Wilson and Seminario, "When Power Users Attack", RecSys 2013 (from memory): power users reach many others, so that fakes
who behave like them do too. Here a power user is one of high degree: many distinct items in the train rows.

    fake f copies the user of the f-th highest degree (ties: the lower id; from the first again if users run out):
    the newest distinct items, in the order in which the user took them, each where the user took it last;
    of `profile_length` places at most a share `share`, at least one, goes to targets, which take turns over profiles

A user with too few items is filled up at the oldest end, uniformly. The order `scatter` (default) leaves the copied
items in their order and puts targets at random places among them, in place of the user's oldest items.

Known deviations: the originals rate, and choose power users by degree, by aggregated similarity or by number of
ratings; here by degree only. The order `alternate` gives every second place to a target, whatever the share. If the
catalogue holds too little else to fill a profile, more of it is targets. Where the most active users are alike, few
others are reached: on flights (Markov chain, 3% fakes, cold*5) exposure rises from .001 to .002 (`random` .035), on
synthetic, where all users are alike active, from .017 to .021 (`random` .024).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attacks.poisoning.orders import Order
from robust.attacks.poisoning.profiles import Room, draw_weighted
from robust.attacks.poisoning.similarity import held_items
from robust.attacks.poisoning.template import LogAccess, Template
from robust.log import Int32, Int64, InteractionLog


class PowerUser(Template):
    """Fake users who are copies of the most active genuine ones, with targets in them.

    Attributes:
        share: share of a profile that targets may take (at least one item).
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "power-user"
    source: ClassVar[str] = "Wilson and Seminario, RecSys 2013; implicit and ordered form ours"
    log_access: ClassVar[LogAccess] = "full"
    ordered: ClassVar[bool] = True

    share: float = Field(default=0.25, gt=0, le=1)
    order: Order = "scatter"

    def pushed(self, targets: int, length: int) -> int:
        """At most the share."""
        return min(targets, max(int(self.share * length), 1))

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """The newest items of the users of highest degree, filled up where they are too few."""
        copied = newest_items(access.log, power_users(access.log, room.profiles), room.targets, room.others)
        missing = copied == 0
        short = missing.any(axis=1)
        taken = np.concatenate([copied[short], np.tile(room.targets, (int(short.sum()), 1))], axis=1)
        filler = draw_weighted(np.ones(access.n_items + 1), taken, int(missing.sum(axis=1).max(initial=0)), rng)
        padded = np.zeros_like(copied)
        padded[short, : filler.shape[1]] = filler
        return np.where(missing, padded, copied)


def power_users(log: InteractionLog, count: int) -> Int64:
    """int64 [count], users by falling number of distinct items; from the first again where there are fewer."""
    degree = np.diff(held_items(log).indptr)
    active = int((degree > 0).sum())
    ranked = np.argsort(-degree, kind="stable")[: max(active, 1)]
    return np.asarray(np.resize(ranked, count), dtype=np.int64)


def newest_items(log: InteractionLog, users: Int64, without: Int32, count: int) -> Int32:
    """int32 [len(users), count], each user's newest distinct items other than `without`, newest last, 0 at the left."""
    known, place = np.unique(users, return_inverse=True)
    rows = np.flatnonzero(np.isin(log.user, known) & ~np.isin(log.item, without))[::-1]
    pairs = log.user[rows].astype(np.int64) * (log.n_items + 1) + log.item[rows]
    rows = rows[np.sort(np.unique(pairs, return_index=True)[1])]  # each item where it stands last, newest first
    user = np.searchsorted(known, log.user[rows])
    start = np.searchsorted(-user, -np.arange(len(known)))
    age = np.arange(len(rows)) - start[user]
    kept = age < count
    copies = np.zeros((len(known), count), dtype=np.int32)
    copies[user[kept], count - 1 - age[kept]] = log.item[rows[kept]]
    return copies[place]
