"""Time bursts: items that many users take within a day, and users whose pace is unlike others'.

Ours, of standard parts: window counts with a Poisson tail (scan statistics: Naus, JASA 1965), CUSUM (Page, Biometrika
1954) for the rate of a Poisson process, and the harmonic mean p-value (Wilson, PNAS 2019). Let Λ(t) be the share of all
rows up to t, with the activity of a `season` spread evenly over it, so that a burst hardly raises what is expected. An
item's n events, one per user, are expected uniformly in Λ. For an event at t:

    window   p = P[Poisson((n − 1) ΔΛ) ≥ other events within `window`, centred on t]
    CUSUM    S⁺ⱼ = max(0, S⁺ⱼ₋₁ + log ρ − (ρ − 1) n ΔΛⱼ), the log-likelihood ratio of a rate ρ = `rise` times as high,
             and S⁻ from the end; each is at least s with probability at most e⁻ˢ and they are independent, so that
             p = (1 + S) e⁻ˢ for S = S⁺ + S⁻

Two more are empirical p-values, of both tails, among users of about the same length: of the median gap (speed), and of
the entropy of gaps by their order of magnitude (a machine's are even). With H the harmonic mean,

    suspicion_u = −log₁₀ H(H(windows of u's rows), H(CUSUM of u's rows), speed, entropy).

Events of an item that tie in time share their largest S, and are spread over the clock's smallest step, since in a log
of whole days each day would else be a burst. First rows are not looked at: where a log is cut out of a longer one, most
accounts seem to begin on its first day.

Known deviations: all. A log whose times are positions, or all equal, cannot be judged: `check_log` refuses it, and
`suspicion` is then 0 for all users with rows. A user of one row has no gaps: p = 1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.defense import Detector
from robust.errors import InputError
from robust.log import Bool, Int32, Int64, InteractionLog

DAY = 86_400
STRATUM = 200
"""Users are compared with at least about as many of the nearest lengths."""

Float = NDArray[np.float64]


class TimeBursts(Detector):
    """Suspects users whose items have bursts when they take them, and whose pace is unlike others'.

    Attributes:
        window: how long a burst is that is looked for, in the unit of the log's times (seconds in all embedded logs).
        season: over how long activity is averaged for what is expected; a burst is much shorter.
        rise: how many times the usual rate a burst has, for the CUSUM.
    """

    name: ClassVar[str] = "time-bursts"
    source: ClassVar[str] = "Naus, JASA 1965; Page, Biometrika 1954; Wilson, PNAS 2019; their combination ours"
    assumptions: ClassVar[str] = "Times are kept, by a clock that the attacker cannot set, and fake users act together."
    weaknesses: ClassVar[str] = (
        "Fake users who act over months, at the pace of genuine ones, are like anybody. Genuine bursts (a release, a "
        "sale, a campaign that brings newcomers) are suspected as well. Times that accounts report themselves can be "
        "made up."
    )

    window: float = Field(default=DAY, gt=0)
    season: float = Field(default=30 * DAY, gt=0)
    rise: float = Field(default=5.0, gt=1)

    def check_log(self, log: InteractionLog) -> None:
        """Refuse a log without times.

        Raises:
            InputError: times are positions or all equal, or the threshold can never flag anybody.
        """
        super().check_log(log)
        if not _has_times(log):
            raise InputError(
                f"'{self.name}' looks at times, and those of {log.name} are positions or all equal. Name the column "
                "with the times, or leave this detector out."
            )

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> Float:
        """float64 [n_users], from about 0; −1, the least, for users without rows. Draws nothing."""
        suspicion = np.where(log.lengths > 0, 0.0, -1.0)
        if not _has_times(log):
            return suspicion
        active = np.flatnonzero(log.lengths > 0)
        pairs = log.user.astype(np.int64) * (log.n_items + 1) + log.item
        first = np.unique(pairs, return_index=True)[1]  # rows are in order of time: the first of each pair
        begins = np.searchsorted(log.user[first], active)
        order = np.lexsort((log.timestamp[first], log.item[first]))
        item, time = log.item[first][order], log.timestamp[first][order]
        clock = Clock(log.timestamp, self.season)
        parts = _pace(log, active)
        for found in (window_tail(item, time, clock, self.window), cusum_tail(item, time, clock, self.rise)):
            by_user = np.empty(len(found))
            by_user[order] = found
            parts.append(_harmonic(by_user, begins))
        suspicion[active] = -_harmonic(np.stack(parts).T.ravel(), np.arange(len(active)) * len(parts)) / np.log(10)
        return suspicion


def _has_times(log: InteractionLog) -> bool:
    """Whether there are times; fake users with times of their own, in a log of positions, make it no log with times."""
    return len(log) > 0 and log.timestamp.min() < log.timestamp.max() and np.mean(log.timestamp == log.position) < 0.5


class Clock:
    """Λ: the share of all activity up to a time, spread evenly over each season.

    Attributes:
        first, last: the first and last time. step: the smallest between two times.
    """

    def __init__(self, activity: Int64, season: float) -> None:
        moments = np.unique(activity)
        self.first, self.last = int(moments[0]), int(moments[-1])
        self.step = int(np.diff(moments).min())
        seasons = max(round((self.last - self.first) / season), 1)
        self.edges = np.linspace(0, self.last - self.first, seasons + 1)
        counts = np.histogram(activity - self.first, self.edges)[0]
        self.shares = np.concatenate([[0.0], np.cumsum(counts) / len(activity)])

    def __call__(self, since: Float) -> Float:
        """Λ at times since the first."""
        return np.asarray(np.interp(since, self.edges, self.shares))


def window_tail(item: Int32, time: Int64, clock: Clock, window: float) -> Float:
    """float64 [M], log P[Poisson ≥ others within the window], for events in order of (item, time)."""
    from scipy.special import gammainc

    since = (time - clock.first).astype(np.float64)
    half, kinds = window / 2, int(item.max()) + 1
    # one sorted key for all items, so that one search does for all: a float64 is exact up to 2^53
    unit = max((clock.last - clock.first + window) * kinds / 2**52, 1.0)
    ticks = np.floor(since / unit)
    stride = np.floor((clock.last - clock.first + window) / unit) + 2
    key = item * stride + ticks
    reach = np.floor(half / unit)
    others = np.searchsorted(key, key + reach, "right") - np.searchsorted(key, key - reach, "left") - 1
    expected = (np.bincount(item)[item] - 1) * (clock(since + half) - clock(since - half))
    with np.errstate(divide="ignore"):
        exact = np.log(np.where(others > 0, gammainc(np.maximum(others, 1), expected), 1.0))
        # where the tail underflows, Chernoff's bound of it
        bound = others - expected - others * np.log(np.maximum(others, 1) / np.where(expected > 0, expected, 1.0))
    return np.where(np.isfinite(exact), exact, bound)


def cusum_tail(item: Int32, time: Int64, clock: Clock, rise: float) -> Float:
    """float64 [M], log (1 + S) e⁻ˢ, for events in order of (item, time)."""
    begins = np.concatenate([[True], (item[1:] != item[:-1])])
    moment = np.flatnonzero(begins | np.concatenate([[True], time[1:] != time[:-1]]))
    tied = np.diff(np.append(moment, len(item)))
    place = np.arange(len(item)) - np.repeat(moment, tied)
    spread = (place + 0.5) / np.repeat(tied, tied) * clock.step
    gap = np.diff(clock(time - clock.first + spread), prepend=0.0) * np.bincount(item)[item]
    gain = np.log(rise) - (rise - 1) * gap
    later = _reflected(np.append(gain[1:], 0.0)[::-1], np.append(begins[1:], True)[::-1], np.log(rise))[::-1]
    total = _reflected(gain, begins, np.log(rise)) + later
    total = np.repeat(np.maximum.reduceat(total, moment), tied)
    return np.asarray(np.log1p(total) - total)


def _reflected(gain: Float, begins: Bool, most: float) -> Float:
    """S_j = max(0, S_{j−1} + gain_j), and 0 where a series begins: a walk less its least value so far.

    Args:
        gain: [M], no more than `most`; what stands where a series begins is not looked at.
    """
    longest = int(np.diff(np.append(np.flatnonzero(begins), len(gain))).max())
    # where a series begins the walk falls by more than it can have risen, and so below all that it was
    walk = np.cumsum(np.where(begins, -1 - most * longest, gain))
    return np.asarray(walk - np.minimum.accumulate(walk))


def _harmonic(logs: Float, starts: Int64) -> Float:
    """The log of the harmonic mean of p, from log p, of each stretch that starts there."""
    count = np.diff(np.append(starts, len(logs)))
    most = np.maximum.reduceat(-logs, starts)
    sums = np.add.reduceat(np.exp(-logs - np.repeat(most, count)), starts)
    return np.asarray(np.log(count) - most - np.log(sums))


def _pace(log: InteractionLog, active: Int64) -> list[Float]:
    """log p of speed and of entropy, [active] each; 0 for users of one row."""
    same = log.user[1:] == log.user[:-1]
    user, gap = log.user[1:][same], np.diff(log.timestamp)[same]
    paced = np.flatnonzero(log.lengths[active] > 1)
    lengths = log.lengths[active[paced]] - 1
    starts = np.cumsum(lengths) - lengths
    median = gap[np.lexsort((gap, user))][starts + (lengths - 1) // 2]
    cells, counts = np.unique(user.astype(np.int64) * 64 + np.log2(gap + 1.0).astype(np.int64), return_counts=True)
    share = counts / (log.lengths[cells // 64] - 1)
    entropy = np.bincount(cells // 64, -share * np.log(share), log.n_users)[active[paced]]
    strata = max(len(paced) // STRATUM, 1)
    edges = np.unique(np.quantile(lengths, np.arange(1, strata) / strata)) if len(paced) else np.zeros(0)
    stratum = np.searchsorted(edges, lengths, "right")
    found = [np.zeros(len(active)), np.zeros(len(active))]
    for logs, value in zip(found, (median, np.round(entropy, 9)), strict=True):
        either = np.minimum(share_below(value, stratum), share_below(-value, stratum))
        logs[paced] = np.log(np.minimum(2 * either, 1))
    return found


def share_below(value: NDArray[np.float64 | np.int64], stratum: Int64) -> Float:
    """The share of a stratum that has this value or less."""
    order = np.lexsort((value, stratum))
    ranked, of = value[order], stratum[order]
    last = np.append((ranked[1:] != ranked[:-1]) | (of[1:] != of[:-1]), True)[: len(order)]
    ends = np.flatnonzero(last)
    upto = np.repeat(ends, np.diff(ends, prepend=-1)) + 1
    size = np.bincount(stratum)
    share = np.empty(len(order))
    share[order] = (upto - (np.cumsum(size) - size)[of]) / size[of]
    return share
