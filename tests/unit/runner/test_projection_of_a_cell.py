"""What is left of deltas on real items, from the steps' notes to a sentence of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from robust.ranking import Ranking
from robust.report.rows import Row
from robust.runner.cell_metrics import projected_metrics
from robust.runner.outcomes import Measured
from robust.runner.results import BoundResult, CellResult


def ranking(ranks: list[int], targets: list[list[int]]) -> Ranking:
    return Ranking(np.array(ranks), np.array(targets), np.zeros((len(ranks), 10), np.int32))


def measured(notes: list[Mapping[str, Any]]) -> Measured:
    """Two seeds, two users: NDCG@10 of 1 and 1/2, and 1 and 0; the second user holds the only target."""
    return Measured(
        seeds=[0, 1],
        clean=[ranking([1, 3], [[20], [1]]), ranking([1, 50], [[5], [1]])],
        held=[np.array([[False], [True]])] * 2,
        notes=notes,
    )


def cell(**more: object) -> CellResult:
    bound = BoundResult(metric="ndcg@10", kind="drop", limit=0.1)
    fields = {"id": "a", "threat": "t", "victim": "v", "attack": "pgd", "goal": "g", "budget": "ε = 1"}
    record = {**fields, "planned_on": "plain", "measured_on": "plain", "bound": bound, "verdict": "PASS", **more}
    return CellResult.model_validate(record)


NOTES: list[Mapping[str, Any]] = [
    {"projected": {"items": 0.02, "ndcg@10": 0.7, "target_hr@10": 0.0}},
    {"projected": {"items": 0.04, "ndcg@10": 0.5, "target_hr@10": 1.0}},
]


def test_changes_are_means_over_seeds_and_positive_when_worse() -> None:
    table = projected_metrics(measured(NOTES))
    ndcg, exposure = table["projected_ndcg@10"], table["projected_target_hr@10"]
    assert [ndcg.clean, ndcg.attacked] == pytest.approx([0.625, 0.6])
    assert ndcg.change == pytest.approx(0.04), "relative"
    assert (exposure.clean, exposure.attacked, exposure.change) == (0.5, 0.5, 0.0)
    assert table["projected_items"].attacked == pytest.approx(0.03)


def test_other_attacks_and_missing_seeds_have_none() -> None:
    assert projected_metrics(measured([{}, {}])) == {}
    assert projected_metrics(measured([NOTES[0], {}])) == {}


def test_the_report_says_what_is_left() -> None:
    said = Row.of(1, cell(metrics=projected_metrics(measured(NOTES)))).reason
    assert said == (
        "the same deltas, projected onto real items: NDCG@10 −4.0%, target HR@10 0.0\u00a0pp (3.0% of the items change)"
    )
    after = Row.of(1, cell(metrics=projected_metrics(measured(NOTES)), verdict="FAIL", p_fail=0.0001)).reason
    assert after == f"p < 0.001 after correction; {said}"
    assert Row.of(1, cell()).reason == ""
