"""The axis of changes: linear around the bound, and compressed further out where a few cells lie far away.

One cell that loses 95% would squeeze a bound of 10%, and every cell that it decides, into the first tenth of a linear
axis. Where that happens the axis is linear in pieces: the part that holds the bound keeps most of the width, what lies
beyond it shares the rest, and the picture marks where the scale changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from robust.report.quantities import NBSP, Quantity, finite
from robust.runner.results import BoundResult, CellResult

SMALLEST = 1e-6  # a narrower part of the axis shows nothing, and its slope would not be a number any more
FAR = 2.5  # the axis is broken where data reach this many times as far as the part around the bound
SHARE_AROUND = 0.62  # of the width, for the part around the bound, where the axis is broken once
PAD = 0.05
TICK_GAP = 52.0  # user units between two ticks
CHARACTER = 6.8  # user units that a character of a tick's label takes at most


@dataclass(frozen=True)
class Axis:
    """Places on a picture.

    Attributes:
        knots: (value, x) pairs, ascending in both; linear between neighbours.
        bound: x and label of the bound. ticks: (x, label) pairs, clear of each other and of the bound's.
        breaks: x where the scale changes. zero: x of no change, None if it is not on the axis.
    """

    knots: tuple[tuple[float, float], ...]
    bound: tuple[float, str]
    ticks: tuple[tuple[float, str], ...]
    breaks: tuple[float, ...]
    zero: float | None

    def x(self, value: float) -> float:
        """Where a value stands, held within the axis."""
        value = min(max(value, self.knots[0][0]), self.knots[-1][0])
        for (low, left), (high, right) in pairwise(self.knots):
            if value <= high:
                return left + (right - left) * (value - low) / (high - low)
        return self.knots[-1][1]

    def clips(self, value: float) -> bool:
        """Whether a value lies off the axis."""
        return not self.knots[0][0] <= value <= self.knots[-1][0]


def axis(cells: Sequence[CellResult], bound: BoundResult, left: float, right: float) -> Axis:
    """An axis from `left` to `right` that shows every point, the bound and (but for a level) no change at all.

    Interval ends that lie much further out than all points are cut off, as `Axis.clips` tells.
    """
    core, ends = _values(cells, bound)
    first, last = min(core), max(core)
    reach = 0.6 * max(last - first, SMALLEST)
    low = max(min([first, *ends]), first - reach)
    high = min(max([last, *ends]), last + reach)
    if Quantity.of(bound).scale > 1:
        high = max(min(high, 1.0), last)  # no share drops or rises by more than all
    if high - low < SMALLEST:  # a level that equals its bound, or a bound of zero that nothing moved from
        low, high = low - 0.01, high + 0.01
    around = _around(cells, bound)
    pieces = _pieces(low, high, around) if bound.kind != "level" and bound.limit > 0 else [(low, high, 1.0)]
    bare = Axis(_knots(pieces, left, right), (0.0, ""), (), (), None)
    label = f"≤{NBSP}{Quantity.of(bound).amount(bound.limit)}"
    marked = replace(bare, bound=(bare.x(bound.limit), label), breaks=tuple(x for _, x in bare.knots[1:-1]))
    zero = None if bare.clips(0.0) else bare.x(0.0)
    return replace(marked, ticks=tuple(_ticks(marked, Quantity.of(bound))), zero=zero)


def _values(cells: Iterable[CellResult], bound: BoundResult) -> tuple[list[float], list[float]]:
    """What must be on the axis, and the ends of intervals."""
    core, ends = [bound.limit], []
    if bound.kind != "level":
        core.append(0.0)
    for cell in cells:
        metric = cell.metrics.get(cell.bound.metric)
        if metric is not None:
            core += finite(metric.change, metric.null)
            ends += finite(metric.low, metric.high)
        if cell.control is not None:
            core += finite(cell.control.change)
        for point in cell.points:
            core += finite(point.change, point.null)
    return core, ends


def _around(cells: Iterable[CellResult], bound: BoundResult) -> float:
    """How far from zero the axis must stay uncompressed: twice the bound, or a typical interval if that is wider."""
    metrics = [cell.metrics[cell.bound.metric] for cell in cells if cell.bound.metric in cell.metrics]
    widths = sorted(m.high - m.low for m in metrics if m.low is not None and len(finite(m.low, m.high)) == 2 and m.high)
    return max(2 * bound.limit, 0.75 * widths[len(widths) // 2] if widths else 0.0, SMALLEST)


def _pieces(low: float, high: float, around: float) -> list[tuple[float, float, float]]:
    """(from, to, weight) of each linear piece."""
    breaks_low, breaks_high = -low > FAR * around, high > FAR * around
    inner = (-around if breaks_low else low, around if breaks_high else high)
    pieces = [(inner[0], inner[1], SHARE_AROUND)]
    if breaks_low:
        pieces.insert(0, (low, inner[0], 1 - SHARE_AROUND))
    if breaks_high:
        pieces.append((inner[1], high, 1 - SHARE_AROUND))
    return pieces


def _knots(pieces: list[tuple[float, float, float]], left: float, right: float) -> tuple[tuple[float, float], ...]:
    """Pad the outer ends, and lay the pieces out from left to right."""
    total = sum(weight for *_, weight in pieces)
    width = (right - left) * (1 - 2 * PAD)
    first, last = pieces[0], pieces[-1]
    margin = (right - left) * PAD
    knots, x = [], left + margin
    for start, _, weight in pieces:
        knots.append((start, x))
        x += width * weight / total
    knots.append((last[1], x))
    slope_first = (first[1] - first[0]) / (width * first[2] / total)
    slope_last = (last[1] - last[0]) / (width * last[2] / total)
    knots[0] = (first[0] - margin * slope_first, left)
    knots[-1] = (last[1] + margin * slope_last, right)
    return tuple(knots)


def _ticks(scale: Axis, quantity: Quantity) -> Iterable[tuple[float, str]]:
    """Round values, piece by piece, the part around the bound first so that its labels win the room."""
    pieces = list(pairwise(scale.knots))
    pieces.sort(key=lambda piece: (piece[1][0] - piece[0][0]) / (piece[1][1] - piece[0][1]))
    placed = [scale.bound]
    for (low, left), (high, right) in pieces:
        step = round_step((high - low) * TICK_GAP / (right - left))
        for index in range(math.ceil(low / step), math.floor(high / step) + 1):
            x, label = scale.x(index * step), quantity.amount(float(f"{index * step:.12g}"))
            if all(abs(x - other) >= (len(label) + len(text) + 2) * CHARACTER / 2 for other, text in placed):
                placed.append((x, label))
    return sorted(placed[1:])


def round_step(least: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
