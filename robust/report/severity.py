"""How grave a broken bound is, by a rule that follows from the results alone (stated in docs/report.md, Severity).

Two facts of the cell decide: how far beyond its bound the change is *shown* to go (by the lower end of its interval,
not by its mean), and what the attack used of the model and the log. What a scenario grants beyond that is not counted:
an attack that asks for lists is as easy to run where the weights are granted. Judgement enters once, in the table
below, and never per finding.

The scores fall into the bands by which code scanning names a severity: from 9 critical, from 7 high, from 4 medium.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from robust.runner.results import CellResult

Level = Literal["critical", "high", "medium", "low"]
Reach = Literal["anyone", "partial", "inside", "synthetic"]

FAR, TWICE = 4.0, 2.0  # times the bound
GONE = 0.5  # of the quality: as far as can be, whatever the bound was
SCORES: dict[Reach, tuple[float, float, float]] = {  # beyond the bound, at least twice it, far beyond it
    "anyone": (6.0, 8.0, 9.5),
    "partial": (5.0, 6.5, 8.5),
    "inside": (3.5, 5.5, 7.5),
    "synthetic": (2.0, 3.5, 5.0),
}
NEEDS: dict[Reach, str] = {
    "anyone": "an attack that needs what any user sees",
    "partial": "an attack that needs the model's scores, the whole log or the true next item",
    "inside": "an attack that needs the model's gradients",
    "synthetic": "deltas of embeddings, which nobody can type",
}
_BANDS: tuple[tuple[float, Level], ...] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"))


@dataclass(frozen=True)
class Severity:
    """A score from 0 to 10, the word for it, and the two facts that it follows from."""

    score: float
    level: Level
    why: str


def reach(cell: CellResult) -> Reach:
    """What the attack of this cell used; an unknown statement counts as partial.

    A run of an older version does not tell what was used: what the scenario grants stands in for it, and an attack that
    never looks at the model, or plans on a surrogate, has nothing of the model.
    """
    if cell.budget.startswith("ε"):
        return "synthetic"
    model, log = (str(cell.used.get(name, cell.knowledge.get(name, "none"))) for name in ("model", "log"))
    if "model" not in cell.used and cell.planned_on in ("none", "surrogate"):
        model = "none"
    if model == "gradients":
        return "inside"
    little = model in ("none", "lists") and log in ("none", "popularity")
    return "anyone" if little and not cell.worst_case else "partial"


def shown(cell: CellResult) -> float | None:
    """The change that is shown: the lower end of the interval, the mean where there is none, None if not measured."""
    metric = cell.metrics.get(cell.bound.metric)
    if metric is None:
        return None
    low = metric.change if metric.low is None else metric.low
    return low if math.isfinite(low) else None


def severity(cell: CellResult) -> Severity | None:
    """How grave it is that this cell breaks its bound; None for a cell that is not shown to."""
    change = shown(cell)
    if cell.verdict != "FAIL" or change is None:
        return None
    times = change / cell.bound.limit if cell.bound.limit > 0 else math.inf
    gone = cell.bound.kind == "drop" and change >= GONE
    grade = 2 if gone or times >= FAR else 1 if times >= TWICE else 0
    if gone:
        said = "at least half of the quality is lost"
    elif math.isfinite(times):
        said = f"at least {_down(times)} times what the bound allows"
    else:
        said = "the bound allows no change at all"
    needed = reach(cell)
    score = SCORES[needed][grade]
    return Severity(score, band(score), f"at {cell.budget}, {said}, by {NEEDS[needed]}")


def band(score: float) -> Level:
    """The word for a score."""
    return next((name for least, name in _BANDS if score >= least), "low")


def _down(times: float) -> str:
    """Rounded towards zero, as it follows `at least`."""
    return f"{math.floor(times * 10) / 10:.1f}"


def gravest(cells: Iterable[CellResult]) -> Severity | None:
    """That of the gravest cell."""
    return max(filter(None, map(severity, cells)), key=lambda found: found.score, default=None)
