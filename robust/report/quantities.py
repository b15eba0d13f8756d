"""Numbers as a reader sees them: relative drops in percent, exposure in percentage points, levels as they are.

A number gets no more decimals than half the width of its interval supports, by the rule of the Particle Data Group
(Review of Particle Physics, introduction, section 5.3): that half-width is given two significant digits where they lie
between 10 and 35, one where they lie above. `12%` with limits 6 and 18, `+3.4 pp` with limits 1.1 and 5.7. Unknown and
non-finite values show as a dash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robust.amounts import MINUS, number
from robust.runner.results import BoundResult, CellResult, MetricResult

DASH = "–"
NBSP = "\u00a0"
_UNBOUNDED = ("rank_shift", "novelty")  # in bits, not shares of 1


def finite(*values: float | None) -> list[float]:
    """Those that are known and finite."""
    return [value for value in values if value is not None and math.isfinite(value)]


def decimals_for(uncertainty: float, most: int = 3) -> int:
    """Decimals that an uncertainty supports, between 0 and `most`: 6.1 → 0, 2.1 → 1, 0.6 → 1, 0.12 → 2."""
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return min(1, most)
    exponent = math.floor(math.log10(uncertainty))
    leading = uncertainty / 10.0**exponent
    digits = 1 if 3.55 <= leading < 9.5 else 2
    if leading >= 9.5:
        exponent += 1
    return min(max(digits - 1 - exponent, 0), most)


def fixed(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A number with a true minus sign and no negative zero; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{abs(value):,.{decimals}f}"
    if not any(char in "123456789" for char in text):
        return text
    return MINUS + text if value < 0 else "+" + text if signed else text


@dataclass(frozen=True)
class Quantity:
    """How changes of one bounded metric are written.

    Attributes:
        scale: factor from the stored value to the shown one. suffix: its unit. signed: whether a rise shows its plus.
    """

    scale: float
    suffix: str
    signed: bool = False

    @classmethod
    def of(cls, bound: BoundResult) -> Quantity:
        """Percent for a drop, percentage points for a rise of a share, plain numbers otherwise."""
        if bound.kind == "drop":
            return cls(100.0, "%")
        if bound.kind == "rise":
            unbounded = bound.metric.startswith(_UNBOUNDED)
            return cls(1.0, "", signed=True) if unbounded else cls(100.0, f"{NBSP}pp", signed=True)
        return cls(1.0, "")

    def decimals(self, metric: MetricResult | None) -> int:
        """What the interval supports; without one, a decimal of the shown unit, or three of a plain number."""
        ends = finite(metric.low, metric.high) if metric else []
        if len(ends) < 2:
            return 1 if self.scale > 1 else 3
        return decimals_for(self.scale * abs(ends[1] - ends[0]) / 2, most=2 if self.scale > 1 else 3)

    def change(self, value: float | None, decimals: int) -> str:
        """A change with sign where customary, and unit: `12%`, `+1.2 pp`."""
        text = fixed(None if value is None else value * self.scale, decimals, signed=self.signed)
        return text if text == DASH else text + self.suffix

    def interval(self, low: float | None, high: float | None, decimals: int) -> str:
        """`9…15`, without unit; empty where either limit is unknown."""
        if len(finite(low, high)) < 2:
            return ""
        return f"{self._end(low, decimals)}…{self._end(high, decimals)}"

    def _end(self, value: float | None, decimals: int) -> str:
        return fixed(None if value is None else value * self.scale, decimals)

    def amount(self, value: float) -> str:
        """An exact, stated number such as a limit: `10%`, `0.5 pp`, `0.6`."""
        return number(value * self.scale, ".6g") + self.suffix


@dataclass(frozen=True)
class Figures:
    """One cell's numbers in words; each is a dash or empty where it was not measured.

    Attributes:
        level: `0.52 → 0.41`. change: `21%`. interval: `18…24`. null, control: changes of those.
    """

    level: str
    change: str
    interval: str
    null: str
    control: str


def figures(cell: CellResult) -> Figures:
    """A cell's bounded metric, its noise floor and its control, to the decimals that the interval supports."""
    quantity, metric = Quantity.of(cell.bound), cell.metrics.get(cell.bound.metric)
    decimals = _enough(quantity, metric, cell.bound.limit)
    control = quantity.change(cell.control.change, decimals) if cell.control else DASH
    if metric is None:
        return Figures(DASH, DASH, "", DASH, control)
    return Figures(
        level=level(cell.bound, metric),
        change=quantity.change(metric.change, quantity.decimals(metric)),
        interval=quantity.interval(metric.low, metric.high, decimals),
        null=quantity.change(metric.null, quantity.decimals(metric)),
        control=control,
    )


def _enough(quantity: Quantity, metric: MetricResult | None, limit: float) -> int:
    """Decimals for the interval: one or two more where rounding would put a limit *on* the bound that it misses."""
    decimals = quantity.decimals(metric)
    ends = finite(metric.low, metric.high) if metric else []
    for extra in (0, 1, 2):
        if all(end == limit or round(end * quantity.scale, decimals + extra) != limit * quantity.scale for end in ends):
            return decimals + extra
    return decimals


def level(bound: BoundResult, metric: MetricResult) -> str:
    """`clean → attacked`: exposure in percent, utilities and levels as they are."""
    if bound.kind == "rise" and Quantity.of(bound).scale > 1:
        decimals = Quantity.of(bound).decimals(metric)
        before, after = (fixed(value * 100, decimals) for value in (metric.clean, metric.attacked))
        return f"{before} → {after}%"
    ends = finite(metric.low, metric.high)
    unit = abs(metric.clean) if bound.kind == "drop" else 1.0
    decimals = decimals_for(unit * abs(ends[1] - ends[0]) / 2) if len(ends) == 2 else 3
    return f"{fixed(metric.clean, decimals)} → {fixed(metric.attacked, decimals)}"


def p_value(p: float) -> str:
    """`p < 0.001`, `p = 0.012`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
