"""What a search had reached so far, after so many queries and with so many edits.

Sequences are searched in chunks, each with a track of its own. A chunk that is done keeps what it has, so the curve of
all chunks together rises wherever each of them does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robust.errors import RobustError

_MOST = 200
"""Points that are kept of a longer curve, the first and the last among them."""


@dataclass(frozen=True)
class CurvePoint:
    """What was reached at one moment, as a mean over sequences.

    Attributes:
        queries: asked so far, per sequence. edits: allowed so far. reached: the best so far of the attack's own
            objective, less what it is on clean sequences.
    """

    queries: float
    edits: int
    reached: float


class Track:
    """The moments of one chunk of sequences."""

    def __init__(self, rows: int, spent: Callable[[], int]) -> None:
        self.rows, self._spent, self._before = rows, spent, spent()
        self.points: list[CurvePoint] = []

    def note(self, edits: int, reached: ArrayLike) -> None:
        """Add a moment.

        Args:
            edits: how many edits a sequence has been allowed so far.
            reached: float [rows], each sequence's best so far less its clean value; it never falls.
        """
        values = np.asarray(reached, dtype=float)
        if values.shape != (self.rows,):
            raise RobustError(f"A curve of {self.rows} sequences got values of shape {values.shape}.")
        queries = (self._spent() - self._before) / max(self.rows, 1)
        mean = float(np.maximum(values, 0.0).mean()) if self.rows else 0.0
        highest = self.points[-1].reached if self.points else 0.0
        self.points.append(CurvePoint(queries, edits, max(mean, highest)))


class Curve:
    """The tracks of one run of an attack."""

    def __init__(self, spent: Callable[[], int]) -> None:
        self._spent = spent
        self._tracks: list[Track] = []
        self._silent = False

    def track(self, rows: int) -> Track:
        """A new track, of a chunk of so many sequences, beginning now."""
        track = Track(rows, self._spent)
        if not self._silent:
            self._tracks.append(track)
        return track

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within this block, tracks count for nothing: for an attack that lets others run, and notes what they find."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def points(self) -> tuple[CurvePoint, ...]:
        """The mean over all sequences, in order; empty for an attack that notes nothing."""
        tracks = [track for track in self._tracks if track.points and track.rows]
        return mean_curve([track.points for track in tracks], [track.rows for track in tracks])


def mean_curve(curves: Sequence[Sequence[CurvePoint]], weights: Sequence[float]) -> tuple[CurvePoint, ...]:
    """One curve of several, moment by moment; one that ends early keeps its last point."""
    if not curves:
        return ()
    shares = np.asarray(weights, dtype=float) / np.sum(weights)
    moments = np.arange(max(len(curve) for curve in curves))
    if len(moments) > _MOST:
        moments = np.unique(np.linspace(0, len(moments) - 1, _MOST).round().astype(int))
    found = []
    for moment in moments.tolist():
        points = [curve[min(moment, len(curve) - 1)] for curve in curves]
        queries = float(shares @ [point.queries for point in points])
        reached = float(shares @ [point.reached for point in points])
        found.append(CurvePoint(queries, max(point.edits for point in points), reached))
    return tuple(found)
