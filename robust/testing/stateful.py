"""Stateful tests of incremental recommenders: Hypothesis looks for a course of events that breaks a promise.

Genuine users and fake users act, the recommender is updated and asked, a defence is switched on and off, in any order.
At every moment the lists must be valid and the exposure of the targets bounded; replayed from the start, the same
events must lead to the same answers.

    TestUpdates = recommender_machine(Markov(), log, goal=Promote(items=(7,), k=5), max_rise=0.1).TestCase

Exposure is compared with the *counterfactual*: the same recommender after the same events, updates, seeds and switches
without the fake users. Its rise is thus an exact property of one state, without chance or interval; what it says
nothing about is how often such a state comes about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from numpy.typing import NDArray

from robust.bounds import BoundBroken
from robust.defense import InputGuard, Sanitizer
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.answers import checked_lists
from robust.recommenders.protocols import Recommender
from robust.testing.conformance.base import require
from robust.testing.deployment import Arrival, Event, Switch, Update
from robust.testing.setting import Setting
from robust.threat import BudgetSpec, Promote

LONGEST = 3
"""Events of one genuine user in one step; more come in more steps."""


def recommender_machine(
    recommender: Any,
    log: InteractionLog,
    *,
    goal: Promote,
    max_rise: float,
    budget: BudgetSpec | Mapping[str, Any] | None = None,
    defense: Sanitizer | InputGuard | str | None = None,
    max_rise_undefended: float | None = None,
    probes: SequenceBatch | None = None,
    items: Sequence[int] | None = None,
    new_users: int = 1,
    seed: int = 0,
) -> type[RecommenderMachine]:
    """A state machine for one recommender; its `TestCase` is a test, and it can be subclassed for more rules.

    Args:
        recommender: with `partial_fit(log, *, seed)`; fitted to `log`, or with `fit(log, *, seed)`, which the first
            run then calls.
        log: the genuine rows at the start.
        goal: the target items, and the length k of the lists.
        max_rise: by how much the exposure of each target may rise: the share of the probes that do not hold it in
            whose top k it stands, against the same without the fake users; absolute, 0 … 1.
        budget: fake users and the events that each may send; by default `{"users": 2, "profile_length": 5}`.
        defense: a sanitiser or an input guard (or its name), which is on at the start; see `Deployment` for what it
            does here.
        max_rise_undefended: the bound where the defence does not stand between the fake users and the answers: a
            guard that is off, a sanitiser that was off during an update. The same bound by default.
        probes: sequences that exposure is measured on; by default the histories of up to 64 users.
        items: what events hold, the simplest first; by default the targets and popular items, 20 in all. A weakness
            that needs another item is not found.
        new_users: genuine users who may join.

    Raises:
        InputError: a recommender without `partial_fit`, another kind of budget, goal or defence, or targets that
            cannot rise.
    """
    setting = Setting.of(
        recommender,
        log,
        goal=goal,
        limits=(max_rise, max_rise if max_rise_undefended is None else max_rise_undefended),
        budget=budget,
        defense=defense,
        probes=probes,
        items=items,
        new_users=new_users,
        seed=seed,
    )
    return type(f"{setting.name}Machine", (RecommenderMachine,), {"setting": setting})


def _asks(strategy: Callable[[Any], st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """A strategy that the machine states when it is drawn from, so that a subclass can state another."""
    return st.runner().flatmap(strategy)


class RecommenderMachine(RuleBasedStateMachine):
    """What `recommender_machine` makes subclasses of.

    `users`, `genuine_items`, `fake_items` and `limit` may be overridden; rules and invariants may be added.

    Attributes:
        live: what happens. without_fakes: the counterfactual. events: all that has happened.
        sent: events sent by each fake user, by number.
    """

    setting: ClassVar[Setting]

    def __init__(self) -> None:
        super().__init__()
        self.live, self.without_fakes = self.setting.deploy(), self.setting.deploy()
        self.events: list[Event] = []
        self.sent: dict[int, int] = {}
        self._clock = int(self.setting.log.timestamp.max(initial=0)) + 1
        self._updates = 0
        self._whole = True
        self._exposures: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    # --- what a subclass may state

    def users(self) -> st.SearchStrategy[int]:
        """Genuine users who act: those of the log, then the new ones."""
        return st.integers(0, self.setting.first_fake - 1)

    def genuine_items(self) -> st.SearchStrategy[int]:
        """What a genuine user may do: popular items first."""
        return st.sampled_from(self.setting.items)

    def fake_items(self) -> st.SearchStrategy[int]:
        """What a fake user may do: every other event a target, since most attacks tie it to other items."""
        return st.sampled_from(self.setting.goal.items) | st.sampled_from(self.setting.items)

    def limit(self) -> float:
        """The largest rise of a target's exposure that is allowed in the present state."""
        defended, undefended = self.setting.limits
        return defended if self.setting.defense is None or self.live.defended else undefended

    # --- what may happen

    def _happen(self, event: Event) -> None:
        self._whole = False
        self.events.append(event)
        self.live.apply(event)
        if not (isinstance(event, Arrival) and event.fake):
            self.without_fakes.apply(event)
        if not isinstance(event, Arrival):
            self._exposures = None  # nothing else changes an answer
        self._must_hold()
        self._whole = True

    def _arrive(self, user: int, items: Sequence[int], *, fake: bool) -> None:
        self._happen(Arrival(user, tuple(items), self._clock, fake))
        self._clock += len(items)

    @rule(
        user=_asks(lambda machine: machine.users()),
        items=_asks(lambda machine: st.lists(machine.genuine_items(), min_size=1, max_size=LONGEST)),
    )
    def genuine_events(self, user: int, items: list[int]) -> None:
        """A genuine user acts."""
        self._arrive(user, items, fake=False)

    @precondition(lambda self: len(self.sent) < self.setting.fake_users)
    @rule(
        items=_asks(lambda machine: st.lists(machine.fake_items(), min_size=1, max_size=machine.setting.profile_length))
    )
    def fake_user(self, items: list[int]) -> None:
        """A fake user joins, with the beginning of its profile or all of it."""
        user = self.setting.first_fake + len(self.sent)
        self.sent[user] = len(items)
        self._arrive(user, items, fake=True)

    @precondition(lambda self: bool(self._with_room()))
    @rule(
        user=_asks(lambda machine: st.sampled_from(machine._with_room())),
        item=_asks(lambda machine: machine.fake_items()),
    )
    def fake_event(self, user: int, item: int) -> None:
        """A fake user acts again."""
        self.sent[user] += 1
        self._arrive(user, [item], fake=True)

    def _with_room(self) -> list[int]:
        return [user for user, sent in self.sent.items() if sent < self.setting.profile_length]

    @precondition(lambda self: bool(self.live.pending))
    @rule()
    def update(self) -> None:
        """The recommender learns what is pending."""
        before = self.live.model
        answers = self.setting.answers(before)
        self._updates += 1
        self._happen(Update(self.setting.seed + self._updates))
        unchanged = np.array_equal(answers, self.setting.answers(before))
        self._whole = unchanged
        require(unchanged, f"{self.setting.name}.partial_fit changed what it was called on; it must return a new one.")

    @precondition(lambda self: self.setting.defense is not None)
    @rule()
    def switch_defense(self) -> None:
        """The defence is switched on, or off."""
        self._happen(Switch(not self.live.on))

    @rule(history=_asks(lambda machine: st.lists(machine.genuine_items(), max_size=6)))
    def query(self, history: list[int]) -> None:
        """Somebody with this history asks for a list, which must be valid."""
        self._checked(self.live.served, SequenceBatch.from_lists([history]))

    # --- what must hold

    def _checked(self, model: Recommender, sequences: SequenceBatch) -> Int32:
        k, name = self.setting.goal.k, f"{self.setting.name}.recommend"
        return checked_lists(model.recommend(sequences, k), name, len(sequences), k, self.setting.log.n_items)

    def _must_hold(self) -> None:
        """After every event. No `@invariant`, since Hypothesis would print each of them between any two steps."""
        if self._exposures is None:
            clean, attacked = (self._checked(d.served, self.setting.probes) for d in (self.without_fakes, self.live))
            self._exposures = self.setting.exposure(clean), self.setting.exposure(attacked)
        rise, limit = self._exposures[1] - self._exposures[0], self.limit()
        worst = int(rise.argmax())
        if rise[worst] > limit + 1e-9:
            before, after = (100 * float(exposure[worst]) for exposure in self._exposures)
            raise BoundBroken(self._said(worst, before, after, 100 * limit))

    def teardown(self) -> None:
        """At the end all events happen again, from the start and with the same seeds: the answers must be the same."""
        if not self._whole or self._updates == 0:
            return  # a promise is broken already, or there is nothing to learn anew
        again = self.setting.deploy()
        for event in self.events:
            again.apply(event)
        ours, theirs = self.setting.answers(self.live.served), self.setting.answers(again.served)
        differing = int((ours != theirs).any(axis=1).sum())
        require(
            differing == 0,
            f"Replayed from the start with the same seeds ({self._updates} updates), {self.setting.name} answers "
            f"{differing} of the {len(ours)} probes differently.",
        )

    def _said(self, worst: int, before: float, after: float, limit: float) -> str:
        """The message, in percent."""
        setting, outside, defence = self.setting, int((~self.setting.held[:, worst]).sum()), ""
        if setting.defense is not None:
            defence = f" The defence ({setting.defense.name}) is {'on' if self.live.on else 'off'}."
        return (
            f"Target item {setting.goal.items[worst]} stands in the top {setting.goal.k} of {after:.1f}% of the "
            f"{outside} probes that do not hold it; without the fake users it would be {before:.1f}%. A rise of "
            f"{after - before:.1f} percentage points; at most {limit:g} are allowed. Fake users: {len(self.sent)} "
            f"of {setting.fake_users}, with {sum(self.sent.values())} events. Updates: {self._updates}.{defence}"
        )
