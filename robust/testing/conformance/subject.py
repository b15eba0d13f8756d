"""A recommender under test: what it is asked about, and when two answers are the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Fittable, Recommender, Scorer, capabilities
from robust.recommenders.resolve import is_fitted
from robust.testing.conformance.base import require

TOLERANCE = 1e-4
"""Scores may differ by so much of their own size, or of that of the best scores of their row, where the same sum is
taken in another order: a float32 sum of a few thousand terms is wrong by 1e-5 at most. The best scores, not the
largest: a model that marks what it never lists by −1e9 would otherwise be allowed everything."""
FLIPS = 0.02
"""Of a recommender without scores, so many lists may differ: near-ties fall either way with the order of a sum."""
LARGE_BYTES = 64 * 2**20
"""What the scores of a large batch may take."""


@dataclass(frozen=True)
class Recommended:
    """A recommender under test.

    Attributes:
        model: fitted, adapted. sequences: what it is asked about. log: a log of its catalogue, or None.
        seed: of draws. unfitted: what can be fitted anew, or None.
    """

    model: Recommender
    sequences: SequenceBatch
    log: InteractionLog | None = None
    seed: int = 0
    unfitted: Any = field(default=None, repr=False)

    @property
    def k(self) -> int:
        """How long the lists are."""
        return min(10, int(self.model.n_items))

    @property
    def able(self) -> frozenset[str]:
        """What it offers."""
        return frozenset(capabilities(self.model))

    @property
    def context(self) -> int:
        """How many of the newest items it reads; 0 where it does not say."""
        return int(getattr(self.model, "context", 0) or 0)

    @property
    def reads(self) -> int:
        """How many items it is asked about: its context, or the 50 that the harness gives where it says none."""
        return self.context or 50

    @cached_property
    def answer(self) -> NDArray[Any]:
        """Its answer to `sequences`."""
        return self.answers(self.sequences)

    def answers(self, sequences: SequenceBatch) -> NDArray[Any]:
        """Scores [B, n_items] where it scores, else lists [B, k]."""
        if "scores" in self.able:
            return np.array(cast(Scorer, self.model).score(sequences))[:, 1:]
        return np.array(self.model.recommend(sequences, self.k))

    def same(self, ours: NDArray[Any], theirs: NDArray[Any], when: str) -> None:
        """Answers agree, within rounding."""
        require(ours.shape == theirs.shape, f"Shapes {ours.shape} and {theirs.shape} {when}.")
        if "scores" not in self.able:
            differing = float((ours != theirs).any(axis=1).mean()) if len(ours) else 0.0
            require(differing <= FLIPS, f"{differing:.0%} of the lists differ {when}.")
            return
        finite = np.isfinite(ours)
        require(np.array_equal(finite, np.isfinite(theirs)), f"Infinite scores differ {when}.")
        gap = np.abs(np.where(finite, ours, 0.0) - np.where(finite, theirs, 0.0))
        size = np.maximum(np.abs(np.where(finite, ours, 0.0)), scale(ours, self.k))
        beyond = gap > TOLERANCE * size
        if beyond.any():
            row, item = np.unravel_index(int((gap / size).argmax()), gap.shape)
            raise_to = f"{ours[row, item]:.6g} and {theirs[row, item]:.6g} for item {item + 1}"
            require(False, f"{beyond.any(axis=1).mean():.0%} of the rows have other scores ({raise_to}) {when}.")

    def random(self, rows: int, width: int) -> SequenceBatch:
        """So many random sequences without padding, with times where `sequences` has them."""
        rng = np.random.default_rng([self.seed, width])
        items = rng.integers(1, int(self.model.n_items) + 1, size=(rows, width))
        return SequenceBatch(items, np.arange(rows), self._times(rng, items))

    def _times(self, rng: np.random.Generator, items: NDArray[Any]) -> NDArray[Any] | None:
        if self.sequences.timestamps is None:
            return None
        start = int(self.sequences.timestamps.max(initial=0))
        return start + np.cumsum(rng.integers(1, 86_400, size=items.shape), axis=1)

    def many(self) -> NDArray[np.int64]:
        """Indices into `sequences`, with repeats: a batch larger than any that a model cuts into parts (513 rows), as
        far as the scores fit into memory."""
        fit = LARGE_BYTES // (4 * (int(self.model.n_items) + 1))
        rows = max(min(513, fit), len(self.sequences))
        return np.random.default_rng([self.seed, rows]).permutation(np.arange(rows) % max(len(self.sequences), 1))


def scale(scores: NDArray[Any], k: int) -> NDArray[Any]:
    """[B, 1], the size of the k best finite scores of each row [B, n_items]."""
    if scores.size == 0:
        return np.full((len(scores), 1), 1e-6)
    k = min(k, scores.shape[1])
    best = np.partition(np.where(np.isfinite(scores), scores, -np.inf), -k, axis=1)[:, -k:]
    size = np.where(np.isfinite(best), np.abs(best), 0.0).max(axis=1, keepdims=True)
    return np.asarray(np.maximum(size, 1e-6))


def padded(sequences: SequenceBatch, more: int) -> SequenceBatch:
    """The same sequences with `more` columns of padding on the left; a time is 0 there."""
    edge = ((0, 0), (more, 0))
    times = None if sequences.timestamps is None else np.pad(sequences.timestamps, edge)
    return SequenceBatch(np.pad(sequences.items, edge), sequences.users, times)


def recommended(recommender: Any, log: InteractionLog | None = None, *, seed: int = 0) -> Recommended:
    """A recommender ready to be checked; one that is not fitted is fitted to `log` first.

    Raises:
        InputError: it is not fitted and there is no log; or it ranks another number of items than the log has.
    """
    model, unfitted = adapt(recommender), None
    if "fit" in capabilities(model):
        unfitted = recommender
    if not is_fitted(recommender):
        if log is None:
            raise InputError("The recommender is not fitted: give a log to fit it to.")
        model = adapt(cast(Fittable, model).fit(log, seed=seed))
    if log is not None and int(model.n_items) != log.n_items:
        raise InputError(f"The recommender ranks {model.n_items} items, the log has {log.n_items}.")
    return Recommended(model, _questions(model, log, seed), log, seed, unfitted)


def _questions(model: Recommender, log: InteractionLog | None, seed: int) -> SequenceBatch:
    """Up to 64 histories of the log, or as many random sequences of 1 to 12 items."""
    rng = np.random.default_rng([seed, 0xC0])
    if log is not None:
        active = np.flatnonzero(log.lengths > 0)
        users = np.sort(rng.choice(active, size=min(64, len(active)), replace=False))
        return log.sequences(int(getattr(model, "context", 0) or 50), users)
    items = rng.integers(1, model.n_items + 1, size=(64, 12))
    hidden = np.arange(12)[None, :] < rng.integers(0, 12, size=64)[:, None]
    times = 1_000_000_000 + np.cumsum(rng.integers(1, 86_400, size=items.shape), axis=1)
    return SequenceBatch(np.where(hidden, 0, items), np.arange(64), np.where(hidden, 0, times))
