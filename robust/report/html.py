"""The HTML report: one file that loads nothing, runs nothing, and can be read, printed and filed.

The template escapes every value; the only markup that enters unescaped is our own SVG (built as elements, not text)
and our own style sheet, which a content security policy names by its hash: even markup that slipped through could
neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from robust.metrics.registry import metric_name
from robust.report import pareto
from robust.report.clean import clean_table
from robust.report.curves import progress
from robust.report.detection import Sight, picture, sights
from robust.report.findings import broken
from robust.report.glossary import words
from robust.report.price import bills, choices, percent, spendings
from robust.report.quantities import duration, level
from robust.report.rows import Group, Row, commands, findings, groups
from robust.report.svg import NARROW, WIDE, legend, pictures, scale_changes
from robust.report.targets import target_facts
from robust.report.text import VERDICT_MEANINGS, VERDICT_WORDS, listed, moment, plural, presentable
from robust.runner.results import CellResult, MetricResult, Results
from robust.runner.standing import standings

MAX_BYTES = 5_000_000
_POINTERS = ("attacks.", "scenario.bounds.")  # what other forms look up; the findings show what they say


@dataclass(frozen=True)
class Detail:
    """How much a report holds; a review of thousands of cells must fit into one file all the same.

    Attributes:
        points: every seed's point in the pictures. pictures: pictures at all. others: the table of other metrics.
        rows: the largest number of cells in a threat's tables; None for all.
    """

    points: bool = True
    pictures: bool = True
    others: bool = True
    rows: int | None = None


DETAILS = (
    Detail(),
    Detail(points=False, others=False),
    Detail(points=False, others=False, pictures=False),
    Detail(points=False, others=False, pictures=False, rows=100),
    Detail(points=False, others=False, pictures=False, rows=10),
)


def render_html(results: Results) -> str:
    """The report, in the richest detail that stays within `MAX_BYTES`; what is left out is said in it."""
    shown = presentable(results)
    page = ""
    for detail in DETAILS:
        page = _page(shown, detail)
        if len(page.encode()) <= MAX_BYTES:
            break
    return page


def _page(results: Results, detail: Detail) -> str:
    arranged = groups(results)
    told = broken(results, arranged, detail.rows)
    style = _resource("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            results=results,
            groups=arranged,
            shown={group.number: _shown(group, detail) for group in arranged},
            pictures={group.number: _pictures(group, results, detail) for group in arranged},
            legends={group.number: [(Markup(svg), text) for svg, text in _legend(group, detail)] for group in arranged},
            fronts={group.number: _fronts(group, results, detail) for group in arranged},
            choices=choices(results, arranged),
            bills=bills(results),
            spendings=spendings(_all_shown(arranged, detail)) if results.defenses else [],
            sights=_sights(results, detail),
            detail=detail,
            findings=findings(results, arranged),
            broken=told,
            gravest={part.number: part.findings[0].severity for part in told if part.findings[0].severity},
            again=list(dict.fromkeys(one.reproduce for part in told for one in part.findings)),
            glossary=words(results),
            searches=[(found, Markup(found.picture)) for found in progress(_all_shown(arranged, detail))],
            accepted=[row for group in arranged for row in group.rows if row.cell.accepted],
            clean=clean_table(results),
            commands=_commands(arranged, results, detail),
            facts=_facts(results),
            environment=[fact for fact in _flat(results.environment) if not fact[0].startswith(_POINTERS)],
            scenario=json.dumps(results.scenario, indent=2, ensure_ascii=False, default=str),
            used=[verdict for verdict in VERDICT_WORDS if verdict in {cell.verdict for cell in results.cells}],
            style=Markup(style),
            digest=digest,
        )
    )


def _shown(group: Group, detail: Detail) -> list[Row]:
    """The rows of a threat's table: all, or the gravest where a table of all would be too large."""
    if detail.rows is None or len(group.rows) <= detail.rows:
        return group.rows
    gravity = ("FAIL", "ERROR", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE")
    return sorted(group.rows, key=lambda row: gravity.index(row.cell.verdict))[: detail.rows]


def _all_shown(arranged: list[Group], detail: Detail) -> list[Row]:
    return [row for group in arranged for row in _shown(group, detail)]


def _pictures(group: Group, results: Results, detail: Detail) -> list[Markup]:
    if not detail.pictures or not any(row.metric for row in group.rows):
        return []
    drawn = []
    for layout in (WIDE, NARROW):
        drawn += pictures(group, layout, victims=len(results.victims), points=detail.points)
    return [Markup(svg) for svg in drawn]


def _fronts(group: Group, results: Results, detail: Detail) -> list[tuple[str, list[Markup], list[tuple[Markup, str]]]]:
    """(heading, pictures, legend) for each victim of a threat behind more than two defences."""
    found = []
    if not detail.pictures:
        return []
    for place, (victim, members) in enumerate(groupby(standings(results, group.threat.id), key=lambda s: s.victim)):
        together = list(members)
        if sum(standing.defense != "none" for standing in together) <= 2:
            continue
        first, shown = together[0], pareto.spots(together)
        heading = f"Which defence of {victim}: what it is worth on clean data, and under the worst attack"
        drawn = pareto.pareto(
            shown,
            clean=first.clean.metric,
            worst=first.worst.metric,
            better=first.better,
            title=f"{group.threat.title}: {heading.lower()}",
            key=f"front-{group.number}-{place}",
        )
        marks = [(Markup(svg), meaning) for svg, meaning in pareto.legend(shown)]
        found.append((heading, [Markup(svg) for svg in drawn], marks))
    return found


def _sights(results: Results, detail: Detail) -> list[tuple[str, list[tuple[Sight, list[Markup]]]]]:
    """Each sanitiser with what it saw, and the pictures of that."""
    seen = sights(results)[: detail.rows]
    drawn = [
        (sight, [Markup(svg) for svg in picture(sight, f"sight-{place}")] if detail.pictures else [])
        for place, sight in enumerate(seen)
    ]
    return [(name, list(own)) for name, own in groupby(drawn, key=lambda pair: pair[0].result.defense)]


def _legend(group: Group, detail: Detail) -> list[tuple[str, str]]:
    return legend(group, points=detail.points)


def _commands(arranged: list[Group], results: Results, detail: Detail) -> list[tuple[str, list[Any]]]:
    found = list(commands(arranged, results.command).items())
    return found if detail.rows is None else [(command, rows[: detail.rows]) for command, rows in found[: detail.rows]]


def _facts(results: Results) -> list[tuple[str, str]]:
    """Data and protocol, as term and statement."""
    data = results.dataset
    seen = {
        "keep": "kept: items that a user already has may be recommended again",
        "exclude": "excluded: items of the user's clean history are removed from every list",
    }[data.seen]
    retrained = sorted({cell.retrain for cell in results.cells} - {"none"})
    how = {"warm": "trained further from the clean checkpoint", "scratch": "trained from scratch"}
    facts = [
        ("Log", f"{data.name}: {plural(data.users, 'user')}, {plural(data.items, 'item')}, {plural(data.rows, 'row')}"),
        ("Split", data.split),
        ("Seen items", seen),
        ("Repeats", f"{data.repeat_share:.1%} of the train rows repeat an item of the same user"),
        ("Evaluated users", f"{data.evaluated_users:,}, genuine users only"),
        ("Unseen targets", f"{data.unseen_target_share:.1%} of the test items occur in no train row: always a miss"),
        ("Ranking", "the full catalogue; ties go against the defender"),
    ]
    facts += [(f"Items of the goal: {goal}", items) for goal, items in target_facts(results)]
    if retrained:
        facts.append(("Poisoned victims", listed([how[kind] for kind in retrained], "or")))
    return facts


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as `versions.torch` → text."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found


def breakable(text: str) -> Markup:
    """A name that may be broken where its parts meet: before an opening bracket, after . / : and ,."""
    return Markup("<wbr>").join(re.split(r"(?<=[./:,])|(?=\()", text))


def two_lines(figure: str) -> Markup:
    """A figure with its interval below it: `3.5% (−1.1…7.9)`."""
    change, bracket, interval = figure.partition(" (")
    return (
        Markup('{}<br><span class="limits">({}</span>').format(change, interval)
        if bracket
        else Markup("{}").format(figure)
    )


def _other(cell: CellResult, metric: MetricResult) -> str:
    """`clean → attacked` of a metric that is not bounded."""
    return level(cell.bound.model_copy(update={"kind": "level"}), metric)


def _resource(name: str) -> str:
    return resources.files("robust.report").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=VERDICT_WORDS, meanings=VERDICT_MEANINGS)
    environment.filters.update(
        metric=metric_name,
        plural=plural,
        listed=listed,
        breakable=breakable,
        duration=duration,
        moment=moment,
        other=lambda metric, cell: _other(cell, metric),
        percent=percent,
        two_lines=two_lines,
        lower_first=lambda text: text[:1].lower() + text[1:] if text[1:2].islower() else text,
        scales=scale_changes,
    )
    return environment
