"""What a search notes on its way."""

from __future__ import annotations

import numpy as np
import pytest

from robust.curve import Curve, CurvePoint, mean_curve
from robust.errors import RobustError


class Spent:
    """A counter of queries that a test turns by hand."""

    count = 0

    def __call__(self) -> int:
        return self.count


def test_queries_are_per_sequence_and_since_the_track_began() -> None:
    spent = Spent()
    spent.count = 100
    track = Curve(spent).track(4)
    spent.count = 112
    track.note(1, [0.0, 1.0, 2.0, 5.0])
    assert track.points == [CurvePoint(3.0, 1, 2.0)]


def test_a_chunk_that_is_done_keeps_what_it_has() -> None:
    spent = Spent()
    curve = Curve(spent)
    short, spent.count = curve.track(1), 1
    short.note(1, [3.0])
    long, spent.count = curve.track(3), 4
    long.note(1, np.full(3, 1.0))
    spent.count = 7
    long.note(2, np.full(3, 5.0))
    # the second chunk has three sequences, so it weighs three quarters
    assert curve.points() == (CurvePoint(1.0, 1, 1.5), CurvePoint(1.75, 2, 4.5))


def test_what_others_note_within_a_portfolio_counts_for_nothing() -> None:
    curve = Curve(Spent())
    own = curve.track(1)
    with curve.silent():
        curve.track(1).note(1, [9.0])
    own.note(1, [2.0])
    assert [point.reached for point in curve.points()] == [2.0]


def test_a_curve_never_falls_and_never_lies_below_clean() -> None:
    track = Curve(Spent()).track(2)
    for reached in ([-1.0, 0.5], [0.1, 0.1], [1.0, 1.0]):
        track.note(1, reached)
    assert [point.reached for point in track.points] == [0.25, 0.25, 1.0]


def test_a_long_curve_is_thinned_to_its_first_and_last_points() -> None:
    points = [CurvePoint(float(i), 1, float(i)) for i in range(1000)]
    thinned = mean_curve([points], [2.0])
    assert len(thinned) == 200
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


def test_nothing_noted_is_no_curve() -> None:
    curve = Curve(Spent())
    curve.track(3)
    assert curve.points() == ()


def test_values_of_other_sequences_are_refused() -> None:
    with pytest.raises(RobustError, match="A curve of 2 sequences"):
        Curve(Spent()).track(2).note(1, [1.0])
