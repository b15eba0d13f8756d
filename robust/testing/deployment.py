"""An incremental recommender in service: events arrive, an update learns them, a defence is on or off.

What happened is a list of `Event`s, so that it can be replayed, or told without the fake users. Nothing is random but
what the seeds in it say.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from robust.defense import InputGuard, Sanitizer
from robust.log import InteractionLog
from robust.recommenders.adapt import adapt
from robust.recommenders.answers import asked
from robust.recommenders.protocols import Incremental, Recommender


@dataclass(frozen=True)
class Arrival:
    """Events of one user, in order, a second apart.

    Attributes:
        user: its number. items: what it interacted with. time: of the first event, in seconds. fake: the attacker's.
    """

    user: int
    items: tuple[int, ...]
    time: int
    fake: bool = False


@dataclass(frozen=True)
class Update:
    """The recommender learns what is pending."""

    seed: int


@dataclass(frozen=True)
class Switch:
    """The defence is switched on or off."""

    on: bool


Event = Arrival | Update | Switch


class Deployment:
    """One course of events.

    A sanitiser, while it is on, looks at every update: it judges the users by *all* rows that ever arrived, and the
    pending rows of suspects are never learnt. It cannot take back what was learnt before, since an incremental
    recommender cannot unlearn. An input guard, while it is on, stands before every query, calibrated on the rows
    learnt so far.

    Attributes:
        model: as the last update left it. pending: what arrived since. on: whether the defence is on, as at the start.
        defended: whether the defence stands between the fake users and the answers: a guard that is on, or a sanitiser
            that was on at every update so far that had fake rows to learn.
    """

    def __init__(
        self, start: Recommender, log: InteractionLog, defense: Sanitizer | InputGuard | None, *, seed: int
    ) -> None:
        # a copy of its own, so that a recommender that changes under an update spoils no other course of events
        self.model: Recommender = asked(start, "__deepcopy__", lambda: copy.deepcopy(start))
        self.pending: list[Arrival] = []
        self._learnt, self._arrived, self._n_users = [log], [log], log.n_users
        self.defense, self.on, self.seed = defense, defense is not None, seed
        self._sanitised = isinstance(defense, Sanitizer)
        self._served: Recommender | None = None

    @property
    def defended(self) -> bool:
        """See above."""
        return self._sanitised if isinstance(self.defense, Sanitizer) else self.on

    @property
    def served(self) -> Recommender:
        """What answers queries now: the model, behind the guard if one is on."""
        if self._served is None:
            self._served = self.model
            if self.on and isinstance(self.defense, InputGuard):
                self._served = self.defense.protect(self.model, log=self.learnt, seed=self.seed)
        return self._served

    @property
    def learnt(self) -> InteractionLog:
        """The rows that the model has learnt."""
        return _joined(self._learnt)

    @property
    def arrived(self) -> InteractionLog:
        """All rows, pending ones and refused ones too."""
        return _joined(self._arrived)

    def apply(self, event: Event) -> None:
        """Let one thing happen."""
        if isinstance(event, Arrival):
            self.pending.append(event)
            self._n_users = max(self._n_users, event.user + 1)
            return
        self._served = None
        if isinstance(event, Switch):
            self.on = event.on
        elif self.pending:
            self._update(event.seed)

    def _update(self, seed: int) -> None:
        self._sanitised &= self.on or not any(arrival.fake for arrival in self.pending)
        new, self.pending = self._rows(self.pending), []
        self._arrived.append(new)
        if self.on and isinstance(self.defense, Sanitizer):
            kept = self.defense.clean(self.arrived, np.random.default_rng([seed, 0x5A]))
            new = new.rows(kept.lengths[new.user] > 0)
        if len(new):
            self.model = adapt(cast(Incremental, self.model).partial_fit(new, seed=seed))
            self._learnt.append(new)

    def _rows(self, arrivals: Sequence[Arrival]) -> InteractionLog:
        """These rows alone, in a log whose users run up to the highest number that has appeared."""
        return InteractionLog.from_columns(
            np.concatenate([np.full(len(arrival.items), arrival.user) for arrival in arrivals]),
            np.concatenate([arrival.items for arrival in arrivals]),
            np.concatenate([arrival.time + np.arange(len(arrival.items)) for arrival in arrivals]),
            n_users=self._n_users,
            n_items=self._arrived[0].n_items,
            name="new rows",
        )


def _joined(logs: Sequence[InteractionLog]) -> InteractionLog:
    """Rows of several logs in one; without raw ids, since new users have none."""
    return InteractionLog.from_columns(
        np.concatenate([log.user for log in logs]),
        np.concatenate([log.item for log in logs]),
        np.concatenate([log.timestamp for log in logs]),
        n_users=max(log.n_users for log in logs),
        n_items=logs[0].n_items,
        name=logs[0].name,
    )
