"""SARIF 2.1.0 (OASIS), for code scanning: a rule per threat and attack, a result per finding, each at its bound's line.

The standard asks for no location, but GitHub refuses a file in which one result has none, so each result points at the
line of the scenario that states the bound. GitHub also tells alerts apart by `primaryLocationLineHash` alone, and reads
a severity from a rule's properties only; both are given. It stores the gravest 5,000 results and 10 tags of a rule, and
refuses a file of more than 25,000 or 20 (docs.github.com, "SARIF results exceed limit"): no more are written.

There is no `informationUri` and no `helpUri`: the project has no public address that they could name, so that a rule's
`help` holds what a page would say.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from robust.report.findings import Finding, Place, Technique, errors, found, identity, one_line, place
from robust.report.markdown import code, escape
from robust.report.rows import Row, groups
from robust.report.text import bound_text, plural, presentable
from robust.runner.results import Results
from robust.taxonomy import ATLAS, NIST

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MESSAGE = 900  # characters; GitHub shows the first thousand
RESULTS, TAGS = 5_000, 10
TAXONOMIES = (("MITRE ATLAS", ATLAS, "The MITRE Corporation"), ("NIST AI 100-2", NIST, "NIST"))


def render_sarif(results: Results) -> str:
    """What broke as errors, what is open as warnings and notes; measurements that went wrong are notifications."""
    shown = presentable(results)
    arranged = groups(shown)
    findings, left = _within(found(shown, arranged))
    wrong = errors(arranged)
    rules = _rules(findings)
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    run: dict[str, Any] = {
        "tool": {"driver": {**_driver(shown), "rules": rules}},
        "automationDetails": {"id": f"robust/{place(shown, '').path}/"},
        "invocations": [_invocation(shown, wrong, left)],
        "taxonomies": _taxonomies(findings),
        "results": [_result(one, index[_rule_id(one)]) for one in findings],
        "columnKind": "unicodeCodePoints",
        "properties": _properties(shown),
    }
    body = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _within(findings: list[Finding]) -> tuple[list[Finding], int]:
    """The findings that are written, which come gravest first, and how many are left out."""
    return findings[:RESULTS], max(len(findings) - RESULTS, 0)


def message(text: str, most: int = MESSAGE) -> str:
    """Text that no viewer takes for a link or a placeholder (SARIF 2.1.0, 3.11.5 and 3.11.6), on one line."""
    line = one_line(text, most).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return line.replace("{", "{{").replace("}", "}}")


def _driver(results: Results) -> dict[str, Any]:
    version = one_line(str(results.environment.get("seqrobust", "")))
    return {"name": "seqrobust", **({"version": version} if version else {})}


def _rule_id(finding: Finding) -> str:
    return identity(finding.rule)


def _rules(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """One for each threat and attack; findings come gravest first, so that the first of a rule sets its severity."""
    members: dict[str, list[Finding]] = {}
    for finding in findings:
        members.setdefault(_rule_id(finding), []).append(finding)
    return [_rule(name, own) for name, own in members.items()]


def _rule(name: str, own: Sequence[Finding]) -> dict[str, Any]:
    first = own[0]
    bound = bound_text(first.cell.bound)
    known = [*first.techniques, *first.classes]
    title = one_line(first.threat.title)
    remedy = dict.fromkeys(
        f"{escape(one_line(one.cell.victim))}: {escape(one_line(one.remedy, MESSAGE))}" for one in own
    )
    parts = [
        f"**What must hold.** {escape(bound)}.",
        "**Threat.** " + "; ".join(f"{escape(str(one))} ({escape(one.meaning)})" for one in known) + ".",
        f"**Severity.** {first.severity.level}: {escape(first.severity.why)}." if first.severity else "",
        "**What to do.**\n\n" + "\n".join(f"- {line}" for line in list(remedy)[:20]),
        f"**How to reproduce.** {code(one_line(first.reproduce, MESSAGE))}",
    ]
    markdown = "\n\n".join(part for part in parts if part)
    tags = ["security", "robustness", *(one_line(f"external/{one.id}") for one in known)]
    properties: dict[str, Any] = {"tags": tags[:TAGS]}
    if first.severity:
        properties["security-severity"] = f"{first.severity.score:.1f}"
    return {
        "id": name,
        "name": one_line(first.cell.attack),
        "shortDescription": {"text": message(f"{title}: {first.cell.attack}")},
        "fullDescription": {"text": message(f"{title}, by {first.cell.attack}. What must hold: {bound}.")},
        "help": {"text": message(f"{first.remedy} Reproduce: {first.reproduce}"), "markdown": markdown},
        "defaultConfiguration": {"level": first.level},
        "properties": properties,
        "relationships": [_relationship(one, TAXONOMIES[0][0]) for one in first.techniques]
        + [_relationship(one, TAXONOMIES[1][0]) for one in first.classes],
    }


def _relationship(technique: Technique, taxonomy: str) -> dict[str, Any]:
    return {"target": {"id": one_line(technique.id), "toolComponent": {"name": taxonomy}}, "kinds": ["relevant"]}


def _taxonomies(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The entries that the findings name."""
    made = []
    for (name, prefix, publisher), kind in zip(TAXONOMIES, ("techniques", "classes"), strict=True):
        known = {one.id: one for finding in findings for one in getattr(finding, kind)}
        taxa = [
            {"id": one_line(one.id), "name": one_line(one.title), "shortDescription": {"text": message(one.meaning)}}
            for one in known.values()
        ]
        edition = prefix.rstrip(":").rpartition("@")[2]
        made.append({"name": name, "version": edition, "organization": publisher, "taxa": taxa})
    return made


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    severity = f" Severity: {finding.severity.level} ({finding.severity.why})." if finding.severity else ""
    told = ", ".join(str(one) for one in (*finding.techniques, *finding.classes))
    text = f"{finding.threat.title}: {finding.sentence}{severity} {told}. What to do: {finding.remedy}"
    made: dict[str, Any] = {
        "ruleId": _rule_id(finding),
        "ruleIndex": rule,
        "level": finding.level,
        "message": {"text": message(text)},
        "locations": [_location(finding.place, finding)],
        "partialFingerprints": {
            "primaryLocationLineHash": f"{finding.fingerprint}:1",
            "robustBound/v1": finding.fingerprint,
        },
        "properties": {
            "verdict": finding.verdict,
            "severity": finding.severity.level if finding.severity else "undecided",
            "cells": [identity(row.cell.id) for row in finding.rows],
            "breaksAt": one_line(finding.breaks.cell.budget) if finding.breaks else None,
            "reproduce": one_line(finding.reproduce, MESSAGE),
        },
    }
    if finding.accepted:  # no `status`: it means accepted, and drafts of the schema that are about call it `state`
        made["suppressions"] = [{"kind": "external", "justification": message(finding.accepted)}]
    return made


