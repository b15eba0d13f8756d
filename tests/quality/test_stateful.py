"""State machines for incremental recommenders: planted weaknesses are found and shrunk; what is sound stays green."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from numpy.typing import NDArray

from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.bounds import BoundBroken
from robust.defense import Sanitizer
from robust.defenses.guards.surprise import Surprise
from robust.defenses.training.adversarial_embeddings import AdversarialEmbeddings
from robust.errors import InputError, ModelFault
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.baselines import ItemKNN, Markov, Popularity
from robust.recommenders.recurrent import GRU4Rec
from robust.testing.conformance import NonConformity
from robust.testing.stateful import RecommenderMachine, recommender_machine
from robust.threat import Degrade, Promote
from tests.toys import chain_log

LOG = chain_log(users=16, n_items=8, length=6, noise=0.2)
GOAL = Promote(items=(7,), k=2)


def run(machine: type[RecommenderMachine], *, examples: int = 40, steps: int = 12) -> None:
    """The same examples each time, without Hypothesis's explanations, which cost more than the search."""
    chosen = settings(
        machine.TestCase.settings,
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine, settings=chosen)


def steps_of(broken: BaseException) -> list[str]:
    """The steps that Hypothesis prints, without the first and the last line."""
    lines = "\n".join(getattr(broken, "__notes__", [])).splitlines()
    return [line.removeprefix("state.") for line in lines if line.startswith("state.") and "teardown" not in line]


# --- sound ones


class IgnoresStrangers(Markov):
    """Learns from users whom it was fitted to only: fake users, who are new, have no influence."""

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Any:
        known = log.user < len(self._successors.recent.items)
        updated = super().partial_fit(log.rows(known), seed=seed)
        kept = updated._successors.recent.items[: len(self._successors.recent.items)]
        object.__setattr__(updated._successors.recent, "items", kept)
        return updated


class Strangers(Sanitizer):
    """Suspects users beyond the log's."""

    name: ClassVar[str] = "strangers"
    source: ClassVar[str] = "toy"

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return (np.arange(log.n_users) >= LOG.n_users).astype(np.float64)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return suspicion > 0


def test_who_learns_nothing_from_fake_users_keeps_the_strictest_bound() -> None:
    run(recommender_machine(IgnoresStrangers(), LOG, goal=GOAL, max_rise=0.0), steps=30)


def test_popularity_with_a_margin_that_the_budget_cannot_reach() -> None:
    ahead = np.repeat([1, 2, 3], 200)
    log = InteractionLog.from_columns(np.arange(600) % 20, ahead, np.arange(600), n_users=20, n_items=8)
    run(recommender_machine(Popularity(), log, goal=GOAL, max_rise=0.0))


@pytest.mark.parametrize("defense", [None, Surprise()], ids=["undefended", "guarded"])
def test_built_in_victims_give_valid_lists_and_can_be_replayed(defense: Surprise | None) -> None:
    run(recommender_machine(Markov(gaps=2), LOG, goal=GOAL, max_rise=1.0, defense=defense), examples=20)
    recurrent = GRU4Rec(dimension=8, hidden=8, context=6, max_steps=30)
    run(recommender_machine(recurrent, LOG, goal=GOAL, max_rise=1.0, defense=defense), examples=4)


def test_a_sanitiser_keeps_the_bound_while_it_is_on_and_no_longer() -> None:
    common: dict[str, Any] = {"goal": GOAL, "max_rise": 0.0, "defense": Strangers()}
    run(recommender_machine(PromotesTheNewest(), LOG, **common, max_rise_undefended=1.0))
    with pytest.raises(BoundBroken, match=r"The defence \(strangers\) is off\.") as broken:
        run(recommender_machine(PromotesTheNewest(), LOG, **common))
    assert "switch_defense()" in steps_of(broken.value)


# --- weak ones


class PromotesTheNewest(Popularity):
    """Puts whatever happened last before everybody."""

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Any:
        updated = super().partial_fit(log, seed=seed)
        updated._popularity[log.item[np.argmax(log.timestamp)]] += 10**6
        return updated


class Repeats(Popularity):
    """After an update its lists hold their first item twice."""

    updated = False

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Any:
        learnt = super().partial_fit(log, seed=seed)
        learnt.updated = True
        return learnt

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        if self.updated:
            lists[:, 1] = lists[:, 0]
        return lists


class ChangesItself(Popularity):
    """Learns in place, and hands out a copy."""

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Any:
        self._popularity = self._popularity + log.popularity
        return self.from_state(*self.state())


class CountsOnSomethingElse(Popularity):
    """An update depends on how many there have been in this process."""

    updates: ClassVar[itertools.count[int]] = itertools.count(1)

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Any:
        updated = super().partial_fit(log, seed=seed)
        updated._popularity = updated._popularity + next(self.updates)
        updated._popularity[0] = 0
        return updated


