"""How many users a verdict needs, and what an inconclusive one lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robust.errors import InputError
from robust.statistics.contrasts import Kind, contrast
from robust.statistics.moments import Float, moments, quantile

MOST_USERS = 10**8
"""Beyond this, more users are no answer."""


def users_needed(
    limit: float, *, kind: Kind = "rise", alpha: float = 0.05, clean: Any = None, scale: float = 1.0
) -> int | None:
    """The least number of users with which an attack that changes *nothing* can be told to keep the bound.

    About 4.3/δ users for an absolute bound δ (in units of the metric's range) at α = .05; a stricter look needs more.

    Args:
        limit, kind, scale: the bound, as for `contrast`.
        alpha: one-sided level of the look.
        clean: float [S, n] or [n], the clean metric, which a relative drop needs: what counts is limit · clean mean.

    Returns:
        The number of users; None if no number is enough (a bound of 0, a clean mean of 0).
    """
    if kind == "drop":
        if clean is None:
            raise InputError("users_needed: a relative drop needs the clean metric.")
        values, threshold, worst = contrast(clean, clean, kind, limit, scale=scale)
    else:
        values, threshold, worst = np.zeros((1, 2)), limit, (-scale, scale)
    summary = moments(values[None])
    mean, _, users = summary.project(np.ones(1))
    return _least(_upper_limit(mean - threshold, 0.0, users * summary.n_users, 1, worst[1] - threshold, alpha))


def users_to_decide(values: Float, threshold: float, worst: tuple[float, float], alpha: float) -> int | None:
    """About how many users would decide the bound if means and variances stayed as measured, seeds included.

    None: no number of users would, since the seeds alone leave it open.
    """
    summary = moments(values[None])
    mean, seeds, users = summary.project(np.ones(1))
    side = 1.0 if mean <= threshold else -1.0
    pseudo = side * ((worst[1] if side > 0 else worst[0]) - threshold)
    return _least(
        _upper_limit(side * (mean - threshold), seeds, users * summary.n_users, summary.n_seeds, pseudo, alpha)
    )


def _upper_limit(
    mean: float, seeds: float, variance: float, n_seeds: int, pseudo: float, alpha: float
) -> Callable[[int], float]:
    """The plus-two upper limit as a function of the number of users, for users of this mean and variance."""

    def limit(n: int) -> float:
        total = n + 2
        squares = n * variance + 2 * n / total * (pseudo - mean) ** 2  # around the mean with both pseudo-users
        width = quantile(alpha, total - 1) ** 2 * squares / ((total - 1) * total)
        if n_seeds > 1:
            width += quantile(alpha, n_seeds - 1) ** 2 * seeds * (n / total) ** 2
        return float((n * mean + 2 * pseudo) / total + np.sqrt(width))

    return limit


def _least(limit: Callable[[int], float]) -> int | None:
    """The least n with limit(n) < 0, by doubling and bisection."""
    high = 2
    while limit(high) >= 0:
        high *= 2
        if high > MOST_USERS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if limit(middle) < 0 else (middle, high)
    return high
