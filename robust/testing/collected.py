"""Scenario files as pytest items: `*.robust.yaml`, one item per cell.

Cells share one store, across items, runs and xdist's workers. In one process all selected cells of a file are measured
together when its first item runs, on as many processes as there are cores; with `-x` or under xdist, one by one.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robust.bounds import BoundBroken, InconclusiveBound
from robust.errors import InputError
from robust.runner.prepare import Request
from robust.runner.results import CellResult
from robust.runner.summary import amount
from robust.testing.cells import Cells
from robust.testing.options import options

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TracebackStyle

PREFIX = "robust_"


class CellError(Exception):
    """A cell could not be measured as it should: verdict ERROR."""


class RobustFile(pytest.File):
    """A scenario file."""

    cells: Cells

    def collect(self) -> Iterator[RobustItem]:
        """One item per cell; nothing is measured yet."""
        given = options(self.config)
        shared = hasattr(self.config, "workerinput")
        store = given.store
        store.mkdir(parents=True, exist_ok=True)
        (store / ".gitignore").write_text("*\n", encoding="utf-8")
        name = os.path.relpath(self.path, Path.cwd())
        command = f"robust review {name}" + (f" --model {given.model}" if given.model else "")
        command += (f" --log {given.log}" if given.log else "") + f" --seed {given.seed}"
        request = Request(
            scenario=str(self.path),
            out=store,
            log=given.log,
            columns=given.columns,
            vocabulary=given.vocabulary,
            model=given.model,
            seed=given.seed,
            workers=1 if shared else given.workers,
            engine="shared" if shared else "processes",
            command=command,
        )
        try:
            self.cells = Cells.of(request)
        except InputError as error:
            raise self.CollectError(str(error)) from error
        for cell in self.cells.names:
            yield RobustItem.from_parent(self, name=cell)

    def found(self, item: RobustItem) -> CellResult:
        """What was found of this item's cell; measures it, and others with it, if it was not yet."""
        if item.name not in self.cells.found:
            alone = hasattr(self.config, "workerinput") or self.config.getoption("maxfail", 0)
            together = [item] if alone else [other for other in self.session.items if other.parent is self]
            self.cells.run([other.name for other in together])
        return self.cells.found[item.name]


class RobustItem(pytest.Item):
    """A cell: one attack, at one budget, on one victim behind one defence."""

    parent: RobustFile

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.add_marker("robust")

    def runtest(self) -> None:
        """Measure the cell. FAIL and ERROR raise, INCONCLUSIVE warns, NOT_APPLICABLE skips."""
        cell = self.parent.found(self)
        self.user_properties.extend(properties(cell))
        if cell.verdict == "FAIL" and cell.accepted:
            pytest.xfail(f"accepted: {cell.accepted}")
        if cell.verdict == "FAIL":
            raise BoundBroken(_said(self, cell))
        if cell.verdict == "ERROR":
            raise CellError(_said(self, cell))
        if cell.verdict == "NOT_APPLICABLE":
            pytest.skip(cell.reason)
        if cell.verdict == "INCONCLUSIVE":
            if options(self.config).strict:
                raise BoundBroken(_said(self, cell))
            warnings.warn(f"{cell.id}: not decided. {cell.reason}", InconclusiveBound, stacklevel=1)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: TracebackStyle | None = None) -> str | Any:
        """Our own words for our own verdicts; a traceback for what nobody foresaw."""
        if isinstance(excinfo.value, (BoundBroken, CellError, InputError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The file, and the cell."""
        return self.path, None, self.name


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
    return [(PREFIX + name, value) for name, value in plain.items() if value is not None]


def _said(item: RobustItem, cell: CellResult) -> str:
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
        lines.append(f"  p         {cell.p_fail:.2g}, corrected for {item.parent.cells.pairs} attack × victim pairs")
    if cell.reason:
        lines.append(f"  reason    {cell.reason}")
    lines += [f"  flag      {flag.name}: {flag.cause} {flag.remedy}" for flag in cell.flags]
    lines += ["", f'Once more:  python -m pytest "{item.nodeid}"', f"A report:   {cell.reproduce}"]
    return "\n".join(lines)


def _bound(cell: CellResult) -> str:
    from robust.bounds import Bound

    return Bound(metric=cell.bound.metric, kind=cell.bound.kind, limit=cell.bound.limit).label


def _settings(cell: CellResult) -> str:
    given = ", ".join(f"{name}={value}" for name, value in cell.attack_parameters.items())
    return f"({given})" if given else ""


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:.1%}"


def worst_per_threat(reports: Iterable[Any]) -> list[list[str]]:
    """Rows of (threat, verdict, worst change, by what), from the reports' properties: xdist sends nothing else."""
    from robust.runner.summary import worst

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
