"""What the verdict means: the advice of a broken review names only what it measured."""

from __future__ import annotations

from robust.runner.results import CellResult, ThreatResult
from robust.runner.summary import ALWAYS_UNTESTED, explanation
from tests.unit.report.example import EXPOSURE, cell

ONE = ("1% fake users", 0.01)
BROKEN = ThreatResult(id="fakes", title="Fake users promote", verdict="FAIL", summary="", cells=[])


def said(*cells: CellResult) -> str:
    return explanation("FAIL", [BROKEN], cells)


def test_a_defence_is_pointed_to_only_where_one_was_measured() -> None:
    broken = cell("fakes", "random", ONE, EXPOSURE, 0.2, 0.01, "FAIL")
    behind = cell("fakes", "random", ONE, EXPOSURE, 0.02, 0.01, "PASS", defense="pca")
    assert "with a defence whose row below holds" in said(broken, behind)
    assert "none was measured here" in said(broken)
    assert "row below" not in said(broken)
    assert "fake users promote" in said(broken)


def test_a_defence_that_broke_too_or_could_not_be_measured_is_not_pointed_to() -> None:
    broken = cell("fakes", "random", ONE, EXPOSURE, 0.2, 0.01, "FAIL")
    behind = cell("fakes", "random", ONE, EXPOSURE, 0.02, 0.01, "PASS", defense="pca")
    also = cell("fakes", "random", ("3% fake users", 0.03), EXPOSURE, 0.2, 0.01, "FAIL", defense="pca")
    unable = cell("fakes", "random", ONE, EXPOSURE, 0.0, 0.01, "NOT_APPLICABLE", defense="dropout")
    elsewhere = cell("edits", "random", ONE, EXPOSURE, 0.02, 0.01, "PASS", defense="surprise")
    assert "none here is" in said(broken, behind, also)
    assert "none was measured here" in said(broken, unable)
    assert "none was measured here" in said(broken, elsewhere)  # it held where nothing was broken
    assert "row below" in said(broken, behind, unable)


def test_accepted_findings_are_said_to_be() -> None:
    broken = cell("fakes", "random", ONE, EXPOSURE, 0.2, 0.01, "FAIL")
    accepted = broken.model_copy(update={"accepted": "known"})
    assert "accepted in the scenario" in said(accepted)
    assert "accepted in the scenario" not in said(accepted, broken)


def test_what_is_never_tested_does_not_deny_that_models_are_copied_here() -> None:
    assert not any("extraction" in line for line in ALWAYS_UNTESTED)
