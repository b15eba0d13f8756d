"""What lies beyond an attack's knowledge is refused; queries are counted; times look like the platform's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from robust.access import AccessView, bootstrap_times
from robust.errors import BudgetExceeded, NotApplicable, NotKnown, RobustError
from robust.log import InteractionLog, SequenceBatch
from robust.threat import Knowledge
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences, taste_log, view

LOG = taste_log(users=20)
BATCH = random_sequences(5, 8, 30)


def gradient(access: AccessView) -> object:
    return access.model.score_embeddings(torch.zeros(5, 8, 6), BATCH)


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
    access = view(LinearBag(), knowledge=knowledge, log=LOG)
    with pytest.raises(NotKnown, match="toy"):
        ask(access)
    assert access.counter.spent == 0


def test_more_knowledge_includes_less() -> None:
    access = view(LinearBag(), log=LOG)
    assert access.log is LOG
    assert access.model.recommend(BATCH, 3).shape == (5, 3)
    assert access.model.score(BATCH).shape == (5, 31)
    assert access.popularity.sum() == len(LOG)


def test_the_next_item_is_told_only_to_those_who_may_know_it() -> None:
    truth = np.arange(1, 6, dtype=np.int32)
    blind = view(LinearBag(), next_items=truth)
    assert blind.next_items(BATCH) is None
    seeing = view(LinearBag(), knowledge=Knowledge(model="gradients", next_item=True), next_items=truth)
    told = seeing.next_items(BATCH[np.array([3, 1])])
    assert told is not None
    assert told.tolist() == [4, 2]
    with pytest.raises(RobustError, match="name no user"):
        seeing.next_items(SequenceBatch([[1, 2]]))


def test_a_capability_that_the_model_lacks_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="needs scores"):
        view(ListsOnly(LinearBag())).model.score(BATCH)


def test_every_kind_of_query_is_counted_over_interleaved_views() -> None:
    access = view(LinearBag(), queries=17)
    first, second = access.model, access.model
    first.recommend(BATCH, 3)
    second.score(BATCH)
    second.score_embeddings(torch.zeros(5, 8, 6), BATCH)
    first.embed(BATCH)
    assert (access.counter.spent, access.queries_left(1), access.queries_left(2)) == (15, 2, 1)
    with pytest.raises(BudgetExceeded, match="queries 20, allowed 17"):
        second.recommend(BATCH, 3)
    assert access.counter.spent == 15, "a refused query is not answered, so not counted"
    first.recommend(BATCH[:2], 3)
    assert access.counter.spent == 17


def test_an_attack_cannot_change_what_it_sees() -> None:
    access = view(LinearBag(), log=LOG)
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
