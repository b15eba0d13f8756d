"""What a review found, as every form that people file tells it: one record per attack, victim and defence that broke or
may break its bound, from the smallest budget at which it does to what can be done about it.

A finding spans the budgets of one attack, so its fingerprint stays the same from run to run: it is a hash of what was
asked (scenario, threat, victim, attack, defence, planning, metric, bound) and of no measured value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robust.report.remedies import remedies
from robust.report.rows import Group, Row, Series
from robust.report.severity import Severity, gravest
from robust.report.text import bound_text, listed
from robust.runner.results import CellResult, Results, ThreatResult
from robust.runner.store import content_hash
from robust.taxonomy import ATLAS, NIST, term

LONGEST = 160  # characters of a name in a form that has lines


def one_line(text: str, most: int = LONGEST) -> str:
    """A text on one line, cut where it is longer than a line should be."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def identity(text: str, most: int = LONGEST) -> str:
    """An id on one line; where it is cut, a digest keeps it apart from others."""
    line = one_line(text, most)
    return f"{line} {content_hash(text)[:8]}" if line.endswith("…") else line


@dataclass(frozen=True)
class Technique:
    """An entry of a taxonomy: `AML.T0020`, `Poison Training Data`, and what it means for a recommender."""

    id: str
    title: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.id} {self.title}"


@dataclass(frozen=True)
class Place:
    """Where a scenario states a threat's bound.

    Attributes:
        path: relative to the repository, or as a scenario that comes with the package would lie there. line: from 1.
    """

    path: str
    line: int


@dataclass(frozen=True)
class Finding:
    """One attack on one victim behind one defence (or none), over its budgets.

    Attributes:
        verdict: FAIL, or INCONCLUSIVE where no budget is shown to break the bound. rows: by budget, smallest first.
        breaks: at the smallest budget that is shown to break the bound. worst: where the change is largest.
        severity: of the gravest cell; None where nothing is shown. techniques, classes: MITRE ATLAS, NIST AI 100-2.
        remedy: which defence helped most in this run, and its cost. accepted: the scenario's reason to live with it,
            where that covers all cells that fail.
    """

    threat: ThreatResult
    series: Series
    verdict: Literal["FAIL", "INCONCLUSIVE"]
    rows: tuple[Row, ...]
    breaks: Row | None
    worst: Row
    severity: Severity | None
    techniques: tuple[Technique, ...]
    classes: tuple[Technique, ...]
    remedy: str
    reproduce: str
    accepted: str | None
    fingerprint: str
    place: Place

    @property
    def cell(self) -> CellResult:
        """The cell to speak of: at the smallest budget that breaks the bound, else the worst."""
        return (self.breaks or self.worst).cell

    @property
    def rule(self) -> str:
        """The threat and the attack, by which code scanning groups findings."""
        return f"{self.cell.threat}/{self.cell.attack}"

    @property
    def near(self) -> bool:
        """Whether some budget's mean lies beyond the bound, even if its interval does not."""
        return any(row.metric is not None and row.metric.change > row.cell.bound.limit for row in self.rows)

    @property
    def level(self) -> Literal["error", "warning", "note"]:
        """SARIF's: a broken bound is an error unless accepted, an undecided one whose mean lies beyond it a warning."""
        if self.verdict == "FAIL":
            return "note" if self.accepted else "error"
        return "warning" if self.near else "note"

    @property
    def where(self) -> str:
        """`gru4rec, no defence, adaptive`."""
        behind = "no defence" if self.cell.defense == "none" else f"behind {self.cell.defense}"
        return ", ".join(part for part in (self.cell.victim, behind, self.series.planning) if part)

    @property
    def breaking(self) -> str:
        """`from 3% fake users on (+7.1 pp, 5.3…8.9); not decided at 1% fake users`; empty if nothing is shown."""
        if self.breaks is None:
            return ""
        said = f"from {self.breaks.budget} on ({_figures(self.breaks)})"
        return f"{said}; {self.before}" if self.before else said

    @property
    def before(self) -> str:
        """What is known of smaller budgets: `holds at 1 edit; not decided at 2 edits`; empty if none was tried."""
        least = self.breaks.cell.budget_size if self.breaks else 0.0
        smaller = [row for row in self.rows if row.cell.budget_size < least]
        held = [row.budget for row in smaller if row.cell.verdict == "PASS"]
        undecided = [row.budget for row in smaller if row.cell.verdict != "PASS"]
        said = [f"holds at {listed(held)}"] if held else []
        return "; ".join([*said, f"not decided at {listed(undecided)}"] if undecided else said)

    @property
    def sentence(self) -> str:
        """What happened: attack, bound, victim, budget, change."""
        bound = bound_text(self.cell.bound)
        if self.breaks is not None:
            return f"{self.series.attack} breaks the bound '{bound}' on {self.where}, {self.breaking}."
        reason = f": {self.worst.reason.rstrip('.')}" if self.worst.reason else ""
        return (
            f"Whether {self.series.attack} breaks the bound '{bound}' on {self.where} could not be decided "
            f"at {self.worst.budget} ({_figures(self.worst)}){reason}."
        )


