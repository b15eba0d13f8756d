"""Is one model's attacked level worse than another's? Two runs on the same users, paired over them.

The loss is relative to the base's attacked level where the metric is one of quality (tested as by `contrasts`, never
as a ratio), and absolute where it is exposure or a level of which less is better. Users are the same in both runs, so
what a user is like cancels. Seeds cancel only where both runs have the same ones: they share targets and the attack's
randomness then, and are compared seed by seed; otherwise the spreads of both count, with Welch's degrees of freedom.

Whether the candidate falls deeper from where it stood is told beside it, by the delta method, and not tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robust.errors import InputError
from robust.statistics.contrasts import Kind, fieller_ends, paired
from robust.statistics.intervals import Limits, p_beyond
from robust.statistics.moments import Float, Moments, moments, two_samples, with_pseudo_users


@dataclass(frozen=True)
class Difference:
    """How a candidate differs from a base; positive = the candidate is worse.

    Attributes:
        loss: of the attacked level, relative to the base's for a drop, else absolute; with one-sided limits at α. None
            where the base's attacked level cannot be told from 0, so that nothing is relative to it.
        absolute: the same loss in the metric's units. p_worse, p_better: one-sided p-values that there is one, or a
            gain. means: of base clean, base attacked, candidate clean and candidate attacked.
        deeper: the candidate's change minus the base's (of relative drops, or of rises), with limits that are about
            right for many users; None for a level, and where a clean mean is 0.
        clean: loss of the clean level in the metric's units, with its limits; None for a level.
    """

    loss: Limits | None
    absolute: float
    p_worse: float
    p_better: float
    means: tuple[float, ...]
    deeper: Limits | None
    clean: Limits | None
    n_users: int
    n_seeds: int


def difference(
    base: tuple[Float, Float],
    candidate: tuple[Float, Float],
    *,
    kind: Kind,
    alpha: float,
    same_seeds: bool,
    scale: float = 1.0,
) -> Difference:
    """Compare two runs.

    Args:
        base, candidate: clean and attacked, float [S, n] each, the same users in the same order; one row is a fixed
            model. NaN: a user missing under a seed.
        kind: of the metric's bound. alpha: one-sided error of each limit.
        same_seeds: the rows of both are the same seeds, in the same order.

    Raises:
        InputError: shapes, or values outside the metric's range. NotApplicable: nobody is left to measure.
    """
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha = {alpha}: expected a number between 0 and 0.5.")
    blocks = [paired(*run, kind, scale) for run in (base, candidate)]
    better = 1.0 if kind == "drop" else -1.0  # whether more of the metric is better

    def summary(pseudo: tuple[float, float] | None) -> Moments:
        """With two users at `pseudo`, the attacked levels of base and candidate (the clean ones alike)."""
        whole = [
            block if pseudo is None else with_pseudo_users(block, (value, value))
            for block, value in zip(blocks, pseudo or (0.0, 0.0), strict=True)
        ]
        return moments(np.concatenate(whole)) if same_seeds else two_samples(whole[0], whole[1], attacked)

    attacked = better * np.array([0.0, 1.0, 0.0, -1.0])
    good, bad = (scale, 0.0) if better > 0 else (0.0, scale)
    plain, upper, lower = summary(None), summary((good, bad)), summary((bad, good))
    means = plain.mean
    absolute = float(attacked @ means)
    return Difference(
        loss=_loss(plain, lower, upper, attacked, kind, alpha),
        absolute=absolute,
        p_worse=p_beyond(lower, attacked, 0.0, +1),
        p_better=p_beyond(upper, attacked, 0.0, -1),
        means=tuple(float(mean) for mean in means),
        deeper=_deeper(plain, kind, alpha),
        clean=None if kind == "level" else _around(plain, better * np.array([1.0, 0.0, -1.0, 0.0]), alpha),
        n_users=plain.n_users,
        n_seeds=plain.n_seeds,
    )


def _loss(plain: Moments, lower: Moments, upper: Moments, weights: Float, kind: Kind, alpha: float) -> Limits | None:
    if kind != "drop":
        ends = [_limit(side, weights, alpha, sign) for side, sign in ((lower, -1), (upper, +1))]
        return Limits(float(weights @ plain.mean), *ends)
    level = np.array([0.0, 1.0, 0.0, 0.0])
    if _limit(lower, level, alpha, -1) <= 0:
        return None
    ends_of = [_attacked_only(side) for side in (lower, upper)]
    return Limits(1.0 - float(plain.mean[3] / plain.mean[1]), *fieller_ends(ends_of[0], ends_of[1], alpha))


def _attacked_only(summary: Moments) -> Moments:
    """Of the attacked levels of base and candidate alone."""
    own = np.array([1, 3])
    chosen = np.ix_(own, own)
    return Moments(
        summary.mean[own],
        summary.seeds[chosen],
        summary.users[chosen],
        summary.n_seeds,
        summary.n_users,
        summary.seed_degrees,
    )


def _deeper(plain: Moments, kind: Kind, alpha: float) -> Limits | None:
    if kind == "level":
        return None
    if kind == "rise":
        return _around(plain, np.array([1.0, -1.0, -1.0, 1.0]), alpha)
    base_clean, base, clean, attacked = plain.mean
    if base_clean <= 0 or clean <= 0:
        return None
    gradient = np.array([-base / base_clean**2, 1 / base_clean, attacked / clean**2, -1 / clean])
    around = _around(plain, gradient, alpha)
    mean = float(base / base_clean - attacked / clean)
    return Limits(mean, mean + around.low - around.mean, mean + around.high - around.mean)


def _limit(summary: Moments, weights: Float, alpha: float, side: int) -> float:
    mean, seeds, users = summary.project(weights)
    return mean + side * summary.half_width(seeds, users, alpha)


def _around(summary: Moments, weights: Float, alpha: float) -> Limits:
    ends = (_limit(summary, weights, alpha, side) for side in (-1, +1))
    return Limits(float(weights @ summary.mean), *ends)
