"""How far a search got with how many queries: a line in words and a small picture for each cell that searched.

Heights are shares of what the search reached in the end, since each attack has an objective of its own. A curve that
still rises at its end says that more queries would do more harm, so the cell is no worst case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from robust.report.rows import Row
from robust.runner.results import SearchPoint

WIDTH, HEIGHT, MARGIN = 132.0, 30.0, 3.0
LAST_QUERIES, STILL = 0.1, 0.02
"""A search still rises if the last tenth of its queries brought more than a fiftieth of what it reached."""


@dataclass(frozen=True)
class Progress:
    """One cell's search.

    Attributes:
        queries: asked per sequence. half, most: queries after which half and nine tenths of the harm were reached.
        rising: whether the last queries still brought something. picture: an SVG element.
    """

    row: Row
    queries: str
    half: str
    most: str
    rising: bool
    picture: str


def progress(rows: Sequence[Row]) -> list[Progress]:
    """The cells that searched and reached anything."""
    searched = [row for row in rows if len(row.cell.curve) > 1 and row.cell.curve[-1].reached > 0]
    return [_progress(row, row.cell.curve) for row in searched]


def _progress(row: Row, curve: Sequence[SearchPoint]) -> Progress:
    asked, reached = curve[-1].queries, curve[-1].reached
    late = [point for point in curve if point.queries >= (1 - LAST_QUERIES) * asked]
    rising = reached - late[0].reached > STILL * reached
    return Progress(
        row,
        f"{asked:,.0f}",
        f"{_after(curve, 0.5 * reached):,.0f}",
        f"{_after(curve, 0.9 * reached):,.0f}",
        rising,
        sparkline(curve),
    )


def _after(curve: Sequence[SearchPoint], wanted: float) -> float:
    """Queries after which so much was reached."""
    return next(point.queries for point in curve if point.reached >= wanted)


def sparkline(curve: Sequence[SearchPoint]) -> str:
    """What was reached against queries, from nothing to all of it, as steps."""
    asked, reached = max(curve[-1].queries, 1e-12), curve[-1].reached
    svg = ET.Element("svg", {"class": "sparkline", "viewBox": f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", "role": "img"})
    ET.SubElement(svg, "title").text = "Share of the harm reached, against queries"
    path = [f"M{MARGIN:.1f} {HEIGHT - MARGIN:.1f}"]
    for point in curve:
        x = MARGIN + (WIDTH - 2 * MARGIN) * min(point.queries / asked, 1.0)
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * point.reached / reached
        path.append(f"H{x:.1f}V{y:.1f}")
    ET.SubElement(svg, "path", {"class": "reached", "d": "".join(path)})
    return ET.tostring(svg, encoding="unicode")
