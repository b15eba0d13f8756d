"""What a sanitiser saw, as words and as a picture of three panels: ROC curve, confusion matrix, accused by activity.

Panels stand side by side where there is room and one below the other where there is not. What is right and what is
wrong differ in words as well as in colour, and the description says everything that the picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from robust.report.price import percent
from robust.report.quantities import DASH, decimals_for, finite, fixed
from robust.report.svg import shape, text_element
from robust.report.text import attack_label, planning
from robust.runner.records import Confusion, DetectionResult, HarmLeft, Rate
from robust.runner.results import Results

SIDE, TOP = 176.0, 26.0
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
BAR = 17.6


@dataclass(frozen=True)
class Sight:
    """One attack as one sanitiser saw it, in words.

    Attributes:
        attack: with budget and plan. auc: with interval. low: caught at 1% accused. caught, accused: as the sanitiser
            was set. left: of the attack's effect, behind the sanitiser.
    """

    result: DetectionResult
    threat: str
    attack: str
    auc: str
    low: str
    caught: str
    accused: str
    left: str

    @property
    def sentence(self) -> str:
        """Everything in one line."""
        found = (
            f"AUC {self.auc}. Where at most 1% of the genuine users are accused, {self.low} of the fake ones are "
            f"caught; as it was set, {self.caught} are caught and {self.accused} accused."
        )
        return found if self.left == DASH else f"{found} Of the attack's effect {self.left} is left."


def sights(results: Results) -> list[Sight]:
    """In the results' order, a sanitiser's together."""
    cells = {cell.id: cell for cell in results.cells}
    titles = {threat.id: threat.title for threat in results.threats}
    found = []
    for one in sorted(results.detections, key=lambda one: _first(results, one.defense)):
        known = [cells[name] for name in one.cells if name in cells]
        term = planning(known[0]) if known else ""
        attack = attack_label(known[0]) if known else one.attack
        said = ", ".join(part for part in (attack, one.budget, term) if part)
        fakes, genuine = totals(one.confusion)
        found.append(
            Sight(
                result=one,
                threat=titles.get(one.threat, one.threat),
                attack=said,
                auc=_auc(one),
                low=percent(one.tpr_at_1),
                caught=percent(one.confusion.fake_flagged / fakes) if fakes else DASH,
                accused=percent(one.confusion.genuine_flagged / genuine) if genuine else DASH,
                left="; ".join(_left(own, several=len(one.left) > 1) for own in one.left) or DASH,
            )
        )
    return found


def _first(results: Results, defense: str) -> int:
    return [one.defense for one in results.detections].index(defense)


def totals(confusion: Confusion) -> tuple[float, float]:
    """Fake and genuine users, mean over seeds."""
    return confusion.fake_flagged + confusion.fake_kept, confusion.genuine_flagged + confusion.genuine_kept


def _auc(one: DetectionResult) -> str:
    ends = finite(one.auc_low, one.auc_high)
    if len(ends) < 2:
        return fixed(one.auc, 3)
    decimals = max(decimals_for((ends[1] - ends[0]) / 2), 2)
    return f"{fixed(one.auc, decimals)} ({fixed(ends[0], decimals)}…{fixed(ends[1], decimals)})"


def _left(one: HarmLeft, *, several: bool) -> str:
    share = DASH if one.left is None else f"{fixed(100 * one.left, 0)}%"
    return f"{share} ({one.victim})" if several else share


def picture(sight: Sight, key: str) -> list[str]:
    """The picture, wide and narrow, as SVG elements for an HTML document; `key` is unique in the page."""
    wide, narrow = ((46.0, 0.0), (292.0, 0.0), (560.0, 0.0)), ((60.0, 0.0), (90.0, 264.0), (100.0, 500.0))
    return [
        _drawn(sight, wide, 760, 252, "wide", f"{key}-wide"),
        _drawn(sight, narrow, 360, 730, "narrow", f"{key}-narrow"),
    ]


def _drawn(
    sight: Sight, places: Sequence[tuple[float, float]], width: float, height: float, layout: str, key: str
) -> str:
    svg = ET.Element(
        "svg",
        {
            "class": f"picture detection {layout}",
            "role": "img",
            "viewBox": f"0 0 {width:g} {height:g}",
            "aria-labelledby": f"{key}-title {key}-desc",
        },
    )
    text_element(svg, "title", f"What {sight.result.defense} saw of {sight.attack}", id=f"{key}-title")
    text_element(svg, "desc", description(sight), id=f"{key}-desc")
    _roc(svg, sight.result, *places[0])
    _confusion(svg, sight.result.confusion, *places[1])
    _bars(svg, sight.result.false_positives[1:], *places[2])
    return ET.tostring(svg, encoding="unicode", short_empty_elements=True)


def description(sight: Sight) -> str:
    """The picture in sentences, for who cannot see it."""
    one = sight.result
    curve = ", ".join(f"{percent(point.tpr)} at {percent(point.fpr)}" for point in one.roc if point.fpr in TICKS[:-1])
    told = one.confusion
    groups = ", ".join(f"{rate.group} {percent(rate.share)}" for rate in one.false_positives[1:])
    return (
        f"{sight.sentence} Fake users caught at genuine users accused: {curve}. "
        f"Fake users: {told.fake_flagged:,.1f} flagged, {told.fake_kept:,.1f} kept. "
        f"Genuine users: {told.genuine_flagged:,.1f} flagged, {told.genuine_kept:,.1f} kept. "
        f"Genuine users accused, by activity: {groups}."
    )


def _heading(svg: ET.Element, text: str, x: float, y: float) -> None:
    text_element(svg, "text", text, x=x, y=y + 14, **{"class": "panel"})


def _roc(svg: ET.Element, one: DetectionResult, left: float, top: float) -> None:
    """The curve over the chance line; the square is where the sanitiser was set."""
    _heading(svg, "ROC curve", left, top)
    top, bottom, right = top + TOP, top + TOP + SIDE, left + SIDE
    for tick in TICKS:
        x, y = left + SIDE * tick, bottom - SIDE * tick
        shape(svg, "line", "grid", x1=x, x2=x, y1=top, y2=bottom)
        shape(svg, "line", "grid", x1=left, x2=right, y1=y, y2=y)
        if tick in (0.0, 0.5, 1.0):
            text_element(svg, "text", f"{tick:.0%}", x=x, y=bottom + 15, **{"class": "tick"})
            text_element(svg, "text", f"{tick:.0%}", x=left - 5, y=y + 4, **{"class": "tick end"})
    shape(svg, "line", "base", x1=left, x2=right, y1=bottom, y2=bottom)
    shape(svg, "line", "base", x1=left, x2=left, y1=top, y2=bottom)
    shape(svg, "line", "chance", x1=left, x2=right, y1=bottom, y2=top)
    places = [(left, bottom), *((left + SIDE * p.fpr, bottom - SIDE * p.tpr) for p in one.roc)]
    shape(svg, "polyline", "curve", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places))
    fakes, genuine = totals(one.confusion)
    if fakes and genuine:
        x = left + SIDE * one.confusion.genuine_flagged / genuine
        y = bottom - SIDE * one.confusion.fake_flagged / fakes
        shape(svg, "rect", "setting", x=x - 4, y=y - 4, width=8, height=8)
    text_element(svg, "text", "genuine users accused", x=(left + right) / 2, y=bottom + 32, **{"class": "title"})
    middle = (top + bottom) / 2
    turned = {"class": "title", "transform": f"rotate(-90 {left - 36:g} {middle:g})"}
    text_element(svg, "text", "fake users caught", x=left - 36, y=middle, **turned)


def _confusion(svg: ET.Element, told: Confusion, left: float, top: float) -> None:
    """Rows are what users are, columns what was said of them; shaded by the share of the row."""
    _heading(svg, "Confusion matrix", left, top)
    fakes, genuine = totals(told)
    rows = (
        ("fake", fakes, (("caught", "right", told.fake_flagged), ("missed", "wrong", told.fake_kept))),
        ("genuine", genuine, (("accused", "wrong", told.genuine_flagged), ("left alone", "right", told.genuine_kept))),
    )
    width, height = 86.0, SIDE / 2
    for index, (kind, total, cells) in enumerate(rows):
        y = top + TOP + height * index
        text_element(svg, "text", kind, x=left - 6, y=y + height / 2 + 4, **{"class": "tick end"})
        for column, (word, style, count) in enumerate(cells):
            x, share = left + width * column, count / total if total else 0.0
            opacity = {"fill-opacity": f"{0.05 + 0.4 * share:.2f}"}
            shape(svg, "rect", f"cell {style}", x=x + 1, y=y + 1, width=width - 2, height=height - 2, **opacity)
            middle = x + width / 2
            text_element(svg, "text", word, x=middle, y=y + height / 2 - 14, **{"class": "said"})
            number = fixed(count, 0 if count >= 100 or count == round(count) else 1)
            text_element(svg, "text", number, x=middle, y=y + height / 2 + 5, **{"class": "count"})
            text_element(svg, "text", percent(share), x=middle, y=y + height / 2 + 22, **{"class": "said"})
    for column, word in enumerate(("flagged", "kept")):
        x = left + width * (column + 0.5)
        text_element(svg, "text", word, x=x, y=top + TOP + SIDE + 15, **{"class": "tick"})


def _bars(svg: ET.Element, rates: Sequence[Rate], left: float, top: float) -> None:
    """Genuine users accused in each tenth by activity, least active first; a line to the upper limit."""
    _heading(svg, "Genuine users accused, by rows", left - 76, top)
    width = 140.0
    most = max([0.01, *(rate.share for rate in rates), *finite(*(rate.high for rate in rates))])
    for index, rate in enumerate(rates):
        y = top + TOP + BAR * index
        text_element(svg, "text", rate.group, x=left - 6, y=y + 12, **{"class": "tick end"})
        shape(svg, "rect", "rate", x=left, y=y + 3, width=max(width * rate.share / most, 0.5), height=BAR - 6)
        if rate.high is not None and finite(rate.high):
            ends = [left + width * share / most for share in (rate.low or 0.0, rate.high)]
            shape(svg, "line", "whisker", x1=ends[0], x2=ends[1], y1=y + BAR / 2, y2=y + BAR / 2)
        x = left + width * max(rate.share, rate.high or 0.0) / most + 5
        text_element(svg, "text", percent(rate.share), x=x, y=y + 12, **{"class": "rate-value"})
    bottom = top + TOP + BAR * max(len(rates), 1)
    shape(svg, "line", "base", x1=left, x2=left, y1=top + TOP, y2=bottom)
