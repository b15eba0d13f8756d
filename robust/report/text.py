"""Words that every form of the report shares, and the removal of characters that could disguise a text.

Escaping belongs to each form (autoescape, `markdown.escape`, `rich.text.Text`); what no form can show safely, such
as terminal escapes and marks that reverse the direction of text, is replaced here, once, before any of them.
"""

from __future__ import annotations

import calendar
import datetime
import unicodedata
from typing import Any

from robust.metrics.registry import metric_name
from robust.report.quantities import Quantity
from robust.runner.results import BoundResult, CellResult, Results, Verdict

REPLACEMENT = "\ufffd"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_KEPT = {"\n", "\u200d"}  # line breaks, and the joiner inside emoji and Indic words

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


def visible(text: str) -> str:
    """The text without control, format and unassigned characters: tabs become spaces, others a replacement sign."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(
        REPLACEMENT if unicodedata.category(char) in _INVISIBLE and char not in _KEPT else char for char in text
    )


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(key)): _visible(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(inner) for inner in value]
    return value


def presentable(results: Results) -> Results:
    """The same results with every text made `visible`."""
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
    ("next_item", "False"): "not the true next item",
    ("next_item", "True"): "the true next item (worst case)",
}


def knowledge(cell: CellResult) -> list[str]:
    """What a cell's attacker knew, in words; statements of a newer version as they are."""
    return [_KNOWN.get((key, str(value)), f"{key}: {value}") for key, value in cell.knowledge.items()]


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