def _figures(row: Row) -> str:
    return f"{row.figures.change}, {row.figures.interval}" if row.figures.interval else row.figures.change


def taxonomy(results: Results, cell: CellResult) -> tuple[tuple[Technique, ...], tuple[Technique, ...]]:
    """(MITRE ATLAS, NIST AI 100-2) of a cell's attack, by its tags; by what it changes where tags name neither.

    An attack that was planned on a surrogate is a transfer, whatever it would be on the model itself.
    A run keeps the tags of its attacks, so this imports no attack.
    """
    kept = results.environment.get("attacks")
    named = kept.get(cell.attack, ()) if isinstance(kept, dict) else ()
    tags = [str(tag) for tag in named] if isinstance(named, list | tuple) else []
    atlas, nist = ([tag for tag in tags if tag.startswith(prefix)] for prefix in (ATLAS, NIST))
    if cell.planned_on == "surrogate":
        atlas, nist = (
            _transferred(atlas, asked=cell.surrogate is not None),
            [_FROM_OUTSIDE.get(tag, tag) for tag in nist],
        )
    usual = _usual(cell)
    goals = {f"{NIST}NISTAML.013", f"{NIST}NISTAML.024"}
    if usual[1] in goals <= set(nist):  # an attack that can do both was used for one of them
        nist = [tag for tag in nist if tag == usual[1] or tag not in goals]
    return _techniques(atlas or [usual[0]], ATLAS), _techniques(nist or [usual[1]], NIST)


_FROM_OUTSIDE = {f"{NIST}NISTAML.022": f"{NIST}NISTAML.025"}  # evasion; without the model's inner workings


def _transferred(tags: Sequence[str], *, asked: bool) -> list[str]:
    """ATLAS's techniques of an attack that was planned on a surrogate, whose inside it may well have looked at."""
    optimised = f"{ATLAS}AML.T0043"
    kept = [tag for tag in tags if not tag.startswith(optimised)]
    crafted = [f"{optimised}.002"] if len(kept) < len(tags) else []
    return [*crafted, f"{ATLAS}AML.T0005", *([f"{ATLAS}AML.T0040"] if asked else []), *kept]


def _techniques(tags: Sequence[str], prefix: str) -> tuple[Technique, ...]:
    known = [(one_line(tag.removeprefix(prefix)), term(tag)) for tag in tags]
    return tuple(Technique(name, one_line(said.title), one_line(said.meaning)) for name, said in known)


def _usual(cell: CellResult) -> tuple[str, str]:
    if cell.budget.startswith("ε"):
        return f"{ATLAS}AML.T0043", f"{NIST}NISTAML.022"
    if "edit" in cell.budget:
        return f"{ATLAS}AML.T0015", f"{NIST}NISTAML.022"
    return f"{ATLAS}AML.T0020", f"{NIST}NISTAML.0{24 if cell.bound.kind == 'rise' else 13}"


