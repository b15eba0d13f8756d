"""From measurements to a verdict, with looks at 3, 5 and 10 seeds.

PASS: the upper limit of the change is below the bound. FAIL: the lower limit is above it. Otherwise INCONCLUSIVE, with
what is missing. Retrained models are looked at after 3, 5 and 10 seeds only, at one-sided levels that add up to α
(union bound), and the first decisive look stands; so adding seeds until it decides costs nothing. A fixed model under
an attack at inference has one look, at α.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from robust.errors import InputError
from robust.statistics.contrasts import CleanMeanNearZero, Kind, change_limits, change_of, contrast, paired
from robust.statistics.intervals import Limits, p_above
from robust.statistics.moments import Float, moments
from robust.statistics.reasons import Look

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

LOOKS: dict[int, float] = {3: 0.01, 5: 0.015, 10: 0.025}
"""Seeds at which a retrained model is looked at → the share of α = .05 spent there, one-sided."""

SMALL_DROP = 0.05
"""Claiming a relative drop of at most this needs at least `SEEDS_FOR_SMALL_DROP` seeds."""
SEEDS_FOR_SMALL_DROP = 5


@dataclass(frozen=True)
class Judgement:
    """A verdict on one bound.

    Attributes:
        verdict: see the module. reason: a sentence; what is missing where it is INCONCLUSIVE.
        change: in report units (relative for a drop). low, high: its limits, each one-sided at `alpha`; None where
            there are none yet.
        seeds_used: seeds of the last look (all of them before the first look). n_users: users measured at that look.
        alpha: one-sided level of the last look.
        p_fail: p-value against "the bound is kept", valid over all looks so far: min over looks j of p_j·α/α_j.
    """

    verdict: Verdict
    change: float
    low: float | None
    high: float | None
    seeds_used: int
    n_users: int
    alpha: float
    p_fail: float
    reason: str


def judge(
    clean: Any,
    attacked: Any,
    *,
    kind: Kind,
    limit: float,
    fixed_model: bool = False,
    scale: float = 1.0,
    alpha: float = 0.05,
) -> Judgement:
    """Judge a bound on all seeds measured so far; stateless, so call it again when there are more.

    Args:
        clean, attacked: float [S, n], the same users under the same seeds, in the order of the seeds; NaN: a user who
            holds all the targets of that seed. For a fixed model, rows are draws of the attack, averaged per user.
        kind, limit, scale: the bound, as for `contrast`.
        fixed_model: nothing was retrained, so only users vary.
        alpha: one-sided error of a false PASS, and of a false FAIL, over all looks together.

    Raises:
        InputError: wrong shapes, values outside the metric's range, a bound that bounds nothing.
        NotApplicable: nobody is left to measure, or a relative bound on a clean mean of 0. (A clean mean above 0 that
            cannot be told from 0 yet is INCONCLUSIVE: more seeds or users can mend it.)
    """
    arms = paired(clean, attacked, kind, scale)
    if fixed_model:
        arms = _mean_over_draws(arms)
    looks = _looks(alpha, fixed_model)
    due = [seeds for seeds in looks if seeds <= arms.shape[1]]
    small = kind == "drop" and limit <= SMALL_DROP and not fixed_model

    def look_at(seeds: int, level: float) -> Look:
        return Look(
            arms=arms[:, :seeds],
            kind=kind,
            limit=limit,
            scale=scale,
            alpha=level,
            retrained=not fixed_model,
            later=[later for later in looks if later > seeds],
            seeds_for_claim=SEEDS_FOR_SMALL_DROP if small else min(looks),
        )

    if not due:
        first = min(looks)
        reason = f"Too few seeds: {arms.shape[1]} of the {first} that anything retrained needs."
        return _open(look_at(arms.shape[1], looks[first]), 1.0, reason)
    p_fail = 1.0
    for seeds in due:
        look = look_at(seeds, looks[seeds])
        before, after = look.arms
        try:
            found = change_limits(before, after, kind, look.alpha, scale=scale)
        except CleanMeanNearZero as error:
            if seeds == due[-1]:
                return _open(look, p_fail, f"Not yet to be judged: {error}.")
            continue
        p_fail = min(p_fail, p_above(*contrast(before, after, kind, limit, scale=scale)) * alpha / look.alpha)
        verdict = _verdict(look, found)
        if verdict != "INCONCLUSIVE":
            break
    return Judgement(
        verdict=verdict,
        change=found.mean,
        low=found.low,
        high=found.high,
        seeds_used=look.n_seeds,
        n_users=look.n_users,
        alpha=look.alpha,
        p_fail=p_fail,
        reason=look.reason(verdict, found),
    )


def _verdict(look: Look, found: Limits) -> Verdict:
    if found.low > look.limit:
        return "FAIL"
    if found.high < look.limit and (not look.retrained or look.n_seeds >= look.seeds_for_claim):
        return "PASS"
    return "INCONCLUSIVE"


def _open(look: Look, p: float, reason: str) -> Judgement:
    """INCONCLUSIVE without limits."""
    change = change_of(moments(look.arms).mean, look.kind)
    return Judgement("INCONCLUSIVE", change, None, None, look.n_seeds, look.n_users, look.alpha, p, reason)


def _looks(alpha: float, fixed_model: bool) -> dict[int, float]:
    """Number of seeds → one-sided level of the look."""
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha = {alpha}: expected a number between 0 and 0.5.")
    if fixed_model:
        return {1: alpha}
    return {seeds: level * (alpha / sum(LOOKS.values())) for seeds, level in LOOKS.items()}


def _mean_over_draws(arms: Float) -> Float:
    """[2, 1, n], each user's mean over the draws in which they are present."""
    present = ~np.isnan(arms)
    total, count = np.where(present, arms, 0.0).sum(axis=1), present.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[:, None, :]
