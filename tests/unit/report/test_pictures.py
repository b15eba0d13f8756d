"""What stands where in a picture, read back from its coordinates against the labels of its own axis."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree as ET

import pytest

from robust.report.axis import axis
from robust.report.rows import Group, groups
from robust.report.svg import NARROW, WIDE, Layout, pictures, scale_changes
from robust.runner.results import BoundResult, CellResult, Results, ThreatResult
from tests.unit.report.example import EXPOSURE, QUALITY, cell, example, unmeasured

LAYOUTS = [WIDE, NARROW]


def group(cells: list[CellResult]) -> Group:
    """A threat of these cells."""
    threat = ThreatResult(id="t", title="T", verdict="PASS", summary="", cells=[each.id for each in cells])
    (found,) = groups(example().model_copy(update={"cells": cells, "threats": [threat]}))
    return found


def drawing(arranged: Group, layout: Layout = WIDE) -> ET.Element:
    """The threat's only picture."""
    (svg,) = pictures(arranged, layout, victims=1)
    return ET.fromstring(svg)


def having(svg: ET.Element, style: str) -> list[ET.Element]:
    """Elements of a class."""
    return [element for element in svg.iter() if style in (element.get("class") or "").split()]


def place(element: ET.Element, name: str) -> float:
    return float(element.get(name, "nan"))


def number(label: str) -> float:
    """A tick's label as the stored value."""
    text = label.replace("−", "-").replace("≤", "").replace("\u00a0", "")
    return float(text.removesuffix("pp").removesuffix("%")) / 100


def ruler(svg: ET.Element) -> list[tuple[float, float]]:
    """(x, value) of every labelled place on the axis, the bound's among them, from left to right."""
    labels = having(svg, "tick") + having(svg, "bound-label")
    return sorted((place(label, "x"), number(label.text or "")) for label in labels)


def value_at(svg: ET.Element, x: float) -> float:
    """The value at a place, interpolated between (or beyond) the two labelled places about it."""
    marks = ruler(svg)
    pairs = list(itertools.pairwise(marks))
    (x0, v0), (x1, v1) = next((pair for pair in pairs if x <= pair[1][0]), pairs[-1])
    return v0 + (x - x0) / (x1 - x0) * (v1 - v0)


def linear() -> list[CellResult]:
    """Two budgets on an unbroken axis."""
    return [
        cell("t", "a", ("1% fake users", 0.01), EXPOSURE, 0.01, 0.015, "PASS"),
        cell("t", "a", ("3% fake users", 0.03), EXPOSURE, 0.06, 0.02, "INCONCLUSIVE"),
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_bound_means_seeds_and_intervals_stand_where_the_axis_says(layout: Layout) -> None:
    cells = linear()
    svg = drawing(group(cells), layout)
    tolerance = 0.15 / (ruler(svg)[-1][0] - ruler(svg)[0][0]) * 0.08 * 2

    for line in having(svg, "bound"):
        assert value_at(svg, place(line, "x1")) == pytest.approx(0.05, abs=tolerance)
    means = [value_at(svg, place(mean, "cx")) for mean in having(svg, "mean")]
    assert means == pytest.approx([0.01, 0.06], abs=tolerance)
    seeds = [value_at(svg, place(seed, "cx")) for seed in having(svg, "seed")]
    assert seeds == pytest.approx([point.change for each in cells for point in each.points], abs=tolerance)
    nulls = [value_at(svg, place(null, "x1")) for null in having(svg, "null-seed")]
    assert nulls == pytest.approx([point.null for each in cells for point in each.points], abs=tolerance)
    bars = [line for line in having(svg, "interval") if place(line, "x1") != place(line, "x2")]
    ends = [value_at(svg, place(bar, side)) for bar in bars for side in ("x1", "x2")]
    assert ends == pytest.approx([-0.005, 0.025, 0.04, 0.08], abs=tolerance)


def test_budgets_grow_downwards_and_the_shade_lies_beyond_the_bound() -> None:
    svg = drawing(group(linear()[::-1]))
    assert [label.text for label in having(svg, "budget")] == ["1% fake users", "3% fake users"]
    heights = [place(label, "y") for label in having(svg, "budget")]
    assert heights == sorted(heights)
    (shade,) = having(svg, "beyond")
    assert place(shade, "x") == place(having(svg, "bound")[0], "x1")
    assert place(shade, "x") + place(shade, "width") == WIDE.right


def test_verdicts_differ_in_shape_and_are_written_out() -> None:
    cells = [
        cell("t", "a", ("1 edit", 1.0), QUALITY, 0.02, 0.01, "PASS"),
        cell("t", "a", ("2 edits", 2.0), QUALITY, 0.1, 0.03, "INCONCLUSIVE"),
        cell("t", "a", ("3 edits", 3.0), QUALITY, 0.2, 0.03, "FAIL"),
    ]
    svg = drawing(group(cells))
    marks = [(mark.tag, "open" in (mark.get("class") or "").split()) for mark in having(svg, "mean")]
    assert marks == [("circle", False), ("circle", True), ("rect", False)]
    assert [word.text for word in having(svg, "verdict")] == ["PASS", "INCONCLUSIVE", "FAIL"]


def test_each_series_carries_its_label() -> None:
    arranged = groups(example())[0]
    svg = drawing(arranged)
    assert [label.text for label in having(svg, "series")] == [
        "random, no defence, model-blind",
        "bandwagon, no defence, model-blind",
        "bandwagon, behind pca, model-blind",
        "bandwagon, behind pca, adaptive",
    ]


def test_a_far_outlier_leaves_room_for_what_the_bound_decides() -> None:
    near = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.08, 0.015, "PASS")
    far = cell("t", "a", ("2 edits", 2.0), QUALITY, 0.95, 0.01, "FAIL")
    svg = drawing(group([near, far]))
    (first, second), limit = having(svg, "mean"), place(having(svg, "bound")[0], "x1")
    near_x, far_x = place(first, "cx"), place(second, "x") + place(second, "width") / 2
    assert 10 < limit - near_x < far_x - limit
    assert (limit - near_x) / 0.02 > 3 * (far_x - limit) / 0.85  # units per change: the near part is stretched
    assert having(svg, "slashes")
    assert scale_changes(group([near, far])) == ["20%"]
    assert not scale_changes(group([near]))


