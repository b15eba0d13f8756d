"""SARIF: read by models made from the published schema; every result placed, told apart, and free of links and markup.

`pydantic-sarif` is generated from a copy of sarif-schema-2.1.0.json (August 2023, before its errata) and refuses
unknown and missing fields and wrong enumerations. What a schema cannot say (GitHub's demands, unique fingerprints) is
checked here.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from pydantic import ValidationError
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif

from robust.report import render, sarif
from robust.report.sarif import MESSAGE, message
from robust.runner.results import Results
from tests.unit.report.example import example
from tests.unit.report.hostile import hostile_example
from tests.unit.report.test_defense_sections import priced
from tests.unit.report.test_html import many

SOURCE: dict[str, Any] = {
    "path": "reviews/été 1.yaml",
    "sha256": "0" * 64,
    "bounds": {"promotion": 30, "edited-history": 41, "random-history": 52, "embeddings": 63},
}


def placed() -> Results:
    """The example, with what a run keeps of its scenario."""
    review = example()
    return review.model_copy(update={"environment": {**review.environment, "scenario": SOURCE}})


def run_of(results: Results) -> dict[str, Any]:
    text = render(results, "sarif")
    assert text.endswith("\n")
    body = json.loads(text)
    Sarif.model_validate(body)
    (run,) = body["runs"]
    assert isinstance(run, dict)
    return run


@pytest.mark.parametrize("results", [example(), placed(), hostile_example(), many(3), priced()])
def test_follows_the_published_schema(results: Results) -> None:
    run = run_of(results)
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def _unplaced(run: dict[str, Any]) -> None:
    run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0


def _grave(run: dict[str, Any]) -> None:
    run["results"][0]["level"] = "grave"


def _unknown(run: dict[str, Any]) -> None:
    run["results"][0]["severity"] = "high"


def _silent(run: dict[str, Any]) -> None:
    del run["results"][0]["message"]


def _toolless(run: dict[str, Any]) -> None:
    del run["tool"]["driver"]


@pytest.mark.parametrize("spoil", [_unplaced, _grave, _unknown, _silent, _toolless])
def test_the_schema_check_can_fail(spoil: Callable[[dict[str, Any]], None]) -> None:
    body = json.loads(render(example(), "sarif"))
    spoil(body["runs"][0])
    with pytest.raises(ValidationError):
        Sarif.model_validate(body)


def test_every_result_and_notification_stands_at_the_line_of_its_bound() -> None:
    run = run_of(placed())
    assert run["results"]
    for result in run["results"]:
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "reviews/%C3%A9t%C3%A9%201.yaml"
        assert physical["region"]["startLine"] == SOURCE["bounds"][result["ruleId"].split("/")[0]]
        assert location["logicalLocations"][0]["fullyQualifiedName"].startswith("gru4rec/")
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["locations"][0]["physicalLocation"]["region"]["startLine"] == 63


def test_what_broke_is_an_error_what_is_open_a_warning_or_note_and_what_holds_is_not_listed() -> None:
    review = placed()
    run = run_of(review)
    levels = [(result["ruleId"], result["level"], result["properties"]["verdict"]) for result in run["results"]]
    assert levels == [
        ("edited-history/substitution", "error", "FAIL"),
        ("edited-history/substitution", "error", "FAIL"),
        ("random-history/random-substitution", "error", "FAIL"),
        ("promotion/bandwagon", "note", "INCONCLUSIVE"),
        ("edited-history/substitution", "warning", "INCONCLUSIVE"),
        ("embeddings/pgd", "note", "INCONCLUSIVE"),
    ]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (note,) = invocation["toolExecutionNotifications"]
    assert "undertrained" in note["message"]["text"]
    sound = review.model_copy(update={"cells": [cell for cell in review.cells if cell.verdict != "ERROR"]})
    assert run_of(sound)["invocations"][0]["executionSuccessful"] is True


def test_an_accepted_finding_is_suppressed_with_its_reason() -> None:
    review = placed()
    cells = [cell.model_copy(update={"accepted": "SEC-114"}) for cell in review.cells if cell.verdict == "FAIL"]
    for result in run_of(review.model_copy(update={"cells": cells}))["results"]:
        assert result["level"] == "note"
        assert result["suppressions"] == [{"kind": "external", "justification": "SEC-114"}]


def test_a_rule_carries_severity_taxonomy_remedy_and_command() -> None:
    rules = {rule["id"]: rule for rule in run_of(priced())["tool"]["driver"]["rules"]}
    for rule in rules.values():
        severity = rule["properties"].get("security-severity")
        broke = rule["defaultConfiguration"]["level"] == "error"
        assert (severity is not None) == broke
        assert severity is None or 0 < float(severity) <= 10
        assert any(tag.startswith("external/AML.T") for tag in rule["properties"]["tags"])
        assert any(tag.startswith("external/NISTAML.") for tag in rule["properties"]["tags"])
        for part in ("What must hold", "Threat", "What to do", "How to reproduce", "robust review quick"):
            assert part in rule["help"]["markdown"]
        targets = {one["target"]["id"] for one in rule["relationships"]}
        assert {target.split(".")[0] for target in targets} == {"AML", "NISTAML"}


def test_fingerprints_tell_results_of_one_line_apart() -> None:
    run = run_of(placed())
    for name in ("primaryLocationLineHash", "robustBound/v1"):
        prints = [result["partialFingerprints"][name] for result in run["results"]]
        assert len(set(prints)) == len(prints)


def test_hostile_names_make_no_link_no_placeholder_no_line_and_no_markup() -> None:
    text = render(hostile_example(), "sarif")
    run = json.loads(text)["runs"][0]
    messages = [result["message"]["text"] for result in run["results"]]
    messages += [rule[key]["text"] for rule in run["tool"]["driver"]["rules"] for key in ("shortDescription", "help")]
    assert any("script" in told for told in messages)
    for told in messages:
        assert len(told) < 2_000
        assert "\n" not in told
        assert not re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", told)
        assert not re.search(r"(?<!\{)\{\d+\}(?!\})", told)
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\ud800-\udfff]", text)
    parser = MarkdownIt("commonmark", {"html": True})
    for rule in run["tool"]["driver"]["rules"]:
        tokens = parser.parse(rule["help"]["markdown"])
        kinds = {child.type for token in tokens for child in [token, *(token.children or [])]}
        assert not kinds & {"html_block", "html_inline", "link_open", "image", "heading_open"}


def test_a_message_is_escaped_as_the_standard_asks() -> None:
    assert message("[a](b)\n{0} \\") == "\\[a\\](b) {{0}} \\\\"
    assert len(message("x" * 10_000)) == MESSAGE


def test_ten_kilobytes_of_name_are_cut_and_rules_stay_apart() -> None:
    review = example()
    long = [
        cell.model_copy(update={"attack": "x" * 10_000 + cell.attack, "id": "y" * 10_000 + cell.id})
        for cell in review.cells
    ]
    run = run_of(review.model_copy(update={"cells": long, "threats": []}))
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(ids)) == len(ids) >= 3
    assert max(map(len, ids)) < 200
    assert len(json.dumps(run)) < 100_000


def urls_of(value: Any, name: str = "") -> list[tuple[str, str]]:
    """(property, text) of every property that holds an address."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in urls_of(inner, key)]
    if isinstance(value, list):
        return [found for inner in value for found in urls_of(inner, name)]
    return [(name, value)] if name.lower().endswith("uri") else []


