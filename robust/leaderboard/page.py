"""The leaderboard as one HTML file that loads nothing and runs nothing: for each threat a Pareto picture and its table.

It wears the report's style sheet; the template escapes every value, and the only markup that enters unescaped is SVG
that is built as elements, not text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from robust.leaderboard.board import Table, change, number, priced, tables
from robust.leaderboard.rows import Row
from robust.report import pareto
from robust.report.text import VERDICT_WORDS, moment, plural, visible


def render_page(rows: Sequence[Row]) -> str:
    """The page."""
    style = _resource("robust.report", "report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    shown = [Row.model_validate(_visible(row.model_dump(mode="json", by_alias=True))) for row in rows]
    environment = Environment(
        loader=FunctionLoader(lambda name: _resource("robust.leaderboard", name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=VERDICT_WORDS, number=number, change=change, priced=priced)
    environment.filters.update(plural=plural, moment=moment)
    found = tables(shown)
    return environment.get_template("page.html.jinja").render(
        tables=[(place, table, *_picture(table, place)) for place, table in enumerate(found, 1)],
        commands=sorted({(row.command, row.package, row.finished) for row in shown}),
        rows=shown,
        style=Markup(style),
        digest=digest,
    )


def _picture(table: Table, place: int) -> tuple[list[Markup], list[tuple[Markup, str]]]:
    trial, spots = table.trial, table.spots
    title = f"{table.title}, {table.victim}: clean quality against the worst case"
    drawn = pareto.pareto(
        spots,
        clean=trial.clean.metric,
        worst=trial.worst.metric,
        better=trial.better,
        title=title,
        key=f"front-{place}",
    )
    return [Markup(svg) for svg in drawn], [(Markup(svg), meaning) for svg, meaning in pareto.legend(spots)]


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(key)): _visible(inner) for key, inner in value.items()}
    return [_visible(inner) for inner in value] if isinstance(value, list) else value


def _resource(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
