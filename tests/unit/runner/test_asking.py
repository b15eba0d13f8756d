"""What is asked of an endpoint, how long that takes, and whether its budget allows it: all by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robust.log import SequenceBatch
from robust.recommenders.adapters.http.kserve import KServeAdapter
from robust.recommenders.adapters.http.stand_in import TALLY, StandInLists, StandInScores, stand_in
from robust.runner import estimate
from robust.runner.asking import Asking
from robust.runner.rehearsal import Asked
from robust.runner.step import Step


def endpoint(**more: Any) -> KServeAdapter:
    known: dict[str, Any] = {
        "adapter": "kserve",
        "url": "http://h",
        "model": "m",
        "n_items": 50,
        "items": "top",
        "k": 5,
    }
    return KServeAdapter(**known, padding={"length": 4}, batch_size=10, concurrency=2, **more)


def asking(**more: Any) -> Asking:
    steps = [(Step("rank", {"seed": 0}), Asked(100, 10, 5)), (Step("evade", {"seed": 0}), Asked(300, 30, 15))]
    return Asking("m.yaml", endpoint(**more), opening=73, reopening=9, latency=0.2, workers=2, steps=steps)


def counted() -> tuple[int, int, int]:
    return TALLY.sequences, TALLY.requests, TALLY.rounds


def test_all_is_counted_by_kind() -> None:
    found = asking()
    assert dict(found.by_kind) == {"rank": 100, "evade": 300, "opening": 73 + 2 * 9}
    assert found.sequences == 491
    assert found.said() == "about 491 sequences of m.yaml in 40 requests (300 evade, 100 rank, 91 opening)"


def test_without_a_rate_steps_wait_for_their_rounds() -> None:
    found = asking()
    assert found.seconds == pytest.approx(0.2 * (5 + 15))
    assert found.at_least == 0


@pytest.mark.parametrize(("rate", "seconds"), [(2.0, 10 / 2 + 30 / 2), (100.0, 0.2 * 20)])
def test_a_step_waits_for_its_rounds_or_its_turns_whichever_is_longer(rate: float, seconds: float) -> None:
    found = asking(rate=rate)
    assert found.seconds == pytest.approx(seconds)
    assert found.at_least == pytest.approx(40 / rate)


def test_workers_share_the_work_but_not_the_rate() -> None:
    assert estimate._shared([30.0, 10.0], [], workers=4) == pytest.approx(10)
    assert estimate._shared([30.0, 10.0], [asking(rate=2.0)], workers=4) == pytest.approx(20)  # 40 requests
    assert estimate._shared([30.0, 10.0], [asking(rate=2.0)], workers=1) == pytest.approx(40)


@pytest.mark.parametrize(("most", "short"), [(None, False), (491, False), (490, True)])
def test_a_budget_that_will_not_suffice_is_told_with_one_that_would(most: int | None, short: bool) -> None:
    said = asking(max_queries=most).shortage()
    assert (said is not None) == short
    if said is not None:
        assert said.startswith("max_queries: 490 in m.yaml will not suffice: about 491 sequences are asked.")
        assert "Say max_queries: 590," in said  # 1.2 × 491, up to two digits


def test_a_stand_in_counts_as_the_endpoint_would() -> None:
    name, settings = stand_in(endpoint(), 50)
    assert name.endswith(":StandInLists")
    model = StandInLists(**settings)
    items = np.arange(1, 31)[:, None] + np.arange(6)  # 30 sequences of six items, of which the newest four travel
    TALLY.known.clear()
    before = counted()
    for width in (6, 4):  # the same four items again
        lists = model.recommend(SequenceBatch(items[:, -width:]), 9)
    assert tuple(now - then for now, then in zip(counted(), before, strict=True)) == (30, 3, 2)
    assert (lists[:, :5] > 0).all()
    assert not lists[:, 5:].any()


def test_a_stand_in_with_scores_ranks_as_the_one_with_lists() -> None:
    sequences = SequenceBatch(np.arange(1, 13).reshape(4, 3))
    settings = {"n_items": 20, "k": 20, "context": 0, "batch_size": 4, "concurrency": 1}
    scores = StandInScores(**settings).score(sequences)
    lists = StandInLists(**settings).recommend(sequences, 20)
    np.testing.assert_array_equal(np.argsort(-scores[:, 1:], axis=1) + 1, lists)
    assert len(np.unique(lists[:, 0])) > 1
