"""The Pareto picture: quality on clean data against the bounded metric under the worst attack, as inline SVG.

Right and up are better, so the axis of an exposure runs downwards. A whisker is a 95% limit to its side; where it
leaves the frame it is cut. The line is the front: beyond it nothing that was measured lies. Marks differ in form as
well as in colour, and the description says in words what the picture shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from xml.etree import ElementTree as ET

from robust.metrics.registry import metric_name
from robust.report.axis import round_step
from robust.report.quantities import decimals_for, fixed
from robust.report.svg import shape, text_element
from robust.runner.standing import Standing, front

CHARACTER, LINE = 6.4, 13.0
GAP = 60.0

Reach = tuple[float, float | None, float | None]
"""A mean with its limits, None where they are unknown."""


@dataclass(frozen=True)
class Spot:
    """One defence in the picture.

    Attributes:
        plain: no defence at all. best: on the front. whole: met every attack of the threat.
    """

    name: str
    clean: Reach
    worst: Reach
    plain: bool = False
    best: bool = False
    whole: bool = True


@dataclass(frozen=True)
class Frame:
    """Measures in user units: the plane from (left, top) to (right, bottom)."""

    name: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


WIDE = Frame("wide", 760, 440, 64, 744, 12, 388)
NARROW = Frame("narrow", 360, 380, 52, 352, 12, 324)


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` at `start` to `high` at `end`; `ticks` are round values within it."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    decimals: int

    def place(self, value: float) -> float:
        """Where a value stands, held within the axis."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def spots(standings: Sequence[Standing]) -> list[Spot]:
    """The standings of one threat and victim as spots."""
    best = front(standings)
    return [
        Spot(
            name="no defence" if one.defense == "none" else one.defense,
            clean=(one.clean.mean, one.clean.low, one.clean.high),
            worst=(one.worst.mean, one.worst.low, one.worst.high),
            plain=one.defense == "none",
            best=one in best,
            whole=not one.missed,
        )
        for one in standings
    ]


def pareto(found: Sequence[Spot], *, clean: str, worst: str, better: str, title: str, key: str) -> list[str]:
    """The picture, wide and narrow, as SVG elements for an HTML document.

    Args:
        clean, worst: metric keys of the axes. better: `higher` or `lower`, of `worst`. key: a unique id in the page.
    """
    return [_picture(found, frame, clean, worst, better, title, f"{key}-{frame.name}") for frame in (WIDE, NARROW)]


def _picture(found: Sequence[Spot], frame: Frame, clean: str, worst: str, better: str, title: str, key: str) -> str:
    svg = ET.Element(
        "svg",
        {
            "class": f"picture pareto {frame.name}",
            "role": "img",
            "viewBox": f"0 0 {frame.width:g} {frame.height:g}",
            "aria-labelledby": f"{key}-title {key}-desc",
        },
    )
    text_element(svg, "title", title, id=f"{key}-title")
    text_element(svg, "desc", description(found, clean, worst, better), id=f"{key}-desc")
    across = _scale([spot.clean for spot in found], frame.left, frame.right, GAP)
    up = _scale([spot.worst for spot in found], frame.bottom, frame.top, GAP / 1.5, turned=better == "lower")
    _axes(svg, across, up, frame, metric_name(clean), metric_name(worst), better)
    _front(svg, found, across, up, better, frame)
    places = [(across.place(spot.clean[0]), up.place(spot.worst[0])) for spot in found]
    for spot, (x, y) in zip(found, places, strict=True):
        _whiskers(svg, spot, across, up, x, y)
    for spot, (x, y) in zip(found, places, strict=True):
        _mark(svg, spot, x, y)
    for text, style, x, y, anchor in _labels(found, places, frame):
        text_element(svg, "text", text, x=x, y=y, **{"class": style, "text-anchor": anchor})
    return ET.tostring(svg, encoding="unicode", short_empty_elements=True)


def description(found: Sequence[Spot], clean: str, worst: str, better: str) -> str:
    """The picture in sentences, for who cannot see it."""
    said = [
        f"{metric_name(clean)} on clean data against {metric_name(worst)} under the worst attack ({better} is better)."
    ]
    for spot in found:
        numbers = " and ".join(_told(value) for value in (spot.clean, spot.worst))
        tail = ", on the front" if spot.best else "" if spot.whole else ", not met by every attack"
        said.append(f"{spot.name}: {numbers}{tail}.")
    return " ".join(said)


def _told(value: Reach) -> str:
    mean, low, high = value
    if low is None or high is None:
        return fixed(mean, 3)
    decimals = decimals_for((high - low) / 2)
    return f"{fixed(mean, decimals)} ({fixed(low, decimals)} to {fixed(high, decimals)})"


