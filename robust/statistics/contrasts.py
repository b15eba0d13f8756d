"""What a bound limits: a relative drop, an absolute rise, or a level, as a mean that can be tested.

A relative drop is never formed as a ratio of means: its distribution is poor where the clean mean is small. "The drop
is at most ρ" is "the mean of z = clean − attacked − ρ·clean is at most 0" (Fieller, 1954), and the interval of the
relative drop is the set of ρ that this test does not reject. Interval and verdict therefore cannot disagree.

All three kinds are linear in the pair (clean, attacked), so the two pseudo-users of the plus-two interval are pairs,
too: at the worst, (1, 0) for the upper limit of a drop and (0, 1) for the lower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from robust.errors import InputError, NotApplicable, UnknownName
from robust.statistics.intervals import Limits
from robust.statistics.moments import Float, Moments, as_matrix, moments, with_pseudo_users

Kind = Literal["drop", "rise", "level"]


class CleanMeanNearZero(NotApplicable):
    """A relative bound has no meaning yet: the clean mean cannot be told from 0."""


def contrast(
    clean: Any, attacked: Any, kind: Kind, limit: float, *, scale: float = 1.0
) -> tuple[Float, float, tuple[float, float]]:
    """Values, threshold and range such that "the bound is kept" is "mean(values) ≤ threshold".

    Args:
        clean, attacked: float [S, n], the same users under the same seeds; NaN: a user missing under a seed.
        kind: `drop` (relative), `rise` (attacked − clean) or `level` (attacked).
        limit: the bound: relative for a drop, in the metric's units otherwise.
        scale: the metric's greatest value. A metric lies in [0, scale]; for a rise only the difference must lie within
            ±scale, so `clean` may be 0 and `attacked` a rank shift.

    Returns:
        values [S, n], the threshold, and the least and greatest value that a user could have.

    Raises:
        InputError: shapes differ, values lie outside the range, or the bound bounds nothing.
    """
    arms = paired(clean, attacked, kind, scale)
    if not np.isfinite(limit) or (kind == "drop" and limit >= 1):
        raise InputError(f"limit = {limit}: expected a number; a relative drop is bounded by less than 1 (100%).")
    if kind == "drop":
        return arms[0] - arms[1] - limit * arms[0], 0.0, (-scale, (1 - limit) * scale)
    if kind == "rise":
        return arms[1] - arms[0], limit, (-scale, scale)
    return arms[1], limit, (0.0, scale)


def change_limits(clean: Any, attacked: Any, kind: Kind, alpha: float, *, scale: float = 1.0) -> Limits:
    """The change in report units (relative for a drop, else absolute; positive = worse) and its one-sided limits.

    Arguments as for `contrast`.

    Raises:
        InputError: shapes differ, or values lie outside the range.
        NotApplicable: nobody is left. CleanMeanNearZero, its child: a relative bound has no meaning here.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha = {alpha}: expected a number between 0 and 1.")
    arms = paired(clean, attacked, kind, scale)
    means = moments(arms).mean
    if kind == "drop":
        return _relative_limits(arms, means, alpha, scale)
    weights = np.array([-1.0, 1.0]) if kind == "rise" else np.array([0.0, 1.0])
    low, high = ((scale, 0.0), (0.0, scale))
    sides = []
    for pseudo, side in ((low, -1), (high, +1)):
        summary = moments(with_pseudo_users(arms, pseudo))
        mean, seeds, users = summary.project(weights)
        sides.append(mean + side * summary.half_width(seeds, users, alpha))
    return Limits(change_of(means, kind), sides[0], sides[1])


def change_of(means: Float, kind: Kind) -> float:
    """The change in report units, out of the clean and the attacked mean [2].

    Raises:
        CleanMeanNearZero: a relative drop from 0.
    """
    clean, attacked = float(means[0]), float(means[1])
    if kind == "drop":
        if clean <= 0:
            raise CleanMeanNearZero("a relative bound needs a clean mean above 0, and it is 0")
        return 1 - attacked / clean
    return attacked - clean if kind == "rise" else attacked


def _relative_limits(arms: Float, means: Float, alpha: float, scale: float) -> Limits:
    """Invert Fieller's statement over ρ.

    The upper limit of mean z falls in ρ and is convex; the lower limit falls and is concave once the clean mean is
    clear of 0. Where the upper limit does not fall below 0 by ρ = 1, the drop is only known to be at most 1.
    """
    lower = moments(with_pseudo_users(arms, (0.0, scale)))
    upper = moments(with_pseudo_users(arms, (scale, 0.0)))
    mean, seeds, users = lower.project(np.array([1.0, 0.0]))
    if mean - lower.half_width(seeds, users, alpha) <= 0:
        raise CleanMeanNearZero(
            f"a relative bound needs a clean mean above 0, but {means[0]:.3g} cannot be told from 0 with "
            f"{lower.n_users - 2} users and {lower.n_seeds} seed(s): measure more of them, or a metric with more hits"
        )
    return Limits(change_of(means, "drop"), *fieller_ends(lower, upper, alpha))


def fieller_ends(lower: Moments, upper: Moments, alpha: float) -> tuple[float, float]:
    """The ends of the set of ρ that the test of (1 − ρ)·first = second does not reject, one-sided at `alpha` each.

    Args:
        lower, upper: of two variables, with the pseudo-users of that side; the first mean is clear of 0.
    """
    return _root(_limit_of_z(lower, alpha, -1)), _root(_limit_of_z(upper, alpha, +1))


def _limit_of_z(summary: Moments, alpha: float, side: int) -> Callable[[float], float]:
    """The limit of mean z = (1 − ρ)·clean − attacked on one side, as a function of ρ."""

    def limit(rho: float) -> float:
        mean, seeds, users = summary.project(np.array([1.0 - rho, -1.0]))
        return mean + side * summary.half_width(seeds, users, alpha)

    return limit


def _root(falling: Callable[[float], float]) -> float:
    """The largest ρ ≤ 1 at which a function that is positive far to the left is not negative."""
    from scipy.optimize import brentq

    if falling(1.0) >= 0:
        return 1.0
    left = 0.0
    while falling(left) < 0:
        left = 2 * left - 1.0
        if left < -1e12:
            return left
    return float(brentq(falling, left, 1.0, xtol=1e-14, rtol=1e-14))


def paired(clean: Any, attacked: Any, kind: Kind, scale: float) -> Float:
    """Float [2, S, n]: both arms, a user missing in one made missing in the other; a level needs no clean arm."""
    if kind not in get_args(Kind):
        raise UnknownName("kind of bound", str(kind), get_args(Kind))
    if not scale > 0:
        raise InputError(f"scale = {scale}: expected the metric's greatest value, above 0.")
    after = as_matrix(attacked, "attacked")
    before = after if kind == "level" else as_matrix(clean, "clean")
    if before.shape != after.shape:
        raise InputError(
            f"clean {before.shape} and attacked {after.shape} must be the same users under the same seeds."
        )
    arms = np.stack([before, after])
    arms[:, np.isnan(arms).any(axis=0)] = np.nan
    checked = (arms[1] - arms[0] + scale) / 2 if kind == "rise" else arms
    slack = 1e-6 * scale  # float32 metrics
    if bool(((checked < -slack) | (checked > scale + slack)).any()):
        raise InputError(
            f"A metric bounded by its {kind} lies in [0, {scale:g}] (a rise: within ±{scale:g}); got values from "
            f"{np.nanmin(arms):g} to {np.nanmax(arms):g}. Clip it, or state `scale`."
        )
    return arms
