"""From measurements to a verdict (numpy and scipy only).

`judge` is the way in: clean and attacked metrics per seed and user, and a bound, give a `Judgement`. What it does, and
its simulated error rates, are in docs/statistics.md.
"""

from __future__ import annotations

from robust.statistics.contrasts import Kind, change_limits, contrast
from robust.statistics.intervals import Limits, limits, p_above, p_below
from robust.statistics.multiplicity import adjusted_p, correct_failures
from robust.statistics.outliers import seed_outliers
from robust.statistics.planning import users_needed, users_to_decide
from robust.statistics.verdicts import LOOKS, Judgement, judge

__all__ = [
    "LOOKS",
    "Judgement",
    "Kind",
    "Limits",
    "adjusted_p",
    "change_limits",
    "contrast",
    "correct_failures",
    "judge",
    "limits",
    "p_above",
    "p_below",
    "seed_outliers",
    "users_needed",
    "users_to_decide",
]