def _scale(
    values: Sequence[Reach],
    start: float,
    end: float,
    gap: float,
    *,
    turned: bool = False,
) -> Scale:
    """An axis that holds every mean, and limits unless they lie much further out than the means."""
    means = [mean for mean, _, _ in values]
    first, last = min(means), max(means)
    reach = max(0.5 * (last - first), 0.02 * max(abs(first), abs(last)), 1e-4)
    low = max(min([first, *(low for _, low, _ in values if low is not None)]), first - reach)
    high = min(max([last, *(high for _, _, high in values if high is not None)]), last + reach)
    pad = 0.06 * (high - low) or 1e-3
    low, high = low - pad, high + pad
    step = round_step((high - low) * gap / abs(end - start))
    ticks = tuple(index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return Scale(low, high, end, start, ticks, decimals) if turned else Scale(low, high, start, end, ticks, decimals)


def _axes(svg: ET.Element, across: Scale, up: Scale, frame: Frame, clean: str, worst: str, better: str) -> None:
    for tick in across.ticks:
        x = across.place(tick)
        shape(svg, "line", "grid", x1=x, x2=x, y1=frame.top, y2=frame.bottom)
        text_element(svg, "text", fixed(tick, across.decimals), x=x, y=frame.bottom + 17, **{"class": "tick"})
    for tick in up.ticks:
        y = up.place(tick)
        shape(svg, "line", "grid", x1=frame.left, x2=frame.right, y1=y, y2=y)
        text_element(svg, "text", fixed(tick, up.decimals), x=frame.left - 6, y=y + 4, **{"class": "tick side"})
    shape(svg, "line", "base", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom)
    shape(svg, "line", "base", x1=frame.left, x2=frame.left, y1=frame.top, y2=frame.bottom)
    middle = (frame.left + frame.right) / 2
    text_element(svg, "text", f"{clean} on clean data →", x=middle, y=frame.bottom + 36, **{"class": "title"})
    said = f"{worst} under the worst attack{', falling' if better == 'lower' else ''} →"
    middle = (frame.top + frame.bottom) / 2
    turned = {"class": "title", "transform": f"rotate(-90 14 {middle:g})"}
    text_element(svg, "text", said, x=14, y=middle, **turned)


def _front(svg: ET.Element, found: Sequence[Spot], across: Scale, up: Scale, better: str, frame: Frame) -> None:
    """A staircase through the front: what lies below and to the left of it is beaten by one of them."""
    best = sorted((spot for spot in found if spot.best), key=lambda spot: spot.clean[0])
    if not best:
        return
    first_y = up.place(best[0].worst[0])
    path = [f"M{frame.left:g} {first_y:.1f}"]
    for spot, following in zip(best, [*best[1:], None], strict=True):
        path.append(f"H{across.place(spot.clean[0]):.1f}")
        path.append(f"V{frame.bottom if following is None else up.place(following.worst[0]):.1f}")
    shape(svg, "path", "front", d="".join(path))


def _whiskers(svg: ET.Element, spot: Spot, across: Scale, up: Scale, x: float, y: float) -> None:
    style = "whisker best" if spot.best else "whisker"
    if spot.clean[1] is not None and spot.clean[2] is not None:
        shape(svg, "line", style, x1=across.place(spot.clean[1]), x2=across.place(spot.clean[2]), y1=y, y2=y)
    if spot.worst[1] is not None and spot.worst[2] is not None:
        shape(svg, "line", style, x1=x, x2=x, y1=up.place(spot.worst[1]), y2=up.place(spot.worst[2]))


def _mark(svg: ET.Element, spot: Spot, x: float, y: float) -> None:
    """A square for no defence, a filled disc on the front, an open one behind it, a dotted one that is not whole."""
    style = "spot" + (" best" if spot.best else "") + ("" if spot.whole else " part")
    if spot.plain:
        shape(svg, "rect", style, x=x - 4.5, y=y - 4.5, width=9, height=9)
    else:
        shape(svg, "circle", style, cx=x, cy=y, r=4.6)


def _labels(
    found: Sequence[Spot], places: Sequence[tuple[float, float]], frame: Frame
) -> Iterator[tuple[str, str, float, float, str]]:
    """A name beside each mark, the front first; one that finds no room is left to the table, which is beside it."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for spot, (x, y) in sorted(zip(found, places, strict=True), key=lambda pair: (not pair[0].best, not pair[0].plain)):
        width = len(spot.name) * CHARACTER
        for dy, (anchor, dx) in product((4.0, -8.0, 17.0, -20.0, 29.0), (("start", 9.0), ("end", -9.0))):
            left = x + dx - (width if anchor == "end" else 0)
            box = left, y + dy - LINE + 3, left + width, y + dy + 3
            inside = (
                frame.left <= box[0] and box[2] <= frame.width and frame.top - 8 <= box[1] and box[3] <= frame.bottom
            )
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield spot.name, "name best" if spot.best else "name", x + dx, y + dy, anchor
                break


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def legend(found: Sequence[Spot]) -> list[tuple[str, str]]:
    """(mark as SVG, meaning) of what a picture holds."""
    marks: list[tuple[str, str, dict[str, float | str], str]] = []
    if any(spot.best for spot in found):
        marks.append(("circle", "spot best", {"cx": 10, "cy": 7, "r": 4.6}, "on the front: nothing is better in both"))
    if any(not spot.best and spot.whole for spot in found):
        marks.append(("circle", "spot", {"cx": 10, "cy": 7, "r": 4.6}, "something else is better in both"))
    if any(not spot.whole for spot in found):
        marks.append(("circle", "spot part", {"cx": 10, "cy": 7, "r": 4.6}, "met fewer attacks: never on the front"))
    if any(spot.plain for spot in found):
        marks.append(("rect", "spot", {"x": 5.5, "y": 2.5, "width": 9, "height": 9}, "no defence"))
    if any(spot.clean[1] is not None for spot in found):
        marks.append(("path", "whisker", {"d": "M1 7h18"}, "one-sided 95% limits, over users and seeds"))
    drawn = []
    for tag, style, attributes, meaning in marks:
        svg = ET.Element("svg", {"class": "mark", "viewBox": "0 0 20 14", "aria-hidden": "true"})
        shape(svg, tag, style, **attributes)
        drawn.append((ET.tostring(svg, encoding="unicode"), meaning))
    return drawn
