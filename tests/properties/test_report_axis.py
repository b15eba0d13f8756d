"""The axis of a picture, whatever the numbers: monotone, within its ends, and its labels never touch."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from robust.report.axis import axis
from robust.report.markdown import escape
from robust.runner.results import BoundResult, CellResult, MetricResult, Point

LEFT, RIGHT = 100.0, 400.0
CHANGES = st.floats(-5, 1, allow_nan=False)


def measured(changes: list[float], width: float, bound: BoundResult) -> list[CellResult]:
    """A cell for each change, with one seed's point and an interval about it."""
    return [
        CellResult(
            id=str(index),
            threat="t",
            victim="v",
            attack="a",
            goal="degrade",
            budget="1 edit",
            planned_on="plain",
            measured_on="plain",
            bound=bound,
            verdict="PASS",
            metrics={"m": MetricResult(clean=0.5, attacked=0.5, change=c, low=c - width, high=c + width, null=0.0)},
            points=[Point(seed=0, clean=0.5, attacked=0.5, change=c)],
        )
        for index, c in enumerate(changes)
    ]


@given(
    changes=st.lists(CHANGES, max_size=8),
    width=st.floats(0, 10),
    limit=st.floats(0, 1),
    kind=st.sampled_from(["drop", "rise", "level"]),
)
@example(changes=[], width=0.0, limit=5e-324, kind="drop")
@example(changes=[-0.5], width=0.0, limit=1e-12, kind="drop")
def test_axis_holds_every_point_in_order(changes: list[float], width: float, limit: float, kind: str) -> None:
    bound = BoundResult.model_validate({"metric": "m", "kind": kind, "limit": limit})
    scale = axis(measured(changes, width, bound), bound, LEFT, RIGHT)
    assert not any(scale.clips(value) for value in [*changes, limit])
    places = [scale.x(value) for value in sorted([*changes, limit])]
    assert places == sorted(places)
    assert all(LEFT <= place <= RIGHT for place in places)
    assert scale.bound[0] == scale.x(limit)
    for (x0, first), (x1, second) in itertools.pairwise(sorted([*scale.ticks, scale.bound])):
        assert x1 - x0 >= 3 * (len(first) + len(second))
    assert len(scale.ticks) <= 12


@given(st.text())
def test_escaped_text_is_one_line_without_a_bare_pipe(text: str) -> None:
    line = escape(text)
    assert "\n" not in line
    assert "|" not in line.replace("\\\\", "").replace("\\|", "")
