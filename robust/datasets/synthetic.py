"""Logs whose structure is known: Markov order, popularity, trend, season and drift, each exact and each on its own.

At every step a user follows the chain with probability `concentration`, and otherwise draws from the background:

    P(j | x, t) = concentration · chain(j | x, t) + (1 − concentration) · background(j | t)

The chain sends the last `order` items x to π[(Σ cᵢ xᵢ + o) mod n], where π is a permutation, every cᵢ is coprime to n
and the branch o has a fixed probability. It is a Latin square: where the background is uniform, any order − 1 of the
last items say nothing about the next, all `order` of them say everything. Drift moves the chain from π to a second
permutation. The background is Zipf popularity, tilted by a trend and a season of its own for each item:

    background(j | t) ∝ rank(j)^(−popularity) · exp(trend · slopeⱼ · t/span + season · cos(2π (t/period + phaseⱼ)))
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust.errors import InputError
from robust.log import Int32, Int64, InteractionLog

DAY = 86_400
SLICES = 256  # the background is constant within one of as many equal parts of the span
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Structure:
    """The truth behind a synthetic log. Items are 1…n in every argument and result, 0 is padding.

    Attributes:
        coefficients: int64 [order], cᵢ, the oldest item's first.
        before, after: int64 [n], the chain's permutation of 0…n − 1 at the beginning, and what drift leads to.
        branches: [m], the probability of each branch o.
        rank: int64 [n], from 1, the popularity rank; slope: [n] in [−1, 1]; phase: [n] in [0, 1).
        concentration: how often the chain is followed. drift: how often, at the end of the span, by `after`.
        popularity: Zipf exponent, 0 is uniform. trend, season: the strength of each in the exponent.
        span, period: seconds.
    """

    coefficients: Int64
    before: Int64
    after: Int64
    branches: Float
    rank: Int64
    slope: Float
    phase: Float
    concentration: float
    drift: float
    popularity: float
    trend: float
    season: float
    span: int
    period: int

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.before)

    @property
    def order(self) -> int:
        """How many of the last items decide the next."""
        return len(self.coefficients)

    @cached_property
    def backgrounds(self) -> Float:
        """[SLICES, n], the background in each part of the span."""
        time = (np.arange(SLICES)[:, None] + 0.5) / SLICES * self.span
        wave = np.cos(2 * np.pi * (time / self.period + self.phase))
        tilt = self.trend * self.slope * time / self.span + self.season * wave
        weight: Float = np.asarray(self.rank.astype(float) ** -self.popularity * np.exp(tilt), dtype=np.float64)
        shares: Float = weight / weight.sum(axis=1, keepdims=True)
        return shares

    def slices(self, timestamps: ArrayLike) -> Int64:
        """The part of the span, 0…SLICES − 1, that each time falls into."""
        part = np.asarray(timestamps, dtype=np.int64) * SLICES // self.span
        return np.clip(part, 0, SLICES - 1)

    def background(self, timestamps: ArrayLike) -> Float:
        """[B, n + 1], the distribution off the chain at each time; column 0 is 0."""
        shares = self.backgrounds[self.slices(timestamps)]
        return np.pad(shares, ((0, 0), (1, 0)))

    def state(self, histories: NDArray[np.integer[Any]]) -> Int64:
        """int64 [B], Σ cᵢ xᵢ mod n over the last `order` columns of histories [B, L ≥ order]."""
        items = histories[:, -self.order :].astype(np.int64) - 1
        return items @ self.coefficients % self.n_items

    def probabilities(self, histories: NDArray[np.integer[Any]], timestamps: ArrayLike) -> Float:
        """[B, n + 1], the true distribution of the next item; column 0 is 0.

        Args:
            histories: [B, L], left-padded; rows with fewer than `order` items draw from the background alone.
            timestamps: [B], when the next event happens.
        """
        times = np.asarray(timestamps, dtype=np.int64)
        chained: Float = np.asarray(self.concentration * (histories[:, -self.order :] > 0).all(axis=1))
        drifted: Float = np.asarray(self.drift * times / self.span, dtype=np.float64)
        result = self.background(times) * (1 - chained)[:, None]
        places = (self.state(histories)[:, None] + np.arange(len(self.branches))) % self.n_items
        rows = np.arange(len(times))[:, None]
        for permutation, share in ((self.before, 1 - drifted), (self.after, drifted)):
            result[rows, permutation[places] + 1] += (chained * share)[:, None] * self.branches
        return result

    def best(self, histories: NDArray[np.integer[Any]], timestamps: ArrayLike, k: int) -> Int32:
        """int32 [B, k], the Bayes-optimal list: no recommender that sees what `probabilities` sees hits more often."""
        order = np.argsort(-self.probabilities(histories, timestamps)[:, 1:], axis=1, kind="stable")
        return (order[:, :k] + 1).astype(np.int32)


@dataclass(frozen=True)
class Synthetic:
    """A log and the structure that it was drawn from."""

    log: InteractionLog
    structure: Structure


def generate(
    *,
    users: int,
    items: int,
    length: float,
    rng: np.random.Generator,
    order: int = 1,
    concentration: float = 0.8,
    branches: int = 3,
    popularity: float = 0.0,
    trend: float = 0.0,
    season: float = 0.0,
    drift: float = 0.0,
    days: int = 60,
    period_days: int = 7,
) -> Synthetic:
    """Draw a log. Every user's events are spread over the whole span, so that trend and drift reach everybody.

    Args:
        length: mean number of events per user (2 + Poisson), at least 2.
        order: Markov order, 1 to 3.
        branches: how many successors a state has; each is half as likely as the one before.
        concentration, popularity, trend, season, drift: see `Structure`.
        days, period_days: the span of time, and the season's period.

    Raises:
        InputError: an argument outside its range.
    """
    _check(1 <= order <= 3, "order", order, "1, 2 or 3")
    _check(users >= 1, "users", users, "at least 1")
    _check(items >= 2, "items", items, "at least 2")
    _check(length >= 2, "length", length, "at least 2")
    _check(1 <= branches <= items, "branches", branches, f"1 to {items}, the number of items")
    _check(0 <= concentration <= 1, "concentration", concentration, "0 to 1")
    _check(0 <= drift <= 1, "drift", drift, "0 to 1")
    _check(days >= 1, "days", days, "at least 1")
    _check(period_days >= 1, "period_days", period_days, "at least 1")
    coprime = np.flatnonzero(np.gcd(np.arange(items + 1), items) == 1)
    halves = 0.5 ** np.arange(branches)
    structure = Structure(
        coefficients=rng.choice(coprime, size=order),
        before=rng.permutation(items),
        after=rng.permutation(items),
        branches=halves / halves.sum(),
        rank=rng.permutation(items) + 1,
        slope=rng.uniform(-1, 1, items),
        phase=rng.random(items),
        concentration=concentration,
        drift=drift,
        popularity=popularity,
        trend=trend,
        season=season,
        span=days * DAY,
        period=period_days * DAY,
    )
    return Synthetic(_draw(structure, users, length, rng), structure)


def load() -> InteractionLog:
    """The dataset `synthetic`: 1,000 users, 200 items, about 30,000 events, a little of everything; always the same."""
    rng = np.random.default_rng(2026)
    return generate(
        users=1000, items=200, length=30, rng=rng, concentration=0.6, popularity=0.8, trend=1.0, season=0.5, drift=0.2
    ).log


def _draw(structure: Structure, users: int, length: float, rng: np.random.Generator) -> InteractionLog:
    lengths = 2 + rng.poisson(length - 2, users)
    width = int(lengths.max())
    real = np.arange(width) < lengths[:, None]
    times = np.sort(np.where(real, rng.integers(0, structure.span, (users, width)), structure.span), axis=1)
    slices = structure.slices(times)
    # one table for all times: slice s covers (s, s + 1], so that one search draws for all users at once
    cumulative = structure.backgrounds.cumsum(axis=1)
    table = (cumulative / cumulative[:, -1:] + np.arange(SLICES)[:, None]).ravel()
    items = np.searchsorted(table, slices + rng.random((users, width)), side="right") % structure.n_items + 1
    follows = rng.random((users, width)) < structure.concentration
    branch = rng.choice(len(structure.branches), size=(users, width), p=structure.branches)
    drifted = rng.random((users, width)) < structure.drift * times / structure.span
    for step in range(structure.order, width):  # a recurrence: each event depends on those before it
        place = (structure.state(items[:, :step]) + branch[:, step]) % structure.n_items
        successor = np.where(drifted[:, step], structure.after[place], structure.before[place]) + 1
        items[:, step] = np.where(follows[:, step], successor, items[:, step])
    owner = np.broadcast_to(np.arange(users)[:, None], items.shape)
    return InteractionLog.from_columns(
        owner[real], items[real], times[real], n_users=users, n_items=structure.n_items, name="synthetic"
    )


def _check(holds: bool, name: str, given: float, expected: str) -> None:
    if not holds:
        raise InputError(f"A synthetic log needs {name} = {expected}; got {given}.")
