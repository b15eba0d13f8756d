"""Metric keys."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from robust.errors import InputError, UnknownName
from robust.metrics.registry import METRICS, metric_name, parse_metric


@pytest.mark.parametrize("key", ["hr@1", "ndcg@10", "mrr@20", "coverage@10", "novelty@5", "gini@10", "target_hr@10"])
def test_a_key_names_a_metric_and_a_length(key: str) -> None:
    metric = parse_metric(key)
    assert f"{metric.name}@{metric.k}" == key == metric.key


def test_a_shift_of_ranks_has_no_length() -> None:
    assert parse_metric("rank_shift").k is None
    with pytest.raises(InputError, match="write 'rank_shift'"):
        parse_metric("rank_shift@10")


@pytest.mark.parametrize(("given", "meant"), [("ndgc@10", "ndcg@10"), ("target-hr@5", "target_hr@5"), ("hrr", "hr@10")])
def test_a_misspelt_key_gets_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"Did you mean '{meant}'"):
        parse_metric(given)


@pytest.mark.parametrize("key", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-3", "ndcg@ten", "ndcg@1.5", "hr@10@10"])
def test_a_missing_or_odd_length_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="from 1 up"):
        parse_metric(key)


@pytest.mark.parametrize(
    ("key", "name"),
    [("ndcg@10", "NDCG@10"), ("target_hr@5", "target HR@5"), ("rank_shift", "rank shift"), ("time_lost", "time lost")],
)
def test_a_key_is_spelled_out_for_people(key: str, name: str) -> None:
    assert metric_name(key) == name


def test_the_registry_is_not_changed_by_its_users() -> None:
    parsed = parse_metric("ndcg@10")
    assert METRICS["ndcg"].k is None
    with pytest.raises(FrozenInstanceError):
        parsed.k = 20  # type: ignore[misc]


def test_every_metric_is_listed_with_its_natural_bound() -> None:
    assert len({m.key for m in METRICS.values()}) == len(METRICS) == 10
    assert METRICS["ndcg"].key == "ndcg@K"
    assert {m.name for m in METRICS.values() if m.kind == "rise"} == {"target_hr", "gini", "rank_shift"}
    assert {m.name for m in METRICS.values() if not m.per_user} == {"coverage", "novelty", "gini"}
