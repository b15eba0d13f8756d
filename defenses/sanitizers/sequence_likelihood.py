"""Sequence likelihood: a sequence that people's transitions make improbable is suspect, and so is one too probable.

With ℓ_t = −log p(x_t | x_{t−1}) of a first-order Markov chain, four numbers of each user:

    mean of ℓ;   greatest and least mean of ℓ over `window` rows in a row;   standard deviation of ℓ

each relative to users of the same length (`beside_length`) and in robust units z, the distance from the users' median
over the median distance on that side of it:

    suspicion_u = √(Σ z²).

It is two-sided: high numbers show items spliced in or drawn at random, low ones a generated sequence, which is too
probable or too even. It is cross-fitted: the users are dealt into folds, and nobody is scored by a chain that counted
them. Smoothing towards popularity has no parameter (`Transitions.log_probability`). Folds go by what a user holds, so
that copies of a profile share a fold and cannot vouch for each other.

Source: own; the likelihood of a sequence as a sign of anomaly is that of Ye, "A Markov Chain Model of Temporal Behavior
for Anomaly Detection", IEEE SMC 2000. Known deviations: first order only; four numbers in place of one.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.defense import Detector
from robust.defenses.sanitizers.profile_features import beside_length, profile_keys
from robust.defenses.transitions import Transitions
from robust.log import InteractionLog

Float64 = NDArray[np.float64]


class SequenceLikelihood(Detector):
    """Suspects users whose sequences are unusually improbable, probable, uneven or even.

    Attributes:
        folds: in how many parts the users are dealt. window: rows of the windows whose extremes count.
    """

    name: ClassVar[str] = "sequence-likelihood"
    source: ClassVar[str] = "own; after Ye, IEEE SMC 2000; smoothing: Witten and Bell, IEEE Trans. Inf. Theory 1991"
    weaknesses: ClassVar[str] = (
        "Fakes teach the chain that judges them: where many profiles share their transitions, as targets that "
        "alternate with other items do, these become probable, and such fakes may look more normal than genuine users. "
        "An order that was learnt from genuine users costs little to copy. On a log without a true order it sees "
        "popularity only."
    )
    assumptions: ClassVar[str] = "The order of rows is real, and most users follow transitions that they share."

    folds: int = Field(default=5, ge=2)
    window: int = Field(default=5, ge=1)

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """float64 [n_users], at least 0, in robust standard deviations; 0 for users without rows."""
        suspicion = np.zeros(log.n_users)
        seed = int(rng.integers(2**63))
        if len(log):
            fold = (profile_keys(log, seed) % np.uint64(self.folds)).astype(np.int64)
            numbers = summaries(log, cross_fitted(log, fold), self.window)
            numbers = beside_length(numbers, log.lengths[log.lengths > 0])
            suspicion[log.lengths > 0] = np.sqrt(sum(robust_units(column) ** 2 for column in numbers.T))
        return suspicion


def cross_fitted(log: InteractionLog, fold: NDArray[np.int64]) -> Float64:
    """float64 [rows], −log p of each row in nats, by a chain that counted the users of all other folds.

    Args:
        fold: int64 [n_users].
    """
    before = np.zeros(len(log), dtype=np.int32)
    follows = log.position > 0
    before[follows] = log.item[:-1][follows[1:]]
    surprise = np.empty(len(log))
    of_row = fold[log.user]
    for one in np.unique(of_row):
        own = of_row == one
        chain = Transitions.count(log.rows(~own), smoothing=1.0)
        surprise[own] = -chain.log_probability(before[own], log.item[own])
    return surprise


def summaries(log: InteractionLog, surprise: Float64, window: int) -> Float64:
    """float64 [active, 4]: mean, greatest and least mean over a window, standard deviation, of each user with rows.

    Users with fewer rows than a window have one window.
    """
    active = np.flatnonzero(log.lengths > 0)
    starts, lengths = log.offsets[active], log.lengths[active]
    mean = np.add.reduceat(surprise, starts) / lengths
    spread = np.sqrt(np.add.reduceat((surprise - np.repeat(mean, lengths)) ** 2, starts) / lengths)
    sums = surprise.copy()  # shifted copies rather than a running sum: no user's rounding reaches the next one
    for lag in range(1, window):
        sums[lag:] += surprise[:-lag]
    whole = log.position >= window - 1
    greatest = np.maximum.reduceat(np.where(whole, sums / window, -np.inf), starts)
    least = np.minimum.reduceat(np.where(whole, sums / window, np.inf), starts)
    short = lengths < window
    return np.stack([mean, np.where(short, mean, greatest), np.where(short, mean, least), spread], axis=1)


def robust_units(values: Float64) -> Float64:
    """|values − median| over the median distance on the same side of it; over the mean one where that is 0."""
    apart = values - np.median(values)
    units = np.zeros(len(values))
    for side in (apart >= 0, apart <= 0):
        distance = np.abs(apart[side])
        scale = float(np.median(distance)) or float(distance.mean()) or 1.0
        units[side] = distance / scale
    return units
