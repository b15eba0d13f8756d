"""JUnit XML, as CI servers read it: a suite per threat, a case per cell.

FAIL is a failure and ERROR an error. INCONCLUSIVE and NOT_APPLICABLE are skipped with the reason; some servers count
skipped as passed, so an open verdict is told on the case's output as well. An accepted FAIL is skipped too.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from robust.report.findings import Finding, found, identity, one_line
from robust.report.rows import Group, Row, groups
from robust.report.text import VERDICT_WORDS, bound_text, presentable
from robust.runner.results import Results

NAME = 240  # characters of a case's name
TEXT = 2_000


def render_junit(results: Results) -> str:
    """The whole review; names are the cells' ids, which stay the same from run to run."""
    shown = presentable(results)
    arranged = groups(shown)
    told = {row.cell.id: finding for finding in found(shown, arranged) for row in finding.rows}
    root = ET.Element("testsuites", {"name": one_line(shown.title, NAME)})
    facts = _facts(shown)
    for group in arranged:
        root.append(_suite(group, told, facts, shown.started))
    for name in (
        "tests",
        "failures",
        "errors",
    ):  # no `skipped` here: Jenkins' schema, junit-10.xsd, has it on suites only
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(group: Group, told: Mapping[str, Finding], facts: Mapping[str, str], started: str) -> ET.Element:
    suite = ET.Element("testsuite", {"name": one_line(group.threat.title, NAME), "id": str(group.number - 1)})
    if started[:19].count("T") == 1 and len(started) >= 19:
        suite.set("timestamp", started[:19])
    properties = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": one_line(name), "value": one_line(value, TEXT)})
    for row in group.rows:
        suite.append(_case(row, told.get(row.cell.id)))
    cases = suite.findall("testcase")
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    return suite


def _case(row: Row, finding: Finding | None) -> ET.Element:
    cell = row.cell
    seconds = cell.timing.get("seconds", 0.0)
    names = {"classname": one_line(f"{cell.threat}.{cell.victim}", NAME), "name": identity(cell.id, NAME)}
    case = ET.Element("testcase", {**names, "time": f"{seconds:.3f}"})
    bound = bound_text(cell.bound)
    interval = f" ({row.figures.interval})" if row.figures.interval else ""
    measured = f"{row.figures.change}{interval}; must hold: {bound}"
    reason = row.reason or cell.verdict
    if cell.verdict == "FAIL" and not cell.accepted:
        failure = ET.SubElement(case, "failure", {"type": _kind(finding), "message": one_line(measured, NAME)})
        failure.text = _lines(row, finding, measured)
    elif cell.verdict == "ERROR":
        error = ET.SubElement(case, "error", {"type": "ERROR", "message": one_line(reason, NAME)})
        error.text = one_line(f"{reason}. Reproduce: {cell.reproduce}", TEXT)
    elif cell.verdict != "PASS":
        accepted = f"accepted: {cell.accepted}; {measured}" if cell.accepted else reason
        said = one_line(f"{VERDICT_WORDS[cell.verdict]}: {accepted}", TEXT)
        ET.SubElement(case, "skipped", {"message": said})
        if cell.verdict != "NOT_APPLICABLE":
            ET.SubElement(case, "system-out").text = said
    return case


def _kind(finding: Finding | None) -> str:
    return f"FAIL, severity {finding.severity.level}" if finding and finding.severity else "FAIL"


def _lines(row: Row, finding: Finding | None, measured: str) -> str:
    """A line for each statement; no name can start one."""
    said = [("Measured", measured), ("Verdict", row.reason)]
    if finding is not None:
        said += [
            ("Threat", ", ".join(str(one) for one in (*finding.techniques, *finding.classes))),
            ("Breaks", finding.breaking),
            ("Severity", f"{finding.severity.level}: {finding.severity.why}" if finding.severity else ""),
            ("What to do", finding.remedy),
        ]
    said.append(("Reproduce", row.cell.reproduce))
    return "\n".join(f"{name}: {one_line(text, TEXT)}" for name, text in said if text.strip())


def _facts(results: Results) -> dict[str, str]:
    """What tells this run from others."""
    environment = results.environment
    kept = environment.get("scenario")
    scenario = kept if isinstance(kept, dict) else {}
    versions = environment.get("versions")
    facts = {
        "command": results.command,
        "scenario": str(scenario.get("path", "")),
        "scenario.sha256": str(scenario.get("sha256", "")),
        "data": str(environment.get("data", "")),
        "seeds": ", ".join(map(str, sorted({seed for cell in results.cells for seed in cell.seeds}))),
        "seqrobust": str(environment.get("seqrobust", "")),
        "python": str(environment.get("python", "")),
    }
    facts |= {f"versions.{name}": str(value) for name, value in versions.items()} if isinstance(versions, dict) else {}
    return {name: value for name, value in facts.items() if value}
