"""How results are arranged: numbers, series, worst cells, findings, and the machine-readable form."""

from __future__ import annotations

import json

from robust.report import render
from robust.report.clean import clean_table
from robust.report.rows import commands, findings, groups
from robust.runner.results import Flag, Results, SurrogateResult, ThreatResult
from tests.unit.report.example import COMMAND, QUALITY, cell, example, unmeasured


def test_numbers_run_through_and_budgets_ascend_within_a_series() -> None:
    arranged = groups(example())
    assert [row.number for group in arranged for row in group.rows] == list(range(1, len(example().cells) + 1))
    for group in arranged:
        for series in group.series:
            sizes = [row.cell.budget_size for row in series.rows]
            assert sizes == sorted(sizes)


def test_every_cell_appears_even_if_no_threat_lists_it() -> None:
    stray = cell("elsewhere", "a", ("1 edit", 1.0), QUALITY, 0.02, 0.01, "PASS")
    arranged = groups(example().model_copy(update={"cells": [*example().cells, stray]}))
    assert arranged[-1].threat.id == "elsewhere"
    assert [row.cell.id for row in arranged[-1].rows] == [stray.id]


def test_the_worst_cell_is_the_one_that_goes_furthest_towards_its_bound() -> None:
    worst = [group.worst.number if group.worst else None for group in groups(example())]
    assert worst == [4, 10, 16, 18]
    missing = unmeasured("t", "a", ("1 edit", 1.0), "NOT_APPLICABLE", "needs gradients")
    threat = ThreatResult(id="t", title="T", verdict="NOT_APPLICABLE", summary="", cells=[missing.id])
    (group,) = groups(example().model_copy(update={"cells": [missing], "threats": [threat]}))
    assert group.worst is None


def test_findings_are_gathered_by_name_with_each_cause_once() -> None:
    def flagged(attack: str, cause: str) -> object:
        flag = Flag(name="weak", cause=cause, remedy="train longer")
        return cell("t", attack, ("1 edit", 1.0), QUALITY, 0.02, 0.01, "PASS", flags=[flag])

    cells = [flagged("a", "one"), flagged("b", "one"), flagged("c", "two")]
    review = Results.model_validate({**example().model_dump(by_alias=True), "cells": cells, "threats": []})
    (finding,) = findings(review, groups(review))
    assert finding.causes == {"one": ["cell 1", "cell 2"], "two": ["cell 3"]}
    assert finding.remedies == ["train longer"]


def test_cells_share_a_command_and_fall_back_on_the_reviews() -> None:
    review = example()
    other = review.cells[0].model_copy(update={"reproduce": "robust review --only 1"})
    silent = review.cells[1].model_copy(update={"reproduce": ""})
    review = review.model_copy(update={"cells": [other, silent, *review.cells[2:]]})
    found = commands(groups(review), review.command)
    assert [row.number for row in found["robust review --only 1"]] == [1]
    assert len(found[COMMAND]) == len(review.cells) - 1


def test_clean_table_says_whether_order_matters() -> None:
    table = clean_table(example())
    assert [row.name for row in table.rows] == ["gru4rec", "popularity", "Markov, first order", "item-kNN"]
    assert table.columns[0] == "NDCG@10"
    assert table.remarks[0].startswith("Order matters on this log")
    body = example().model_dump(by_alias=True)
    body["victims"][0]["baselines"]["popularity"]["ndcg@10"] = 0.5
    body["victims"][0]["metrics"]["ndcg@10"] = 0.4
    remarks = clean_table(Results.model_validate(body)).remarks
    assert remarks[0].startswith("Order hardly matters on this log")
    assert "gru4rec (NDCG@10 0.400) stays below Markov" in remarks[1]


def test_json_is_the_results_and_reads_back() -> None:
    text = render(example(), "json")
    assert Results.model_validate_json(text) == example()
    body = json.loads(text)
    assert body["schema"] == 1
    assert list(body) == sorted(body)
    assert text == render(Results.model_validate_json(text), "json")


def test_a_transfer_says_how_faithful_its_copy_was() -> None:
    copied = SurrogateResult(
        model="gru4rec from 20 lists", queries=20_000, agreement={"agreement@10": 0.84, "agreement@1": 0.6}
    )
    (group,) = groups(
        example().model_copy(
            update={"cells": [example().cells[0].model_copy(update={"surrogate": copied})], "threats": []}
        )
    )
    said = "which agrees with the victim on 60% of its top 1 and 84% of its top 10"
    assert f"planned on a copy that 20,000 lists gave, {said}" in group.rows[0].reason
    assert "copy" not in groups(example())[0].rows[0].reason


def test_what_follows_a_sentence_begins_one_and_what_follows_a_clause_does_not() -> None:
    copied = SurrogateResult(model="gru4rec", queries=2_000, agreement={"agreement@10": 0.5})
    for reason, said in (
        ("The drop is open.", "The drop is open. Planned on a copy that 2,000 lists gave"),
        ("the drop is open", "the drop is open; planned on a copy that 2,000 lists gave"),
    ):
        open_ = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.1, 0.05, "INCONCLUSIVE", reason=reason, surrogate=copied)
        review = example().model_copy(update={"cells": [open_], "threats": []})
        assert groups(review)[0].rows[0].reason.startswith(said)
    broken = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.5, 0.05, "FAIL", reason="The drop is large.", p_fail=0.01)
    (group,) = groups(example().model_copy(update={"cells": [broken], "threats": []}))
    assert group.rows[0].reason == "The drop is large. p = 0.01 after correction"
