"""Words that every form of the report shares, and the removal of characters that could disguise a text.

Escaping belongs to each form (autoescape, `markdown.escape`, `rich.text.Text`); what no form can show safely, such
as terminal escapes and marks that reverse the direction of text, `robust.visible` replaces once, before any of them.
"""

from __future__ import annotations

import calendar
import datetime
from typing import Any

from robust.metrics.registry import metric_name
from robust.report.quantities import Quantity
from robust.runner.results import BoundResult, CellResult, Results, Verdict
from robust.visible import REPLACEMENT as REPLACEMENT
from robust.visible import one_line
from robust.visible import visible as visible

_WHOLE = ("command", "reproduce", "scenario")  # a query in them may hold a comment, which ends with its line

VERDICT_WORDS: dict[Verdict, str] = {
    "PASS": "PASS",
    "FAIL": "FAIL",
    "INCONCLUSIVE": "INCONCLUSIVE",
    "NOT_APPLICABLE": "NOT APPLICABLE",
    "ERROR": "ERROR",
}
VERDICT_MEANINGS: dict[Verdict, str] = {
    "PASS": "the whole interval lies within the bound",
    "FAIL": "the whole interval lies beyond the bound, after correction for the number of attacks",
    "INCONCLUSIVE": "the interval straddles the bound, or there was not enough data or time to tell",
    "NOT_APPLICABLE": "this recommender or log lacks what the threat needs",
    "ERROR": "the measurement itself went wrong; nothing is said about robustness",
}


def _visible(value: Any, key: str = "") -> Any:
    if isinstance(value, str):
        return visible(value) if key in _WHOLE else one_line(value)
    if isinstance(value, dict):
        return {one_line(str(name)): _visible(inner, key if key in _WHOLE else name) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(inner, key) for inner in value]
    return value


def presentable(results: Results) -> Results:
    """The same results with every text made `visible`, and on one line unless it is a command."""
    return Results.model_validate(_visible(results.model_dump(by_alias=True)))


def bound_text(bound: BoundResult) -> str:
    """What had to hold: `NDCG@10 drops by at most 10%`, `target HR@10 rises by at most 5 pp`."""
    limit = Quantity.of(bound).amount(bound.limit)
    verb = {"drop": "drops by", "rise": "rises by", "level": "is"}[bound.kind]
    return f"{metric_name(bound.metric)} {verb} at most {limit}"


def change_heading(bound: BoundResult) -> str:
    """The heading of the column of changes: `Drop of NDCG@10`."""
    noun = {"drop": "Drop of ", "rise": "Rise of ", "level": ""}[bound.kind]
    return noun + metric_name(bound.metric)


def attack_label(cell: CellResult) -> str:
    """`pgd`, or `pgd (steps=20)` where parameters differ from the defaults."""
    parameters = ", ".join(f"{key}={value}" for key, value in sorted(cell.attack_parameters.items()))
    return f"{cell.attack} ({parameters})" if parameters else cell.attack


def planning(cell: CellResult) -> str:
    """What the attacker looked at, in the field's words: `adaptive`, `oblivious`, `transfer`, `model-blind` or ``."""
    if cell.planned_on == "surrogate":
        return "transfer"
    if cell.planned_on == "none":
        return "model-blind"
    if cell.measured_on == "protected":
        return "adaptive" if cell.planned_on == "protected" else "oblivious"
    return ""


_KNOWN = {
    ("log", "none"): "nothing of the log",
    ("log", "popularity"): "how popular each item is",
    ("log", "full"): "the whole log",
    ("model", "none"): "nothing of the model",
    ("model", "lists"): "the model's lists",
    ("model", "scores"): "the model's scores",
    ("model", "gradients"): "the model's gradients",
    ("next_item", "True"): "the true next item (worst case)",
}


def knowledge(cell: CellResult) -> list[str]:
    """What a cell's attacker knew, in words; statements of a newer version as they are.

    That the true next item is *not* known goes without saying.
    """
    known = [(key, str(value)) for key, value in cell.knowledge.items()]
    return [_KNOWN.get(pair, ": ".join(pair)) for pair in known if pair != ("next_item", "False")]


def moment(text: str) -> str:
    """`2026-11-24T16:07:43Z` as `24 November 2026, 16:07 UTC`; what is no such time stays as it is."""
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = f" {time.tzname()}" if time.tzinfo else ""
    return f"{time.day} {calendar.month_name[time.month]} {time.year}, {time:%H:%M}{zone}"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def listed(parts: list[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""
