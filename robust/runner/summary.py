"""The words above the numbers: threats' verdicts, the headline, what was not tested, and the exit code."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from robust.amounts import number, percent, points
from robust.metrics.registry import metric_name
from robust.runner.results import WORST_FIRST, CellResult, Results, ThreatResult, Verdict, worst
from robust.runner.scenario import Scenario, Threat

__all__ = ["accept", "amount", "exit_code", "explanation", "headline", "not_tested", "threat_result", "worst"]


def accept(cells: Sequence[CellResult], scenario: Scenario, today: datetime.date) -> None:
    """Mark findings that the scenario accepts, while they have not expired."""
    standing = {entry.cell: entry.reason for entry in scenario.accept if entry.until >= today}
    for cell in cells:
        if cell.verdict == "FAIL" and cell.id in standing:
            cell.accepted = standing[cell.id]


def amount(cell: CellResult) -> str:
    """A change in the words of its bound: `NDCG@10 down 32.0%`."""
    if cell.bound.metric not in cell.metrics:
        return "no measurement"
    name, change = metric_name(cell.bound.metric), cell.metrics[cell.bound.metric].change
    if cell.bound.kind == "drop":
        return f"{name} {'down' if change >= 0 else 'up'} {percent(abs(change), '.1f')}"
    if cell.bound.kind == "rise":
        return f"{name} {'up' if change >= 0 else 'down'} {points(abs(change), '.1f')}"
    return f"{name} at {number(change, '.3f')}"


def threat_result(threat: Threat, cells: Sequence[CellResult]) -> ThreatResult:
    """One threat: the worst of its verdicts, and the cell that says most about it."""
    verdict = worst([cell.verdict for cell in cells])
    measured = [cell for cell in cells if cell.bound.metric in cell.metrics]
    title = threat.title or threat.id.replace("-", " ")
    if not measured:
        reasons = sorted({cell.reason for cell in cells if cell.reason})
        return ThreatResult(
            id=threat.id, title=title, verdict=verdict, summary="; ".join(reasons), cells=[c.id for c in cells]
        )
    hardest = max(measured, key=lambda cell: cell.metrics[cell.bound.metric].change)
    summary = f"Worst: {amount(hardest)} by {hardest.attack} at {hardest.budget}"
    summary += f", behind {hardest.defense}" if hardest.defense != "none" else ""
    summary += f". Bound: {threat.bound.label}."
    failed = {cell.budget_size for cell in cells if cell.verdict == "FAIL" and cell.defense == "none"}
    if failed:
        smallest = next(c for c in cells if c.budget_size == min(failed) and c.verdict == "FAIL")
        summary += f" Broken from {smallest.budget} on."
    return ThreatResult(id=threat.id, title=title, verdict=verdict, summary=summary, cells=[c.id for c in cells])


def headline(threats: Sequence[ThreatResult]) -> tuple[Verdict, str]:
    """The overall verdict, and its coverage: `PASS on 3 of 9 threats; 6 could not be measured, because …`."""
    verdict = worst([threat.verdict for threat in threats])
    count = {v: [t for t in threats if t.verdict == v] for v in (*WORST_FIRST, "NOT_APPLICABLE")}
    parts = []
    if verdict in count:
        parts.append(f"{verdict.replace('_', ' ')} on {len(count[verdict])} of {len(threats)} threats")
    words = {
        "ERROR": "ended in an error",
        "INCONCLUSIVE": "could not be decided",
        "PASS": "held",
    }
    for other in WORST_FIRST:
        if other != verdict and count[other]:
            parts.append(f"{len(count[other])} {words.get(other, 'broke its bound')}")
    unmeasured = count["NOT_APPLICABLE"]
    if unmeasured and verdict != "NOT_APPLICABLE":
        reasons = sorted({t.summary.split(";")[0] for t in unmeasured if t.summary})
        parts.append(f"{len(unmeasured)} could not be measured, because the model {_because(reasons)}")
    return verdict, "; ".join(parts)


def _because(reasons: Sequence[str]) -> str:
    return " and ".join(reason.replace("this recommender", "it").rstrip(".") for reason in reasons) or "lacks something"


def _defended(broken: AbstractSet[str], cells: Sequence[CellResult]) -> str:
    """With which defence a model may be released: it is told to look for one only where there is one."""
    rows: dict[tuple[str, str, str], set[Verdict]] = {}
    for cell in cells:
        if cell.threat in broken and cell.defense != "none":
            rows.setdefault((cell.threat, cell.victim, cell.defense), set()).add(cell.verdict)
    if {"PASS"} in rows.values():
        return "with a defence whose row below holds"
    measured = set().union(*rows.values()) - {"NOT_APPLICABLE"}
    return f"with a defence that is shown to hold ({'none here is' if measured else 'none was measured here'})"


def explanation(verdict: Verdict, threats: Sequence[ThreatResult], cells: Sequence[CellResult]) -> str:
    """What the verdict means, for somebody who decides on a release."""
    broken = [t.title.lower() for t in threats if t.verdict == "FAIL"]
    if verdict == "FAIL":
        accepted = all(c.accepted for c in cells if c.verdict == "FAIL")
        tail = " All of these findings are accepted in the scenario." if accepted else ""
        how = _defended({t.id for t in threats if t.verdict == "FAIL"}, cells)
        return (
            f"An attacker within the stated budget does more harm than the bound allows by: {'; '.join(broken)}. "
            f"Release this model only {how}, or with the risk accepted in writing.{tail}"
        )
    if verdict == "ERROR":
        return "Part of the review went wrong, so nothing is promised about it: see the reasons below, mend, run again."
    if verdict == "INCONCLUSIVE":
        return (
            "No bound is shown to be broken, but not every bound is shown to hold: the intervals of some cells "
            "straddle their bound. More seeds or more users would decide them."
        )
    if verdict == "PASS":
        return (
            "Every attack that was run stays within its bound, with 95% confidence. This says nothing of attacks that "
            "were not run: see what was not tested."
        )
    return "No threat of this scenario can be measured on this model, so nothing is known about its robustness."


ALWAYS_UNTESTED = (
    "Attacks that learn their profiles (reinforcement learning, gradients through training), and attacks on privacy.",
    "Whether the model can be copied for its own sake: a copy is judged by the attacks that are planned on it.",
    "Attackers who adapt over many rounds of retraining, and anything about how the model is served.",
)


def not_tested(scenario: Scenario, cells: Sequence[CellResult], threats: Sequence[ThreatResult]) -> list[str]:
    """What a reader must not conclude."""
    found = [f"{t.title}: {t.summary}." for t in threats if t.verdict == "NOT_APPLICABLE"]
    for threat in scenario.threats:
        largest = max(threat.budgets, key=lambda b: b.size)
        found.append(f"{threat.title or threat.id}: budgets above {largest.label}.")
        if threat.goal.kind != "degrade" and not threat.goal.redraws_targets:
            found.append(f"{threat.title or threat.id}: targets other than the ones listed.")
    if not any(threat.knowledge.next_item for threat in scenario.threats):
        found.append("Attackers who know the true next item (worst case).")
    if any(cell.retrain == "warm" for cell in cells):
        found.append(
            "Poisoned victims were trained further from the clean checkpoint (warm start); a victim trained from "
            "scratch on poison may move more (`retrain: scratch`)."
        )
    return [*found, *ALWAYS_UNTESTED]


def exit_code(results: Results, *, strict: bool = False) -> int:
    """0 no bound broken, 1 FAIL, 3 ERROR or nothing measurable, 4 INCONCLUSIVE if strict; the first of 1, 3, 4."""
    verdicts = [cell.verdict for cell in results.cells if not cell.accepted]
    if "FAIL" in verdicts:
        return 1
    if "ERROR" in verdicts or all(cell.verdict == "NOT_APPLICABLE" for cell in results.cells):
        return 3
    if strict and "INCONCLUSIVE" in verdicts:
        return 4
    return 0
