"""Confidence limits of a mean over users (and seeds) that hold when almost nobody is affected: plus-two, then t.

When an attack ruins few users, most samples show no change at all, and every classical interval collapses onto 0. So
each limit is taken after two pseudo-users at the worst possible value are added, as Agresti & Coull (1998) do for a
proportion; a metric must therefore be bounded. Each limit is one-sided at α; the two together hold at 1 − 2α.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robust.errors import InputError
from robust.statistics.moments import Float, Moments, as_matrix, moments, with_pseudo_users

SMALLEST_P = 1e-30
"""p-values are not resolved below this."""


@dataclass(frozen=True)
class Limits:
    """The plain mean, and one-sided confidence limits on each side of it."""

    mean: float
    low: float
    high: float


def limits(values: Any, *, alpha: float, worst: tuple[float, float]) -> Limits:
    """Limits of the mean of `values`.

    Args:
        values: float [S, n]; S = 1 is a fixed model, where only users vary. NaN: a user missing under a seed.
        alpha: one-sided error of each limit, in (0, 1).
        worst: the least and the greatest value that any user could have.

    Raises:
        InputError: a value lies outside `worst`, alpha outside (0, 1), a wrong shape.
        NotApplicable: nobody is left to measure.
    """
    matrix = _checked(values, worst)
    if not 0 < alpha < 1:
        raise InputError(f"alpha = {alpha}: expected a number between 0 and 1.")
    return Limits(
        mean=float(moments(matrix[None]).mean[0]),
        low=_limit(matrix, worst[0], -1, alpha),
        high=_limit(matrix, worst[1], +1, alpha),
    )


def p_above(values: Any, threshold: float, worst: tuple[float, float]) -> float:
    """One-sided p-value against "the mean is at most `threshold`": the least α whose lower limit exceeds it."""
    return _p(_checked(values, worst), threshold, worst[0], +1)


def p_below(values: Any, threshold: float, worst: tuple[float, float]) -> float:
    """One-sided p-value against "the mean is at least `threshold`": the least α whose upper limit is below it."""
    return _p(_checked(values, worst), threshold, worst[1], -1)


def _checked(values: Any, worst: tuple[float, float]) -> Float:
    matrix = as_matrix(values, "values")
    low, high = worst
    slack = 1e-6 * (high - low)  # float32 metrics
    if not low < high or bool(((matrix < low - slack) | (matrix > high + slack)).any()):
        raise InputError(
            f"values reach from {np.nanmin(matrix):g} to {np.nanmax(matrix):g}, but were said to lie in "
            f"[{low:g}, {high:g}]: clip the metric to its range, or state the range."
        )
    return matrix


def _limit(matrix: Float, pseudo: float, side: int, alpha: float) -> float:
    summary = moments(with_pseudo_users(matrix[None], (pseudo,)))
    mean, seeds, users = summary.project(np.ones(1))
    return mean + side * summary.half_width(seeds, users, alpha)


def _p(matrix: Float, threshold: float, pseudo: float, side: int) -> float:
    summary = moments(with_pseudo_users(matrix[None], (pseudo,)))
    return p_beyond(summary, np.ones(1), threshold, side)


def p_beyond(summary: Moments, weights: Float, threshold: float, side: int) -> float:
    """One-sided p-value that a combination of means lies on this side (+1 above, −1 below) of `threshold`.

    Inverts the limit over α: half_width(α) = distance, by bisection in log α.

    Args:
        summary: of measurements to which the pseudo-users of this side have been added. weights: [V].
    """
    from scipy.optimize import brentq

    mean, seeds, users = summary.project(weights)
    distance = side * (mean - threshold)

    def excess(log_alpha: float) -> float:
        return summary.half_width(seeds, users, float(np.exp(log_alpha))) - abs(distance)

    if distance == 0 or excess(np.log(0.5)) >= 0:  # at α = ½ the half-width is 0
        tail = 0.5
    elif excess(np.log(SMALLEST_P)) <= 0:
        tail = SMALLEST_P
    else:
        tail = float(np.exp(brentq(excess, np.log(SMALLEST_P), np.log(0.5), xtol=1e-13, rtol=1e-13)))
    return tail if distance > 0 else 1.0 - tail
