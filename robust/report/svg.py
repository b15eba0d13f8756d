"""A threat's picture: how far each attack moves the bounded metric, against budget and bound, as inline SVG.

A row per cell, in blocks of one attack and defence with the budget growing downwards, so that every series carries its
label and none depends on colour. In a row, the upper lane holds the mean with its interval, the lower lane what it is
made of and compared with: every seed's point, the noise floor, the random control. Elements are built with ElementTree,
so no text can become markup. Colours come from the classes in `report.css`, which follow the reader's scheme.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from robust.report.axis import Axis, axis
from robust.report.quantities import Quantity, finite
from robust.report.rows import Group, Row
from robust.report.text import VERDICT_WORDS, bound_text, change_heading
from robust.runner.results import BoundResult


@dataclass(frozen=True)
class Layout:
    """Measures of a picture in user units, about one CSS pixel each.

    Attributes:
        left, right: the axis. change: where the figure of a change ends. interval: where its interval begins, None to
        leave it out. verdict: where its word begins, None to set it below the change. row: height of a cell's row.
        budget_characters, series_characters: in a line of a label.
    """

    name: str
    width: float
    left: float
    right: float
    change: float
    interval: float | None
    verdict: float | None
    row: float
    budget_characters: int
    series_characters: int


WIDE = Layout("wide", 760, 150, 474, 548, 556, 660, 32, 17, 100)
NARROW = Layout("narrow", 360, 116, 276, 358, None, None, 36, 13, 46)
FOOT, SERIES, LINE = 42.0, 26.0, 14.0


def pictures(group: Group, layout: Layout, *, victims: int, points: bool = True) -> list[str]:
    """One picture for each bound of a threat (a scenario states one), as SVG elements for an HTML document.

    Args:
        victims: how many the whole review has; series name theirs if there are several.
        points: whether to draw every seed's point.
    """
    return [_picture(group, bound, layout, victims > 1, points, index) for index, bound in enumerate(group.bounds)]


def _picture(group: Group, bound: BoundResult, layout: Layout, named: bool, points: bool, index: int) -> str:
    blocks = [(series, [row for row in series.rows if row.cell.bound == bound]) for series in group.series]
    blocks = [(series, rows) for series, rows in blocks if rows]
    rows = [row for _, members in blocks for row in members]
    scale = axis([row.cell for row in rows], bound, layout.left, layout.right)
    titles = [textwrap.wrap(series.label(with_victim=named), layout.series_characters) for series, _ in blocks]
    bottom = sum(SERIES + LINE * (len(title) - 1) for title in titles) + layout.row * len(rows)
    height = bottom + FOOT
    key = f"picture-{group.number}-{index}-{layout.name}"
    svg = ET.Element(
        "svg",
        {
            "class": f"picture {layout.name}",
            "role": "img",
            "viewBox": f"0 0 {_n(layout.width)} {_n(height)}",
            "aria-labelledby": f"{key}-title {key}-desc",
        },
    )
    text_element(svg, "title", f"{group.threat.title}: {bound_text(bound)}", id=f"{key}-title")
    text_element(svg, "desc", _description(rows), id=f"{key}-desc")
    _frame(svg, scale, f"{change_heading(bound)} (further right is worse)", layout, bottom)
    y = 0.0
    for title, (_, members) in zip(titles, blocks, strict=True):
        for index, line in enumerate(title):
            text_element(svg, "text", line, x=0, y=y + 18 + LINE * index, **{"class": "series"})
        y += SERIES + LINE * (len(title) - 1)
        _panel(svg, scale, layout, y, y + layout.row * len(members))
        _trend(svg, members, scale, y, layout)
        for row in members:
            _draw_row(svg, row, scale, y, layout, points)
            y += layout.row
    return ET.tostring(svg, encoding="unicode", short_empty_elements=True)


def _description(rows: Sequence[Row]) -> str:
    """The picture's content as sentences, for who cannot see it."""
    sentences = []
    for row in rows:
        measured = f"{row.figures.change} ({row.figures.interval or 'no interval'})" if row.metric else "not measured"
        sentences.append(
            f"Cell {row.number}, {row.attack}, {row.cell.budget}, defence {row.cell.defense}"
            f"{', ' + row.planning if row.planning else ''}: {measured}, {VERDICT_WORDS[row.cell.verdict]}."
        )
    return " ".join(sentences)


