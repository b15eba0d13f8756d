"""The cells as CSV (RFC 4180) or Parquet, a row each, for a spreadsheet, a ticket system or a warehouse.

A spreadsheet runs a text that starts like a formula, so such a text gets an apostrophe before it, as OWASP advises (CSV
injection); numbers stay numbers, negative ones too. No text holds a line break, so a row is a line.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from robust.report.findings import Finding, found, taxonomy
from robust.report.rows import Row, groups
from robust.report.text import bound_text, presentable
from robust.runner.results import Results, ThreatResult

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%", "＝", "＋", "－", "＠", "−")

COLUMNS = (
    "number",
    "cell",
    "threat",
    "title",
    "victim",
    "attack",
    "defense",
    "planned_on",
    "measured_on",
    "planning",
    "budget",
    "budget_size",
    "metric",
    "kind",
    "limit",
    "bound",
    "clean",
    "attacked",
    "change",
    "low",
    "high",
    "noise_floor",
    "control",
    "control_change",
    "verdict",
    "reason",
    "p_fail",
    "severity",
    "breaks_from",
    "accepted",
    "atlas",
    "nist",
    "remedy",
    "flags",
    "seeds",
    "users",
    "queries",
    "seconds",
    "reproduce",
)
_KINDS = {  # of the columns that hold no text
    **dict.fromkeys(("number", "users", "queries"), "whole"),
    **dict.fromkeys(("budget_size", "limit", "clean", "attacked", "change", "low", "high", "noise_floor"), "real"),
    **dict.fromkeys(("control_change", "p_fail", "seconds"), "real"),
    **dict.fromkeys(("atlas", "nist", "flags"), "texts"),
    "seeds": "wholes",
}


def render_csv(results: Results) -> str:
    """A head, and a row per cell in the report's order; what was not measured is empty."""
    lines = _rows(results)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(lines[0] if lines else ["cell"])
    writer.writerows([safe(value) for value in line.values()] for line in lines)
    return stream.getvalue()


def parquet(results: Results) -> bytes:
    """The same rows and columns, in types that do not depend on the run; lists as lists, what is unknown as null.

    A text stays as it is, on one line: nothing that reads Parquet runs it as a formula.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = _rows(results)
    kinds = {"text": pa.string(), "whole": pa.int64(), "real": pa.float64()}
    kinds |= {"texts": pa.list_(pa.string()), "wholes": pa.list_(pa.int64())}
    schema = pa.schema([(name, kinds[_KINDS.get(name, "text")]) for name in COLUMNS])
    cleaned = [{name: _typed(line[name]) for name in COLUMNS} for line in lines]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(cleaned, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _typed(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_typed(one) for one in value] if isinstance(value, list) else value


def _rows(results: Results) -> list[dict[str, Any]]:
    shown = presentable(results)
    arranged = groups(shown)
    told = {row.cell.id: finding for finding in found(shown, arranged) for row in finding.rows}
    return [_columns(shown, group.threat, row, told.get(row.cell.id)) for group in arranged for row in group.rows]


def safe(value: Any) -> str | int | float:
    """A value as a spreadsheet shows it: never a formula, on one line; nothing for what is no number."""
    if value is None:
        return ""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if math.isfinite(value) else ""
    line = " ".join(str(value).split())
    return f"'{line}" if line.startswith(_FORMULA) else line


def _columns(results: Results, threat: ThreatResult, row: Row, finding: Finding | None) -> dict[str, Any]:
    cell, metric = row.cell, row.metric
    techniques, classes = taxonomy(results, cell)
    failed = cell.verdict == "FAIL"
    control = cell.control
    return {
        "number": row.number,
        "cell": cell.id,
        "threat": cell.threat,
        "title": threat.title,
        "victim": cell.victim,
        "attack": row.attack,
        "defense": cell.defense,
        "planned_on": cell.planned_on,
        "measured_on": cell.measured_on,
        "planning": row.planning,
        "budget": cell.budget,
        "budget_size": cell.budget_size,
        "metric": cell.bound.metric,
        "kind": cell.bound.kind,
        "limit": cell.bound.limit,
        "bound": bound_text(cell.bound),
        "clean": metric.clean if metric else None,
        "attacked": metric.attacked if metric else None,
        "change": metric.change if metric else None,
        "low": metric.low if metric else None,
        "high": metric.high if metric else None,
        "noise_floor": metric.null if metric else None,
        "control": control.attack if control else None,
        "control_change": control.change if control else None,
        "verdict": cell.verdict,
        "reason": row.reason,
        "p_fail": cell.p_fail,
        "severity": finding.severity.level if failed and finding and finding.severity else None,
        "breaks_from": finding.breaks.cell.budget if failed and finding and finding.breaks else None,
        "accepted": cell.accepted,
        "atlas": [one.id for one in techniques],
        "nist": [one.id for one in classes],
        "remedy": finding.remedy if finding else None,
        "flags": [flag.name for flag in cell.flags],
        "seeds": list(cell.seeds),
        "users": cell.n_users,
        "queries": cell.queries,
        "seconds": cell.timing.get("seconds"),
        "reproduce": cell.reproduce or results.command,
    }
