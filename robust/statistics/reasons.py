"""The sentence beside a verdict: what holds, or what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robust.amounts import number, percent, points, points_between
from robust.statistics.contrasts import Kind, contrast
from robust.statistics.intervals import Limits
from robust.statistics.moments import Float
from robust.statistics.planning import users_needed, users_to_decide


@dataclass(frozen=True)
class Look:
    """One look at one bound.

    Attributes:
        arms: float [2, S, n], clean and attacked. kind, limit, scale: the bound. alpha: one-sided level of the look.
        retrained: whether seeds vary. later: numbers of seeds at which there are further looks.
        seeds_for_claim: the least number of seeds at which this bound may be said to be kept.
    """

    arms: Float
    kind: Kind
    limit: float
    scale: float
    alpha: float
    retrained: bool
    later: Sequence[int]
    seeds_for_claim: int

    @property
    def n_users(self) -> int:
        """Users present under at least one seed."""
        return int((~np.isnan(self.arms[0])).any(axis=0).sum())

    @property
    def n_seeds(self) -> int:
        """Seeds at this look."""
        return int(self.arms.shape[1])

    @property
    def basis(self) -> str:
        """What the look rests on."""
        return f"{self.n_users:,} users" + (f", {self.n_seeds} seeds" if self.retrained else "")

    def shown(self, value: float) -> str:
        """A drop in percent, a rise of a share in percentage points, anything else as the metric itself."""
        if self.kind == "drop":
            return percent(value)
        return points(value) if self.in_points else number(value)

    @property
    def in_points(self) -> bool:
        """Whether changes are shown in percentage points."""
        return self.kind == "rise" and self.scale == 1

    def between(self, low: float, high: float) -> str:
        """Two ends, with `and` between them."""
        return points_between(low, high) if self.in_points else f"{self.shown(low)} and {self.shown(high)}"

    def reason(self, verdict: str, found: Limits) -> str:
        """A readable sentence for this verdict."""
        noun = "value" if self.kind == "level" else self.kind
        bound, confidence = self.shown(self.limit), f"with {100 * (1 - self.alpha):g}% confidence ({self.basis})"
        if verdict == "PASS":
            return f"The {noun} is at most {self.shown(found.high)} {confidence}, within the bound of {bound}."
        if verdict == "FAIL":
            return f"The {noun} is at least {self.shown(found.low)} {confidence}, beyond the bound of {bound}."
        between = f"The {noun} lies between {self.between(found.low, found.high)} ({self.basis}), "
        if found.high < self.limit:
            return between + f"but a claim of at most {bound} needs {self.seeds_for_claim} seeds."
        return between + f"so the bound of {bound} is open: {self._missing(found)}."

    def _missing(self, found: Limits) -> str:
        """Users, if even an unchanged metric could not pass; else the next look, or how many users would decide.

        A level has no change that could be nothing: it is what it is.
        """
        n, clean, attacked = self.n_users, self.arms[0], self.arms[1]
        needed = None
        if self.kind != "level":
            needed = users_needed(self.limit, kind=self.kind, alpha=self.alpha, clean=clean, scale=self.scale)
        if found.mean <= self.limit and needed is not None and n < needed:
            return f"if nothing changes, a PASS needs about {needed:,} users, {needed - n:,} more"
        ways = [f"{self.later[0]} seeds are the next look"] if self.later else []
        enough = users_to_decide(*contrast(clean, attacked, self.kind, self.limit, scale=self.scale), alpha=self.alpha)
        if enough is not None and enough > n:
            ways.append(f"about {enough:,} users would decide it")
        return "; or ".join(ways) or "the change is too near to the bound"