def _frame(svg: ET.Element, scale: Axis, title: str, layout: Layout, bottom: float) -> None:
    """The axis with its title, its ticks, the bound's among them, and its breaks."""
    text_element(svg, "text", title, x=(layout.left + layout.right) / 2, y=bottom + 36, **{"class": "title"})
    shape(svg, "line", "base", x1=layout.left, x2=layout.right, y1=bottom, y2=bottom)
    for x, label in scale.ticks:
        shape(svg, "line", "base", x1=x, x2=x, y1=bottom, y2=bottom + 4)
        text_element(svg, "text", label, x=x, y=bottom + 18, **{"class": "tick"})
    limit, label = scale.bound
    shape(svg, "line", "bound", x1=limit, x2=limit, y1=bottom, y2=bottom + 6)
    text_element(svg, "text", label, x=limit, y=bottom + 18, **{"class": "bound-label"})
    for x in scale.breaks:
        shape(svg, "path", "slashes", d=f"M{_n(x - 5)} {_n(bottom + 5)}l4 -10M{_n(x + 1)} {_n(bottom + 5)}l4 -10")


def _panel(svg: ET.Element, scale: Axis, layout: Layout, top: float, bottom: float) -> None:
    """Behind one series: what lies beyond the bound, the grid, no change, breaks in the scale, the bound itself."""
    limit, _ = scale.bound
    shape(svg, "rect", "beyond", x=limit, y=top, width=layout.right - limit, height=bottom - top)
    for x, _ in scale.ticks:
        shape(svg, "line", "grid", x1=x, x2=x, y1=top, y2=bottom)
    if scale.zero is not None:
        shape(svg, "line", "zero", x1=scale.zero, x2=scale.zero, y1=top, y2=bottom)
    for x in scale.breaks:
        shape(svg, "line", "gap", x1=x, x2=x, y1=top, y2=bottom)
    shape(svg, "line", "bound", x1=limit, x2=limit, y1=top, y2=bottom)


def _trend(svg: ET.Element, rows: Sequence[Row], scale: Axis, top: float, layout: Layout) -> None:
    """A thin line through a series' means: change against budget at a glance."""
    places = [
        f"{_n(scale.x(row.metric.change))},{_n(_lanes(top + index * layout.row, layout)[0])}"
        for index, row in enumerate(rows)
        if row.metric is not None and finite(row.metric.change)
    ]
    if len(places) > 1:
        shape(svg, "polyline", "trend", points=" ".join(places))


def _lanes(top: float, layout: Layout) -> tuple[float, float]:
    """Heights of the upper and the lower lane of a row."""
    return top + layout.row * 0.38, top + layout.row * 0.74


def _draw_row(svg: ET.Element, row: Row, scale: Axis, top: float, layout: Layout, points: bool) -> None:
    upper, lower = _lanes(top, layout)
    _labels(svg, row, upper, layout)
    if row.metric is None or not finite(row.metric.change):
        room = int((layout.right - layout.left) / 6.8)
        text = textwrap.shorten(row.reason or "not measured", room, placeholder=" …")
        text_element(svg, "text", text, x=layout.left + 4, y=upper + 4, **{"class": "absent"})
        return
    if points:
        for point in row.cell.points:
            for value in finite(point.null):
                x = scale.x(value)
                shape(svg, "line", "null-seed", x1=x, x2=x, y1=lower - 3, y2=lower + 3)
        for point in row.cell.points:
            for value in finite(point.change):
                shape(svg, "circle", "seed", cx=scale.x(value), cy=lower, r=2.4)
    for value in finite(row.metric.null):
        x = scale.x(value)
        shape(svg, "path", "null", d=f"M{_n(x - 3.5)} {_n(lower - 3.5)}l7 7m0 -7l-7 7")
    for value in finite(row.cell.control.change) if row.cell.control else []:
        x = scale.x(value)
        shape(svg, "path", "control", d=f"M{_n(x)} {_n(lower - 4.5)}l4.2 7.6h-8.4z")
    _interval(svg, row, scale, upper)
    _mean(svg, row, scale.x(row.metric.change), upper)


def _interval(svg: ET.Element, row: Row, scale: Axis, y: float) -> None:
    """The interval with closed ends; an end that lies off the axis is an arrow."""
    metric = row.metric
    if metric is None or metric.low is None or metric.high is None or len(finite(metric.low, metric.high)) < 2:
        return
    low, high = scale.x(metric.low), scale.x(metric.high)
    style = f"interval v-{row.cell.verdict}"
    shape(svg, "line", style, x1=low, x2=high, y1=y, y2=y)
    for x, outside, away in ((low, scale.clips(metric.low), -1), (high, scale.clips(metric.high), 1)):
        if outside:
            shape(svg, "path", style, d=f"M{_n(x - away * 5)} {_n(y - 4)}l{away * 5} 4l{-away * 5} 4")
        else:
            shape(svg, "line", style, x1=x, x2=x, y1=y - 4, y2=y + 4)


