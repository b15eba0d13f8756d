"""What a scenario's cell says as a test: properties for JUnit XML, a message when it is red, a line per threat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robust.bounds import Bound
from robust.runner.results import CellResult
from robust.runner.summary import amount, worst
from robust.visible import one_line, visible

PREFIX = "robust_"


def properties(cell: CellResult) -> list[tuple[str, str | float]]:
    """What JUnit XML and the terminal say of a cell: names and plain values."""
    metric = cell.metrics.get(cell.bound.metric)
    plain: dict[str, str | float | None] = {
        "threat": cell.threat,
        "victim": cell.victim,
        "attack": cell.attack,
        "defense": cell.defense,
        "budget": cell.budget,
        "planned_on": cell.planned_on,
        "verdict": cell.verdict,
        "metric": cell.bound.metric,
        "limit": cell.bound.limit,
        "change": None if metric is None else metric.change,
        "low": None if metric is None else metric.low,
        "high": None if metric is None else metric.high,
        "amount": None if metric is None else amount(cell),
        "seeds": len(cell.seeds),
        "users": cell.n_users,
        "p_fail": cell.p_fail,
        "reason": cell.reason or None,
        "flags": ", ".join(flag.name for flag in cell.flags) or None,
    }
    return [(PREFIX + name, _shown(value)) for name, value in plain.items() if value is not None]


def _shown(value: str | float) -> str | float:
    return one_line(value) if isinstance(value, str) else value


def message(cell: CellResult, command: str, pairs: int) -> str:
    """Everything that somebody needs who sees this message and nothing else."""
    words = {"FAIL": "broken, beyond chance", "ERROR": "not measured", "INCONCLUSIVE": "not decided (--robust-strict)"}
    lines = [f"{_bound(cell)}: {words[cell.verdict]}."]
    metric = cell.metrics.get(cell.bound.metric)
    if metric is not None:
        limits = "" if metric.low is None else f" [{_percent(metric.low)}, {_percent(metric.high)}]"
        lines.append(f"  change    {amount(cell)}{limits}: {metric.clean:.3f} before, {metric.attacked:.3f} after")
    seeds = ", ".join(map(str, cell.seeds)) or "none"
    lines += [
        f"  threat    {cell.threat}: {cell.goal}",
        f"  attack    {cell.attack} {_settings(cell)}, {cell.budget}, planned on {cell.planned_on}",
        f"  victim    {cell.victim}" + (f", behind {cell.defense}" if cell.defense != "none" else ""),
        f"  measured  on {cell.n_users:,} users; seeds {seeds}",
    ]
    if cell.points:
        lines.append("  by seed   " + ", ".join(f"{p.seed}: {_percent(p.change)}" for p in cell.points))
    if cell.control is not None:
        lines.append(f"  control   {cell.control.attack}: {_percent(cell.control.change)}")
    if cell.p_fail is not None:
        lines.append(f"  p         {cell.p_fail:.2g}, corrected for {pairs} attack × victim pairs")
    if cell.reason:
        lines.append(f"  reason    {cell.reason}")
    lines += [f"  flag      {flag.name}: {flag.cause} {flag.remedy} See {flag.page}." for flag in cell.flags]
    again = ["", f"Once more:  {visible(command)}", f"A report:   {visible(cell.reproduce)}"]
    return "\n".join([*map(one_line, lines), *again])


def _bound(cell: CellResult) -> str:
    return Bound(metric=cell.bound.metric, kind=cell.bound.kind, limit=cell.bound.limit).label


def _settings(cell: CellResult) -> str:
    given = ", ".join(f"{name}={value}" for name, value in cell.attack_parameters.items())
    return f"({given})" if given else ""


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:.1%}"


def worst_per_threat(reports: Iterable[Any]) -> list[list[str]]:
    """Rows of (threat, verdict, worst change, by what), from the reports' properties: xdist sends nothing else."""
    threats: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        found = {k.removeprefix(PREFIX): v for k, v in report.user_properties if k.startswith(PREFIX)}
        if "threat" in found:
            threats.setdefault(found["threat"], []).append(found)
    rows = []
    for threat, cells in threats.items():
        measured = [cell for cell in cells if "change" in cell]
        verdict = worst([cell["verdict"] for cell in cells])
        if not measured:
            rows.append([threat, verdict, "not measured", cells[0].get("reason", "")])
            continue
        hardest = max(measured, key=lambda cell: cell["change"])
        behind = f", behind {hardest['defense']}" if hardest["defense"] != "none" else ""
        by = f"{hardest['attack']}, {hardest['budget']}, on {hardest['victim']}{behind}"
        rows.append([threat, verdict, hardest["amount"], by])
    return rows