@pytest.mark.parametrize("results", [example(), placed(), hostile_example(), many(3), priced()])
def test_keeps_to_what_github_takes(results: Results) -> None:
    """Limits of docs.github.com, "SARIF results exceed limit" and "SARIF support for code scanning"."""
    text = render(results, "sarif")
    assert len(gzip.compress(text.encode())) <= 10_000_000
    (run,) = json.loads(text)["runs"]
    assert len(run["results"]) <= 5_000
    assert run["results"]
    rules = run["tool"]["driver"]["rules"]
    for rule in rules:
        assert len(rule["id"]) <= 255
        assert len(rule["name"]) <= 255
        assert len(rule["shortDescription"]["text"]) <= 1024
        assert len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        tags = rule["properties"]["tags"]
        assert 1 <= len(tags) == len(set(tags)) <= 10
    for result in run["results"]:
        assert len(result["message"]["text"]) <= 1_000
        assert 1 <= len(result["locations"]) <= 100
        assert result["partialFingerprints"]["primaryLocationLineHash"].strip()
        for location in result["locations"]:
            assert location["physicalLocation"]["region"]["startLine"] >= 1
    addresses = urls_of(run)
    assert addresses
    for name, address in addresses:  # nothing but places in the repository
        assert name == "uri"
        parts = urlsplit(address)
        assert parts.scheme == parts.netloc == parts.query == parts.fragment == ""
        assert not address.startswith(("/", "\\"))
        assert not {"", ".", ".."} & set(unquote(parts.path).split("/"))


def test_what_is_too_much_for_code_scanning_is_left_out_gravest_last_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_of(placed())
    monkeypatch.setattr(sarif, "RESULTS", 2)
    monkeypatch.setattr(sarif, "TAGS", 3)
    less = run_of(placed())
    assert [one["partialFingerprints"] for one in less["results"]] == [
        one["partialFingerprints"] for one in whole["results"][:2]
    ]
    notes = less["invocations"][0]["toolExecutionNotifications"]
    assert f"{len(whole['results']) - 2} less grave findings left out" in notes[-1]["message"]["text"]
    assert {len(rule["properties"]["tags"]) for rule in less["tool"]["driver"]["rules"]} == {3}