def _mean(svg: ET.Element, row: Row, x: float, y: float) -> None:
    """The mean: a filled square beyond the bound, a filled disc within it, an open disc where neither is shown."""
    style = f"mean v-{row.cell.verdict}"
    if row.cell.verdict == "FAIL":
        shape(svg, "rect", style, x=x - 4.5, y=y - 4.5, width=9, height=9)
    elif row.cell.verdict == "PASS":
        shape(svg, "circle", style, cx=x, cy=y, r=4.8)
    else:
        shape(svg, "circle", f"{style} open", cx=x, cy=y, r=4.3)


def _labels(svg: ET.Element, row: Row, y: float, layout: Layout) -> None:
    """Number, budget, change, interval and verdict in words."""
    lines = textwrap.wrap(row.cell.budget, layout.budget_characters, max_lines=2, placeholder=" …") or ["–"]
    text_element(svg, "text", str(row.number), x=16, y=y + 4, **{"class": "number"})
    for index, line in enumerate(lines):
        text_element(svg, "text", line, x=24, y=y + 4 + 13 * index, **{"class": "budget"})
    word, style = VERDICT_WORDS[row.cell.verdict], f"verdict v-{row.cell.verdict}"
    text_element(svg, "text", row.figures.change, x=layout.change, y=y + 4, **{"class": "change"})
    if layout.interval is not None and row.figures.interval:
        text_element(svg, "text", row.figures.interval, x=layout.interval, y=y + 4, **{"class": "limits"})
    if layout.verdict is not None:
        text_element(svg, "text", word, x=layout.verdict, y=y + 4, **{"class": style})
    else:
        text_element(svg, "text", word, x=layout.change, y=y + 17, **{"class": f"{style} below"})


def legend(group: Group, *, points: bool = True) -> list[tuple[str, str]]:
    """(mark as SVG, meaning) of what this group's pictures hold."""
    rows = [row for row in group.rows if row.metric is not None]
    marks: list[tuple[str, str, dict[str, float | str], str]] = []
    verdicts = {row.cell.verdict for row in rows}
    if "PASS" in verdicts:
        marks.append(("circle", "mean v-PASS", {"cx": 10, "cy": 7, "r": 4.8}, "mean, PASS"))
    if "FAIL" in verdicts:
        marks.append(("rect", "mean v-FAIL", {"x": 5.5, "y": 2.5, "width": 9, "height": 9}, "mean, FAIL"))
    if verdicts - {"PASS", "FAIL"}:
        marks.append(("circle", "mean v-INCONCLUSIVE open", {"cx": 10, "cy": 7, "r": 4.3}, "mean, not decided"))
    if any(row.figures.interval for row in rows):
        marks.append(("path", "interval", {"d": "M1 7h18M1 3v8M19 3v8"}, "interval from which the verdict follows"))
    if points and any(row.cell.points for row in rows):
        marks.append(("circle", "seed", {"cx": 10, "cy": 7, "r": 2.4}, "one seed"))
    if any(row.metric is not None and finite(row.metric.null) for row in rows):
        meaning = "noise floor: no attack, another seed (tick: one seed)"
        marks.append(("path", "null", {"d": "M3.5 3.5l7 7m0 -7l-7 7M16 4v6"}, meaning))
    if any(row.cell.control for row in rows):
        marks.append(("path", "control", {"d": "M10 2.5l4.2 7.6h-8.4z"}, "random control at equal budget"))
    marks.append(("path", "bound", {"d": "M10 0v14"}, "bound; shaded: beyond it"))
    found = []
    for tag, style, attributes, meaning in marks:
        svg = ET.Element("svg", {"class": "mark", "viewBox": "0 0 20 14", "aria-hidden": "true"})
        shape(svg, tag, style, **attributes)
        found.append((ET.tostring(svg, encoding="unicode"), meaning))
    return found


def scale_changes(group: Group) -> list[str]:
    """Where a picture's axis changes its scale, in words; empty where it is linear throughout."""
    found = []
    for bound in group.bounds:
        cells = [row.cell for row in group.rows if row.cell.bound == bound]
        built = axis(cells, bound, WIDE.left, WIDE.right)
        found += [Quantity.of(bound).amount(float(f"{value:.3g}")) for value, _ in built.knots[1:-1]]
    return found


def shape(parent: ET.Element, tag: str, style: str, **attributes: float | str) -> None:
    """Add an element of this class."""
    ET.SubElement(parent, tag, {"class": style, **{key: _n(value) for key, value in attributes.items()}})


def text_element(parent: ET.Element, tag: str, text: str, **attributes: float | str) -> None:
    """Add an element that holds text."""
    ET.SubElement(parent, tag, {key: _n(value) for key, value in attributes.items()}).text = text


def _n(value: float | str) -> str:
    """A coordinate with at most one decimal."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
