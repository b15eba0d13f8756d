"""How far a search got, in words and as a picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from robust.report.curves import progress, sparkline
from robust.report.html import render_html
from robust.report.rows import Row
from robust.runner.results import SearchPoint
from tests.unit.report.example import QUALITY, cell, example

FLAT = [SearchPoint(queries=q, edits=1, reached=r) for q, r in ((1, 0.0), (4, 5.0), (9, 9.5), (100, 10.0))]
RISING = [SearchPoint(queries=q, edits=1, reached=float(q)) for q in range(1, 101)]


def row(curve: list[SearchPoint]) -> Row:
    searched = cell("edits", "substitution", ("1 edit", 1), QUALITY, 0.9, 0.05, "FAIL", curve=curve)
    return Row.of(7, searched)


def test_milestones_are_the_first_queries_that_reached_so_much() -> None:
    (found,) = progress([row(FLAT)])
    assert (found.queries, found.half, found.most) == ("100", "4", "9")


def test_a_search_that_still_rises_says_so() -> None:
    assert [found.rising for found in progress([row(FLAT), row(RISING)])] == [False, True]


def test_what_searched_nothing_or_in_vain_is_left_out() -> None:
    vain = [SearchPoint(queries=q, edits=1, reached=0.0) for q in (1, 2)]
    assert progress([row([]), row(vain)]) == []


def test_the_picture_ends_at_its_upper_right() -> None:
    (path,) = [e for e in ET.fromstring(sparkline(FLAT)).iter() if e.tag == "path"]
    assert path.attrib["d"].startswith("M3.0 27.0")
    assert path.attrib["d"].endswith("H129.0V3.0")


def test_the_report_shows_it_with_the_cell_that_searched() -> None:
    results = example()
    results.cells[0].curve = RISING
    page = render_html(results)
    assert "How far searches got" in page
    assert page.count('class="sparkline"') == 1
    assert "How far searches got" not in render_html(example())