def _location(where: Place, finding: Finding | None = None) -> dict[str, Any]:
    physical = {
        "artifactLocation": {"uri": quote(where.path, safe="/")},
        "region": {"startLine": where.line},
    }
    made: dict[str, Any] = {"physicalLocation": physical}
    if finding is not None:
        parts = (finding.cell.victim, finding.series.attack, finding.cell.defense)
        made["logicalLocations"] = [
            {"name": one_line(finding.cell.victim), "fullyQualifiedName": "/".join(map(one_line, parts))}
        ]
    return made


def _invocation(results: Results, wrong: Sequence[Row], left: int) -> dict[str, Any]:
    notes: list[dict[str, Any]] = [
        {
            "level": "error",
            "message": {"text": message(f"{row.cell.id} could not be measured: {row.reason}")},
            "locations": [_location(place(results, row.cell.threat))],
        }
        for row in wrong
    ]
    if left:
        told = f"{plural(left, 'less grave finding')} left out, as code scanning stores no more than {RESULTS:,}"
        notes.append({"level": "note", "message": {"text": message(f"{told}; results.json holds all.")}})
    times = {"startTimeUtc": _utc(results.started), "endTimeUtc": _utc(results.finished)}
    return {
        "executionSuccessful": not wrong,
        "commandLine": one_line(results.command, MESSAGE),
        **{name: time for name, time in times.items() if time},
        "toolExecutionNotifications": notes,
    }


def _utc(text: str) -> str | None:
    """As the schema wants a moment; None for what is none."""
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _properties(results: Results) -> dict[str, Any]:
    """What tells one run from another, years later."""
    kept = results.environment.get("scenario")
    scenario = kept.get("sha256") if isinstance(kept, dict) else None
    return {
        "verdict": results.verdict,
        "headline": one_line(results.headline),
        "scenarioSha256": scenario,
        "data": results.environment.get("data"),
        "seeds": sorted({seed for cell in results.cells for seed in cell.seeds}),
    }
