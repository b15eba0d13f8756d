"""An incremental recommender in service: what an update learns, and where the defence stands."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.defense import InputGuard, Sanitizer
from robust.errors import RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.baselines import Markov, Popularity
from robust.testing.deployment import Arrival, Deployment, Event, Switch, Update

LOG = InteractionLog.from_columns([0, 0, 1, 1], [1, 2, 2, 3], [10, 20, 15, 25], n_users=2, n_items=5)


class Repeaters(Sanitizer):
    """Suspects whoever did the same thing twice, at any time."""

    name: ClassVar[str] = "repeaters"
    source: ClassVar[str] = "toy"

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        pairs, times = np.unique(log.user.astype(np.int64) * (log.n_items + 1) + log.item, return_counts=True)
        twice = np.zeros(log.n_users)
        twice[pairs[times > 1] // (log.n_items + 1)] = 1
        return twice

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return suspicion > 0


class Known(InputGuard):
    """Drops items that nobody did in the rows that it was calibrated on."""

    name: ClassVar[str] = "known"
    source: ClassVar[str] = "toy"
    items: frozenset[int] = frozenset()

    def calibrate(self, log: InteractionLog, seed: int) -> InputGuard:
        return Known(items=frozenset(log.item.tolist()))

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(np.isin(sequences.items, list(self.items)), sequences.items, 0).astype(np.int32)


def after(*events: Event, defense: Sanitizer | InputGuard | None = None) -> Deployment:
    deployment = Deployment(Markov().fit(LOG, seed=0), LOG, defense, seed=0)
    for event in events:
        deployment.apply(event)
    return deployment


def learnt(deployment: Deployment) -> list[tuple[int, int]]:
    return list(zip(deployment.learnt.user.tolist(), deployment.learnt.item.tolist(), strict=True))


def test_rows_are_pending_until_an_update() -> None:
    arrival = Arrival(user=3, items=(4, 5), time=30)
    waiting, updated = after(arrival), after(arrival, Update(seed=1))
    assert waiting.pending == [arrival]
    assert learnt(waiting) == [(0, 1), (0, 2), (1, 2), (1, 3)]
    assert updated.pending == []
    assert learnt(updated) == [(0, 1), (0, 2), (1, 2), (1, 3), (3, 4), (3, 5)]
    assert updated.learnt.n_users == 4  # user 2 is known to exist, and has yet to act
    everything = Markov().fit(updated.learnt, seed=0)
    asked = SequenceBatch.from_lists([[4], [2], []])
    assert isinstance(updated.model, Markov)
    assert np.array_equal(updated.model.score(asked), everything.score(asked))


def test_an_update_without_rows_leaves_the_model() -> None:
    deployment = after()
    before = deployment.model
    deployment.apply(Update(seed=1))
    assert deployment.model is before


def test_the_start_is_copied() -> None:
    start = Popularity().fit(LOG, seed=0)
    assert Deployment(start, LOG, None, seed=0).model is not start


def test_a_sanitiser_judges_by_all_rows_and_refuses_pending_ones_for_good() -> None:
    events = (
        Arrival(5, (4,), 30, fake=True),
        Update(1),
        Arrival(5, (4,), 40, fake=True),
        Arrival(0, (5,), 41),
        Update(2),
    )
    deployment = after(*events, defense=Repeaters())
    assert (5, 4) in learnt(deployment)  # one was learnt when nothing was wrong with it
    assert learnt(deployment).count((5, 4)) == 1
    assert (0, 5) in learnt(deployment)
    assert len(deployment.arrived) == len(LOG) + 3
    assert deployment.defended
    deployment.apply(Switch(on=False))
    deployment.apply(Arrival(5, (3,), 50, fake=True))
    deployment.apply(Update(3))
    assert (5, 3) in learnt(deployment)
    deployment.apply(Switch(on=True))
    assert not deployment.defended  # what was learnt without it stays


def test_a_sanitiser_that_is_off_while_genuine_rows_are_learnt_misses_nothing() -> None:
    deployment = after(Switch(on=False), Arrival(0, (4, 4), 30), Update(1), Switch(on=True), defense=Repeaters())
    assert deployment.defended


def test_a_sanitiser_that_suspects_everybody_is_refused() -> None:
    everybody = Arrival(0, (1,), 30), Arrival(1, (2,), 31), Update(1)
    with pytest.raises(RobustError, match="would remove every user"):
        after(*everybody, defense=Repeaters())


def test_a_guard_stands_before_queries_and_knows_the_rows_learnt_so_far() -> None:
    deployment = after(defense=Known())
    unknown, without = SequenceBatch.from_lists([[2, 4, 5]]), SequenceBatch.from_lists([[2]])
    guarded = deployment.served.recommend(SequenceBatch.from_lists([[2, 4, 5, 2]]), 3)
    assert np.array_equal(guarded, deployment.model.recommend(without, 3))
    assert deployment.defended
    deployment.apply(Switch(on=False))
    assert deployment.served is deployment.model
    assert not deployment.defended
    for event in (Arrival(1, (4, 5, 1), 60), Update(1), Switch(on=True)):
        deployment.apply(event)
    assert np.array_equal(deployment.served.recommend(unknown, 3), deployment.model.recommend(unknown, 3))