def place(results: Results, threat: str) -> Place:
    """Where this threat's bound is stated; line 1 for results that do not say."""
    said = results.environment.get("scenario")
    kept = said if isinstance(said, dict) else {}
    lines = kept.get("bounds")
    line = lines.get(threat) if isinstance(lines, dict) else None
    path = kept.get("path")
    parts = [part for part in one_line(str(path or "")).split("/") if part not in ("", ".", "..")]
    return Place("/".join(parts) or "scenario.yaml", line if isinstance(line, int) and line > 0 else 1)


def found(results: Results, arranged: Sequence[Group]) -> list[Finding]:
    """All findings, the gravest first; what holds, could not be measured, or went wrong is none."""
    advice = remedies(results, arranged)
    made = []
    for group in arranged:
        for series in group.series:
            finding = _finding(results, group, series, advice.get((group.number, series.victim), ""))
            if finding is not None:
                made.append(finding)
    return sorted(made, key=lambda one: (one.verdict != "FAIL", -(one.severity.score if one.severity else 0.0)))


def _finding(results: Results, group: Group, series: Series, remedy: str) -> Finding | None:
    failed = [row for row in series.rows if row.cell.verdict == "FAIL"]
    undecided = [row for row in series.rows if row.cell.verdict == "INCONCLUSIVE"]
    if not failed and not undecided:
        return None
    told = failed or undecided
    worst = max(told, key=lambda row: row.metric.change if row.metric is not None else float("-inf"))
    reasons = [row.cell.accepted for row in failed]
    first = told[0].cell
    techniques, classes = taxonomy(results, first)
    where = place(results, first.threat)
    bound = first.bound
    asked = [where.path, first.threat, series.victim, series.attack, series.defense, first.planned_on]
    return Finding(
        threat=group.threat,
        series=series,
        verdict="FAIL" if failed else "INCONCLUSIVE",
        rows=tuple(series.rows),
        breaks=failed[0] if failed else None,
        worst=worst,
        severity=gravest(row.cell for row in failed),
        techniques=techniques,
        classes=classes,
        remedy=remedy,
        reproduce=first.reproduce.strip() or results.command,
        accepted="; ".join(dict.fromkeys(filter(None, reasons))) if failed and all(reasons) else None,
        fingerprint=content_hash([*asked, bound.metric, bound.kind, bound.limit])[:32],
        place=where,
    )


@dataclass(frozen=True)
class Broken:
    """The findings of one threat that break its bound, gravest first, and what to do about them.

    Attributes:
        advice: a sentence per victim, as (victim, sentence). left: how many more there are than `findings` shows.
    """

    threat: ThreatResult
    number: int
    techniques: tuple[Technique, ...]
    classes: tuple[Technique, ...]
    findings: list[Finding]
    advice: list[tuple[str, str]]
    left: int = 0


def broken(results: Results, arranged: Sequence[Group], most: int | None = None) -> list[Broken]:
    """By threat, those that show something; at most so many of each."""
    made = []
    findings = [one for one in found(results, arranged) if one.verdict == "FAIL"]
    for group in arranged:
        own = [one for one in findings if one.threat is group.threat]
        if own:
            techniques = dict.fromkeys(entry for one in own for entry in one.techniques)
            classes = dict.fromkeys(entry for one in own for entry in one.classes)
            advice = dict.fromkeys((one.cell.victim, one.remedy) for one in own)
            left = max(len(own) - most, 0) if most is not None else 0
            kept = own[: len(own) - left]
            made.append(Broken(group.threat, group.number, tuple(techniques), tuple(classes), kept, list(advice), left))
    return made


def errors(arranged: Sequence[Group]) -> list[Row]:
    """The cells whose measurement went wrong: about the review, not about the model."""
    return [row for group in arranged for row in group.rows if row.cell.verdict == "ERROR"]
