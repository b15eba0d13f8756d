"""JUnit XML, read by a JUnit reader: a case per cell, each verdict as CI servers expect it, nothing forged by names."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from robust.report import render
from robust.runner.results import Results
from tests.unit.report.example import COMMAND, example
from tests.unit.report.hostile import PAYLOAD, hostile_example

VALID = re.compile(r"[\x09\x0a\x0d\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")  # XML 1.0, production 2


def suites(results: Results) -> list[TestSuite]:
    return list(JUnitXml.fromstring(render(results, "junit").encode()))


def cases(results: Results) -> dict[str, TestCase]:
    return {case.name: case for suite in suites(results) for case in suite}


def test_a_suite_per_threat_and_a_case_per_cell() -> None:
    review = example()
    assert [suite.name for suite in suites(review)] == [threat.title for threat in review.threats]
    found = cases(review)
    assert set(found) == {cell.id for cell in review.cells}
    for cell in review.cells:
        assert found[cell.id].classname == f"{cell.threat}.{cell.victim}"
        assert found[cell.id].time == pytest.approx(cell.timing.get("seconds", 0.0))


def test_each_verdict_as_servers_expect_it() -> None:
    review = example()
    found = cases(review)
    for cell in review.cells:
        outcome = found[cell.id].result
        kinds = [type(one) for one in outcome]
        if cell.verdict == "FAIL":
            assert kinds == ([Skipped] if cell.accepted else [Failure])
        else:
            wanted = {"PASS": [], "ERROR": [Error], "INCONCLUSIVE": [Skipped], "NOT_APPLICABLE": [Skipped]}
            assert kinds == wanted[cell.verdict]
        if cell.verdict in ("ERROR", "INCONCLUSIVE", "NOT_APPLICABLE"):
            assert cell.reason in outcome[0].message
        said = found[cell.id].system_out
        assert bool(said) == (cell.verdict == "INCONCLUSIVE" or bool(cell.accepted))
        if cell.accepted:
            assert cell.accepted in outcome[0].message


def test_counts_add_up_to_the_verdicts() -> None:
    review = example()
    root = ET.fromstring(render(review, "junit"))
    verdicts = [cell.verdict for cell in review.cells]
    accepted = sum(bool(cell.accepted) for cell in review.cells)
    skipped = verdicts.count("INCONCLUSIVE") + verdicts.count("NOT_APPLICABLE") + accepted
    wanted = {
        "tests": len(verdicts),
        "failures": verdicts.count("FAIL") - accepted,
        "errors": verdicts.count("ERROR"),
        "skipped": skipped,
    }
    for name, count in wanted.items():
        assert sum(int(suite.attrib[name]) for suite in root) == count
        assert name == "skipped" or int(root.attrib[name]) == count


def test_has_no_element_and_no_attribute_that_jenkins_refuses() -> None:
    """Those of junit-10.xsd of its xUnit plugin, by which it refuses a whole file."""
    known = {
        "testsuites": {"name", "time", "tests", "failures", "errors"},
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "id"},
        "properties": set(),
        "property": {"name", "value"},
        "testcase": {"name", "time", "classname"},
        "failure": {"type", "message"},
        "error": {"type", "message"},
        "skipped": {"type", "message"},
        "system-out": set(),
    }
    for review in (example(), hostile_example()):
        for element in ET.fromstring(render(review, "junit")).iter():
            assert set(element.attrib) <= known[element.tag]


def test_a_failure_tells_what_was_measured_how_grave_what_to_do_and_how_to_repeat_it() -> None:
    found = cases(example())["edited-history/gru4rec/substitution/1-edit/none/planned-plain"]
    (failure,) = found.result
    assert failure.type == "FAIL, severity critical"
    lines = dict(line.split(": ", 1) for line in failure.text.splitlines())
    assert list(lines) == ["Measured", "Verdict", "Threat", "Breaks", "Severity", "What to do", "Reproduce"]
    assert lines["Measured"].startswith("71.3% (67.9…74.7)")
    assert lines["Threat"] == "AML.T0015 Evade AI Model, NISTAML.022 Evasion"
    assert lines["Reproduce"] == COMMAND


def test_suites_carry_hash_seeds_and_versions() -> None:
    review = example()
    kept = {"path": "a.yaml", "sha256": "ab" * 32}
    review = review.model_copy(update={"environment": {**review.environment, "data": "d1", "scenario": kept}})
    for suite in ET.fromstring(render(review, "junit")):
        told = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
        assert told["scenario.sha256"] == "ab" * 32
        assert told["data"] == "d1"
        assert told["seeds"] == "0, 1, 2"
        assert told["versions.torch"] == "2.13.0"
        assert suite.attrib["timestamp"] == "2026-11-24T16:04:11"


def test_hostile_names_are_valid_xml_and_forge_no_case_and_no_line() -> None:
    text = render(hostile_example(), "junit")
    assert VALID.fullmatch(text)
    root, own = ET.fromstring(text), ET.fromstring(render(example(), "junit"))
    tags, plain_tags = ([element.tag for element in tree.iter() if element.tag != "property"] for tree in (root, own))
    assert tags == plain_tags
    assert any("<script>" in case.attrib["name"] for case in root.iter("testcase"))
    for element in root.iter():
        assert not any("\n" in value for value in element.attrib.values())
    for failure, plain in zip(root.iter("failure"), own.iter("failure"), strict=True):
        starts = [line.split(":")[0] for line in (failure.text or "").splitlines()]
        assert starts == [line.split(":")[0] for line in (plain.text or "").splitlines()]


def test_long_ids_are_cut_and_stay_apart() -> None:
    review = example()
    cells = [cell.model_copy(update={"id": PAYLOAD * 50 + cell.id}) for cell in review.cells]
    root = ET.fromstring(render(review.model_copy(update={"cells": cells, "threats": []}), "junit"))
    names = [case.attrib["name"] for case in root.iter("testcase")]
    assert len(set(names)) == len(review.cells)
    assert max(map(len, names)) < 300
