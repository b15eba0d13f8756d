"""Obfuscated attacks: a mix of templates whose profiles are disturbed, so that they no longer show one pattern.

Williams, Mobasher, Burke, Sandvig and Bhaumik, "Detection of Obfuscated Attacks in Collaborative Recommender Systems",
ECAI 2006 (from memory): noise injection (noise on the ratings), user shifting (a constant on all ratings of a user),
target shifting (targets one step below the highest rating). Bhaumik et al., 2011 (from memory): mixed attacks, equal
shares of several templates. With no ratings, each obfuscation becomes one of items:

    mix      the fake users are divided evenly over `templates`, in their order
    noise    a share `noise` of each profile's other items gives way to items drawn uniformly from all that it lacks
    shift    each profile leaves out a share `shift` of the targets (at least one stays): the part that it holds shifts
             from profile to profile, so that no two need hold the same group of targets

It pays for its disguise with exposure: on flights (Markov chain, 3% fakes, interleaved) .033 against .048 for `random`.

Known deviations: these forms are ours; a user shift has no meaning without ratings. A wrapped template has its default
parameters, besides the arrangement, which is this attack's, and the number of its targets, which `shift` gives. The
order `alternate` draws targets anew at every second place, whatever `shift`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attacks.poisoning.average import Average
from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.attacks.poisoning.power_user import PowerUser
from robust.attacks.poisoning.profiles import Room, draw_weighted
from robust.attacks.poisoning.random import Random
from robust.attacks.poisoning.segment import Segment
from robust.attacks.poisoning.template import LogAccess, Template
from robust.attacks.poisoning.variants import shares
from robust.log import Int32

Wrapped = Literal["random", "average", "bandwagon", "segment", "power-user"]
TEMPLATES: dict[Wrapped, type[Template]] = {
    "random": Random,
    "average": Average,
    "bandwagon": Bandwagon,
    "segment": Segment,
    "power-user": PowerUser,
}


class Obfuscated(Template):
    """Fake users of several templates, with noise among their items and never all of the targets.

    Attributes:
        templates: whose profiles are mixed, by name. noise: share of a profile's other items that is drawn anew.
        shift: share of the targets that a profile leaves out.
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "obfuscated"
    source: ClassVar[str] = "Williams et al., ECAI 2006; implicit and ordered form ours"
    ordered: ClassVar[bool] = True

    templates: tuple[Wrapped, ...] = Field(default=("random", "average", "bandwagon"), min_length=1)
    noise: float = Field(default=0.2, ge=0, le=1)
    shift: float = Field(default=0.4, ge=0, lt=1)

    @property
    def needs_log(self) -> LogAccess:
        """As much as the most demanding of its templates, in this order."""
        return "full" if any(template.needs_log == "full" for template in self._wrapped()) else self.log_access

    def _wrapped(self) -> list[Template]:
        return [TEMPLATES[name](**self.arrangement) for name in self.templates]

    def pushed(self, targets: int, length: int) -> int:
        """All but the share, at least one."""
        return min(max(targets - round(self.shift * targets), 1), targets, length)

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """What the templates hold, with noise in it."""
        wrapped = self._wrapped()
        parts = np.array_split(np.arange(room.profiles), len(wrapped))
        mixed = [t.filled(access, replace(room, profiles=len(p)), rng) for t, p in zip(wrapped, parts, strict=True)]
        items = np.concatenate(mixed)
        lacking = access.n_items - len(room.targets) - room.others
        places = np.argsort(rng.random(items.shape), axis=1)[:, : min(round(self.noise * room.others), lacking)]
        taken = np.concatenate([items, np.tile(room.targets, (room.profiles, 1))], axis=1)
        fresh = draw_weighted(np.ones(access.n_items + 1), taken, places.shape[1], rng)
        np.put_along_axis(items, places, fresh, axis=1)
        return items

    def varied(self) -> dict[str, list[float]]:
        """Amounts of noise."""
        return {"noise": shares(self.noise, 0.0, 0.5)}
