"""Bounds, and the assertion for test suites: red when a bound is broken, and only then."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from pydantic import ValidationError

from robust.bounds import Bound, BoundBroken, InconclusiveBound, assert_bounded_degradation
from robust.datasets import synthetic
from robust.errors import InputError
from robust.log import InteractionLog
from robust.recommenders.baselines import Markov, Popularity


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    return synthetic.load()


@pytest.mark.parametrize(
    ("metric", "kind", "limit", "said"),
    [
        ("ndcg@10", "drop", 1.2, "less than 1"),
        ("ndcg@10", "rise", 0.1, "exposure"),
        ("coverage@10", "drop", 0.1, "no value per user"),
        ("ndgc@10", "drop", 0.1, "ndcg"),
        ("ndcg", "drop", 0.1, "ndcg"),
    ],
)
def test_a_bound_that_makes_no_sense(metric: str, kind: str, limit: float, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Bound.model_validate({"metric": metric, "kind": kind, "limit": limit})


def test_what_ignores_the_order_of_events_cannot_be_degraded_by_editing_them(log: InteractionLog) -> None:
    found = assert_bounded_degradation(Popularity(), log, max_drop=0.10)
    assert found.judgement.verdict == "PASS"


def test_a_broken_bound_is_red_and_says_what_broke_it(log: InteractionLog) -> None:
    with pytest.raises(BoundBroken, match=r"(?s)NDCG@10 drops by at most 1%.*random-substitution") as caught:
        assert_bounded_degradation(Markov(), log, budget={"edits": 3}, max_drop=0.01)
    assert "users" in str(caught.value)
    assert "seed 0" in str(caught.value)


def test_what_is_not_decided_warns_and_is_red_under_strict(log: InteractionLog) -> None:
    few = log.rows(log.user < 30)
    with pytest.warns(InconclusiveBound, match="Not decided"):
        assert_bounded_degradation(Popularity(), few, max_drop=0.05)
    with pytest.raises(BoundBroken, match="strict"):
        assert_bounded_degradation(Popularity(), few, max_drop=0.05, strict=True)


def test_of_several_attacks_the_strongest_is_judged_on_other_users(log: InteractionLog) -> None:
    from robust import plugins

    weak = plugins.load("attacks", "random-substitution")(tries=1)
    strong = plugins.load("attacks", "random-substitution")(tries=5)
    with pytest.raises(BoundBroken, match="tries=5"):
        assert_bounded_degradation(Markov(), log, attack=[weak, strong], budget={"edits": 2}, max_drop=0.01)


def test_poisoning_and_another_catalogue_are_refused(log: InteractionLog) -> None:
    with pytest.raises(InputError, match="changes the log"):
        assert_bounded_degradation(Markov(), log, attack="bandwagon")

    class Small:
        n_items = 3

        def score(self, sequences: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
            return np.zeros((len(sequences), 4))  # type: ignore[arg-type]

    with pytest.raises(InputError, match="ranks 3 items"):
        assert_bounded_degradation(Small(), log)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"metric": "ndgc@10"}, "Did you mean 'ndcg@10'"),
        ({"metric": "coverage@10"}, "bounds the drop of hr@K, ndcg@K or mrr@K"),
        ({"max_drop": -0.1}, "from 0 to less than 1"),
        ({"budget": {"edit": 1}}, "Did you mean 'edits'"),
        ({"budget": {"users": 3}}, "spends edits or epsilon"),
        ({"budget": {"edits": -1}}, "greater than or equal to 0"),
        ({"budget": {}}, "at least one of users, rows, edits, epsilon"),
        ({"attack": "random-substitutoin"}, "Did you mean 'random-substitution'"),
        ({"attack": []}, "attacks nothing"),
        ({"confidence": 2.0}, "between 0.5 and 1"),
    ],
)
def test_arguments_that_cannot_be_meant_are_named(log: InteractionLog, given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        assert_bounded_degradation(Popularity(), log, **given)  # type: ignore[arg-type]


def test_a_budget_spends_one_thing_and_the_rest_is_checked_too(log: InteractionLog) -> None:
    for budget in ({"edits": 1, "users": 1}, {"edits": 1, "epsilon": 0.5}):
        with pytest.raises(InputError, match="edits or epsilon, one of them"):
            assert_bounded_degradation(Popularity(), log, budget=budget)
    with pytest.raises(InputError, match="expected an InteractionLog"):
        assert_bounded_degradation(Popularity(), "events.csv")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected an attack's name"):
        assert_bounded_degradation(Popularity(), log, attack={"name": "pgd"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": "x"}, "seed='x'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, r"seed=1\.5"),
        ({"seed": True}, "seed=True"),
        ({"confidence": "high"}, r"confidence lies between 0\.5 and 1, got 'high'"),
        ({"confidence": None}, "confidence"),
        ({"confidence": 95}, r"confidence lies between 0\.5 and 1, got 95"),
        ({"max_drop": "10%"}, "max_drop='10%'"),
        ({"metric": 10}, "metric=10"),
        ({"attack": "pgd"}, "'pgd' spends epsilon, but the budget is 1 edit"),
        ({"budget": {"epsilon": 1}}, "'random-substitution' spends edits"),
        ({"budget": {"edits": -1}}, "edits"),
    ],
)
def test_arguments_that_cannot_be_meant_are_told_before_anything_is_fitted(
    log: InteractionLog, given: dict[str, Any], said: str
) -> None:
    class NeverFitted(Markov):
        def fit(self, log: InteractionLog, *, seed: int) -> Self:
            raise AssertionError("fitted")

    with pytest.raises(InputError, match=said):
        assert_bounded_degradation(NeverFitted(), log, **given)