class LearnsFromQueries(Markov):
    """What it is asked about becomes popular."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        asked = np.bincount(sequences.items.ravel(), minlength=self.n_items + 1)
        self._popularity = self._popularity + np.where(np.arange(len(asked)) > 0, asked, 0)
        return lists


def test_promoting_the_newest_item_is_found_with_a_single_fake_event() -> None:
    said = (
        r"Target item 7 stands in the top 2 of 100\.0% of the \d+ probes that do not hold it; without the fake users "
        r"it would be 0\.0%\. A rise of 100\.0 percentage points; at most 50 are allowed\. Fake users: 1 of 2, with 1 "
        r"events\. Updates: 1\."
    )
    with pytest.raises(BoundBroken, match=said) as broken:
        run(recommender_machine(PromotesTheNewest(), LOG, goal=GOAL, max_rise=0.5))
    assert steps_of(broken.value) == ["fake_user(items=[7])", "update()"]


def test_a_markov_chain_is_poisoned_by_one_short_profile() -> None:
    with pytest.raises(BoundBroken, match=r"Fake users: 1 of 2, with [1-5] events\. Updates: 1\.") as broken:
        run(recommender_machine(Markov(), LOG, goal=GOAL, max_rise=0.2), examples=100, steps=20)
    joins, learns = steps_of(broken.value)
    assert joins.startswith("fake_user(items=[")
    assert learns == "update()"


@pytest.mark.parametrize(
    ("weak", "error", "said"),
    [
        (Repeats(), ModelFault, r"Repeats\.recommend returned item \d twice in one list"),
        (ChangesItself(), NonConformity, r"ChangesItself\.partial_fit changed what it was called on"),
        (CountsOnSomethingElse(), NonConformity, r"Replayed .* CountsOnSomethingElse answers \d+ of the 16 probes"),
        (LearnsFromQueries(), NonConformity, r"LearnsFromQueries"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Popularity | Markov) else "",
)
def test_a_planted_weakness_is_found(weak: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as broken:
        run(recommender_machine(weak, LOG, goal=GOAL, max_rise=1.0))
    # what depends on all runs before behaves otherwise in every shorter history that is tried, so it shrinks less
    # surely: Hypothesis draws from constants of the loaded modules, and in the whole suite it stops at five steps
    assert len(steps_of(broken.value)) <= (6 if isinstance(weak, CountsOnSomethingElse) else 3)


# --- what a subclass may state


def test_a_subclass_states_what_may_happen_and_what_must_hold() -> None:
    acted: set[int] = set()

    class Machine(recommender_machine(IgnoresStrangers(), LOG, goal=GOAL, max_rise=0.0)):  # type: ignore[misc]
        def users(self) -> st.SearchStrategy[int]:
            return st.sampled_from([3, 5])

        @rule(items=st.lists(st.just(2), min_size=1, max_size=2))
        def somebody_in_particular(self, items: list[int]) -> None:
            self._arrive(9, items, fake=False)

        def teardown(self) -> None:
            acted.update(event.user for event in self.events if hasattr(event, "user") and not event.fake)
            super().teardown()

    run(Machine, examples=10)
    assert acted == {3, 5, 9}


def test_limits_may_depend_on_the_state() -> None:
    class Machine(recommender_machine(PromotesTheNewest(), LOG, goal=GOAL, max_rise=0.0)):  # type: ignore[misc]
        def limit(self) -> float:
            return 1.0 if len(self.sent) < 2 else 0.0

    with pytest.raises(BoundBroken, match="Fake users: 2 of 2, with 2 events"):
        run(Machine)


@pytest.mark.parametrize(
    ("recommender", "change", "said"),
    [
        (ItemKNN(), {}, r"'ItemKNN' has no partial_fit\(log, \*, seed\)"),
        (Markov(), {"budget": {"edits": 1}}, "A budget of fake users is needed"),
        (Markov(), {"goal": Degrade()}, "A goal that promotes is needed"),
        (Markov(), {"goal": Promote(items=(9,), k=2)}, "Targets are items 1…8"),
        (Markov(), {"goal": Promote(items=(7,), k=8)}, "the lists hold all 8 items"),
        (Markov(), {"max_rise": 1.5}, "lies between 0 and 1"),
        (Markov(), {"defense": AdversarialEmbeddings()}, "neither a sanitiser"),
        (Markov(), {"defense": Bandwagon()}, "neither a sanitiser"),
        (Markov(), {"probes": SequenceBatch.from_lists([[7], [1, 7]])}, "a probe that does not hold it"),
        (Markov().fit(chain_log(users=3, n_items=5), seed=0), {}, "ranks 5 items, the log has 8"),
    ],
)
def test_misuse_is_refused(recommender: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        recommender_machine(recommender, LOG, **{"goal": GOAL, "max_rise": 0.5, **change})