def test_near_zero_the_bound_still_gives_the_scale() -> None:
    tiny = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.0002, 0.0001, "PASS", points=[])
    svg = drawing(group([tiny]))
    (mean,) = having(svg, "mean")
    limit, zero = place(having(svg, "bound")[0], "x1"), place(having(svg, "zero")[0], "x1")
    assert limit - zero > 0.7 * (WIDE.right - WIDE.left)
    assert abs(place(mean, "cx") - zero) < 2


def test_an_interval_that_leaves_the_axis_ends_in_an_arrow() -> None:
    vague = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.05, 3.0, "INCONCLUSIVE", points=[])
    svg = drawing(group([vague]))
    arrows = [mark for mark in having(svg, "interval") if mark.tag == "path"]
    assert len(arrows) == 2
    (bar,) = [mark for mark in having(svg, "interval") if mark.tag == "line"]
    assert (place(bar, "x1"), place(bar, "x2")) == (WIDE.left, WIDE.right)


def test_a_level_needs_no_zero() -> None:
    bound = BoundResult(metric="auc", kind="level", limit=0.6)
    measured = unmeasured("t", "a", ("10 queries", 10.0), "PASS", "", bound=bound)
    built = axis([measured], bound, 0, 100)
    assert built.zero is None
    assert 0 < built.bound[0] < 100


def test_what_was_not_measured_is_written_in_its_place() -> None:
    missing = unmeasured("t", "b", ("1 edit", 1.0), "ERROR", "the model returned NaN")
    svg = drawing(group([cell("t", "a", ("1 edit", 1.0), QUALITY, 0.02, 0.01, "PASS"), missing]))
    assert [note.text for note in having(svg, "absent")] == ["the model returned NaN"]
    assert len(having(svg, "mean")) == 1


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_nothing_is_drawn_off_the_canvas(layout: Layout) -> None:
    for arranged in groups(review_with_extremes()):
        svg = drawing(arranged, layout)
        _, _, width, height = map(float, (svg.get("viewBox") or "").split())
        for element in svg.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert -1 <= float(element.get(name, "0")) <= width + 1
            for name in ("y", "y1", "y2", "cy"):
                assert 0 <= float(element.get(name, "0")) <= height


def review_with_extremes() -> Results:
    """The example, and a threat whose cells lie far out on both sides."""
    review = example()
    extremes = [
        cell("x", "a", ("1 edit", 1.0), QUALITY, -40.0, 500.0, "PASS"),
        cell("x", "b", ("1 edit", 1.0), QUALITY, 0.99, 0.5, "FAIL"),
    ]
    threat = ThreatResult(id="x", title="X", verdict="FAIL", summary="", cells=[each.id for each in extremes])
    return review.model_copy(update={"cells": [*review.cells, *extremes], "threats": [*review.threats, threat]})
