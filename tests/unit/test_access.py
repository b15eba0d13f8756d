"""What lies beyond an attack's knowledge is refused; queries are counted; times look like the platform's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robust.access import AccessView, QueryCounter, bootstrap_times
from robust.errors import BudgetExceeded, NotApplicable, NotKnown, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Float32
from robust.threat import Knowledge
from tests.toys import chain_log, random_sequences, taste_log, view

LOG = taste_log(users=20)
BATCH = random_sequences(5, 8, 30)
EMBEDDED: Any = np.arange(5 * 8 * 6).reshape(5, 8, 6)


class Lists:
    """Recommends 1, 2, 3, … to everybody, and nothing else."""

    n_items = 30

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.tile(np.arange(1, k + 1, dtype=np.int32), (len(sequences), 1))


class White(Lists):
    """What is answered tells what was asked; arrays stand in for tensors, so that no torch is needed."""

    capabilities: frozenset[Capability] = frozenset({"lists", "scores", "gradients"})
    item_embeddings: Any = np.full((31, 6), 0.5)

    def score(self, sequences: SequenceBatch) -> Float32:
        return np.full((len(sequences), 31), sequences.items.sum(), dtype=np.float32)

    def embed(self, sequences: SequenceBatch) -> Any:
        return self.item_embeddings[sequences.items]

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        return np.full((len(sequences), 31), embeddings.sum())


class Guarded(White):
    """Lets even items through."""

    def kept(self, sequences: SequenceBatch) -> Any:
        return (sequences.items % 2 == 0).astype(int)


def gradient(access: AccessView) -> object:
    return access.model.score_embeddings(EMBEDDED, BATCH)


@pytest.mark.parametrize(
    ("knowledge", "ask"),
    [
        (Knowledge(log="none"), lambda a: a.popularity),
        (Knowledge(log="none"), lambda a: a.timeline(np.random.default_rng(0), (2, 3))),
        (Knowledge(log="popularity"), lambda a: a.log),
        (Knowledge(model="none"), lambda a: a.model),
        (Knowledge(model="lists"), lambda a: a.model.score(BATCH)),
        (Knowledge(model="lists"), lambda a: a.model.item_embeddings),
        (Knowledge(model="scores"), lambda a: a.model.item_embeddings),
        (Knowledge(model="scores"), lambda a: a.model.embed(BATCH)),
        (Knowledge(model="scores"), lambda a: a.model.passes_guard(BATCH)),
        (Knowledge(model="scores"), gradient),
        (Knowledge(), lambda a: a.suspicion(LOG)),
        (Knowledge(), lambda a: a.fit(LOG)),
    ],
)
def test_what_was_not_granted_is_not_known(knowledge: Knowledge, ask: Callable[[AccessView], object]) -> None:
    access = view(White(), knowledge=knowledge, log=LOG)
    with pytest.raises(NotKnown, match="toy"):
        ask(access)
    assert access.counter.spent == 0


def test_more_knowledge_includes_less() -> None:
    access = view(White(), log=LOG)
    assert access.log is LOG
    assert access.popularity.sum() == len(LOG)
    assert access.model.recommend(BATCH, 3).tolist() == [[1, 2, 3]] * 5


def test_a_white_box_answers_what_the_model_answers() -> None:
    model = view(White()).model
    assert model.n_items == 30
    assert model.item_embeddings is White.item_embeddings
    assert np.array_equal(model.score(BATCH), np.full((5, 31), BATCH.items.sum()))
    assert model.embed(BATCH).shape == (5, 8, 6)
    assert np.array_equal(model.score_embeddings(EMBEDDED, BATCH), np.full((5, 31), EMBEDDED.sum()))


def test_a_guard_is_shown_to_who_holds_the_weights_and_asking_it_is_no_query() -> None:
    access = view(Guarded())
    kept = access.model.passes_guard(BATCH)
    assert kept is not None
    assert kept.dtype == bool
    assert np.array_equal(kept, BATCH.items % 2 == 0)
    assert view(White()).model.passes_guard(BATCH) is None
    assert access.counter.spent == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a.popularity,
        lambda a: a.log,
        lambda a: a.timeline(np.random.default_rng(0), (2, 3)),
        lambda a: a.model,
    ],
)
def test_what_is_not_there_cannot_be_seen_even_if_granted(ask: Callable[[AccessView], object]) -> None:
    with pytest.raises(NotKnown, match="Grant"):
        ask(view(n_items=3))


def test_the_defence_and_the_retrained_victim_are_asked_where_they_were_handed_over() -> None:
    access = view(suspicion=lambda log: np.arange(log.n_users), fit=lambda log: Lists())
    assert access.knows_defense
    assert not view().knows_defense
    assert access.suspicion(LOG).tolist() == list(range(20))
    assert isinstance(access.fit(LOG), Lists)


def test_the_pace_of_a_platform_is_public() -> None:
    access = view(knowledge=Knowledge(log="popularity"), log=LOG)
    times = access.timeline(np.random.default_rng(3), (4, 5))
    assert np.array_equal(times, bootstrap_times(LOG, np.random.default_rng(3), (4, 5)))


def test_the_next_item_is_told_only_to_those_who_may_know_it() -> None:
    truth = np.arange(1, 6, dtype=np.int32)
    blind = view(White(), next_items=truth)
    assert blind.next_items(BATCH) is None
    seeing = view(White(), knowledge=Knowledge(model="gradients", next_item=True), next_items=truth)
    told = seeing.next_items(BATCH[np.array([3, 1])])
    assert told is not None
    assert told.tolist() == [4, 2]
    first = seeing.next_items(BATCH[:1])
    assert first is not None
    assert first.tolist() == [1]
    for users in ([-1], [2, -1]):
        with pytest.raises(RobustError, match="name no user"):
            seeing.next_items(SequenceBatch([[1, 2]] * len(users), users))
    nobody = seeing.next_items(BATCH[:0])
    assert nobody is not None
    assert len(nobody) == 0
    assert view(White(), knowledge=Knowledge(next_item=True)).next_items(BATCH) is None


def test_a_capability_that_the_model_lacks_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="needs scores"):
        view(Lists()).model.score(BATCH)


def test_every_kind_of_query_is_counted_over_interleaved_views() -> None:
    access = view(White(), queries=17)
    first, second = access.model, access.model
    first.recommend(BATCH, 3)
    second.score(BATCH)
    second.score_embeddings(EMBEDDED, BATCH)
    first.embed(BATCH)
    assert (access.counter.spent, access.queries_left(1), access.queries_left(2)) == (15, 2, 1)
    with pytest.raises(BudgetExceeded, match="queries 20, allowed 17"):
        second.recommend(BATCH, 3)
    assert access.counter.spent == 15, "a refused query is not answered, so not counted"
    first.recommend(BATCH[:2], 3)
    assert access.counter.spent == 17


def test_a_limit_may_be_used_up_to_the_last_query() -> None:
    counter = QueryCounter("toy", 10)
    counter.add(4)
    counter.add(0)
    assert (counter.left_for(0), counter.left_for(1), counter.left_for(4)) == (6, 6, 1)
    counter.add(6)
    assert counter.left_for(1) == 0
    with pytest.raises(BudgetExceeded, match="queries 11, allowed 10") as caught:
        counter.add(1)
    assert (caught.value.attack, caught.value.allowed, caught.value.spent) == ("toy", 10, 11)


def test_without_a_limit_queries_are_counted_all_the_same() -> None:
    counter = QueryCounter("toy")
    counter.add(1_000)
    assert (counter.spent, counter.left_for(3)) == (1_000, None)


def test_a_share_of_the_queries_ends_with_its_block() -> None:
    counter = QueryCounter("toy", 10)
    counter.add(2)
    with counter.at_most(3):
        assert counter.left_for(1) == 3
        with pytest.raises(BudgetExceeded):
            counter.add(4)
        with counter.at_most(100):
            assert counter.left_for(1) == 3, "no more than the block around it grants"
    assert counter.left_for(1) == 8
    with pytest.raises(KeyError), counter.at_most(1):
        raise KeyError
    assert counter.left_for(1) == 8
    unlimited = QueryCounter("toy")
    unlimited.add(5)
    with unlimited.at_most(3):
        assert unlimited.left_for(1) == 3
    assert unlimited.left_for(1) is None


def test_an_attack_cannot_change_what_it_sees() -> None:
    access = view(White(), log=LOG)
    for array in (access.popularity, access.log.item, access.log.lengths, access.log.offsets, access.log.position):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("length", [1, 2, 12, 500])
def test_bootstrapped_times_increase_within_the_train_rows(length: int) -> None:
    times = bootstrap_times(LOG, np.random.default_rng(0), (50, length))
    assert times.shape == (50, length)
    assert times.dtype == np.int64
    assert np.all(np.diff(times, axis=1) > 0)
    assert times.min() >= LOG.timestamp.min()
    assert times.max() <= LOG.timestamp.max()
    assert np.array_equal(times, bootstrap_times(LOG, np.random.default_rng(0), (50, length)))


def test_bootstrapped_gaps_are_real_gaps_where_there_is_room() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 1], [1, 2, 1, 2], [0, 7, 18, 10_000])
    gaps = np.diff(bootstrap_times(log, np.random.default_rng(0), (200, 4)), axis=1)
    assert set(np.unique(gaps)) == {7, 11}
    assert 0.4 < np.mean(gaps == 7) < 0.6


def test_a_log_shorter_than_a_profile_never_runs_past_its_end() -> None:
    positions = InteractionLog.from_columns([0, 0, 1, 1], [1, 2, 1, 2], [0, 1, 0, 1])
    times = bootstrap_times(positions, np.random.default_rng(0), (9, 6))
    assert np.all(np.diff(times, axis=1) > 0)
    assert times.max() <= 1
    one_gap = InteractionLog.from_columns([0, 0], [1, 2], [0, 7])
    assert bootstrap_times(one_gap, np.random.default_rng(0), (1, 12)).tolist() == [list(range(-4, 8))]


def test_times_in_nanoseconds_do_not_overflow() -> None:
    log = InteractionLog.from_columns([0, 0, 1], [1, 2, 1], [0, 1 << 61, 1 << 60])
    times = bootstrap_times(log, np.random.default_rng(0), (20, 100))
    assert np.all(np.diff(times, axis=1) > 0)
    assert times.min() >= 0
    assert times.max() <= 1 << 61


def test_times_of_an_empty_log_are_positions() -> None:
    empty = InteractionLog.from_columns([], [], [], n_users=2, n_items=3)
    assert bootstrap_times(empty, np.random.default_rng(0), (2, 3)).tolist() == [[0, 1, 2]] * 2
    assert bootstrap_times(chain_log(3), np.random.default_rng(0), (0, 3)).shape == (0, 3)


def test_a_profile_keeps_its_gaps_and_moves_to_an_earlier_start() -> None:
    log = InteractionLog.from_columns([0, 2, 2], [1, 1, 2], [100, 0, 10], n_users=4)
    times = bootstrap_times(log, np.random.default_rng(0), (60, 3))
    # the only gap is 10; from 100 on there is no room for 20, so that profile starts at 80
    assert {tuple(row) for row in times.tolist()} == {(0, 10, 20), (80, 90, 100)}
    assert 0.3 < np.mean(times[:, 0] == 80) < 0.7
    assert bootstrap_times(log, np.random.default_rng(0), (60, 1)).max() == 100


def test_gaps_shrink_in_proportion_where_the_log_is_too_short_for_them() -> None:
    one_gap = InteractionLog.from_columns([0, 0], [1, 2], [3, 13])
    assert bootstrap_times(one_gap, np.random.default_rng(0), (1, 3)).tolist() == [[3, 8, 13]]
    small = InteractionLog.from_columns([0, 0], [1, 2], [0, 2])
    assert bootstrap_times(small, np.random.default_rng(0), (1, 2)).tolist() == [[0, 2]]
    # of 10 units 3 go to the steps; what is left, 7, is shared equally: 7/3, 14/3, 7, rounded down
    assert bootstrap_times(one_gap, np.random.default_rng(0), (1, 4)).tolist() == [[3, 3 + 1 + 2, 3 + 2 + 4, 13]]


def test_without_any_gap_a_profile_takes_one_unit_per_event() -> None:
    singles = InteractionLog.from_columns([0, 1], [1, 2], [5, 9])
    times = bootstrap_times(singles, np.random.default_rng(0), (40, 2))
    assert {tuple(row) for row in times.tolist()} == {(5, 6), (8, 9)}
    tied = InteractionLog.from_columns([0, 0, 1], [1, 2, 1], [5, 5, 9])
    assert set(np.diff(bootstrap_times(tied, np.random.default_rng(0), (40, 2))).ravel().tolist()) == {1}


def test_profiles_without_events_have_no_times() -> None:
    assert bootstrap_times(LOG, np.random.default_rng(0), (2, 0)).shape == (2, 0)
