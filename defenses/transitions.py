"""Counts of neighbouring items in a log: how probable an item is after another, how surprising between two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32, Int64, InteractionLog

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Transitions:
    """First-order counts with a popularity prior.

    Attributes:
        pairs: int64 [p], sorted keys first · (n_items + 1) + second of the pairs seen. counts: int64 [p].
        leaving, entering: int64 [n_items + 1], pairs that begin or end with each item.
        popularity: float64 [n_items + 1], p(x). smoothing: α.
    """

    pairs: Int64
    counts: Int64
    leaving: Int64
    entering: Int64
    popularity: Float64
    smoothing: float

    @classmethod
    def count(cls, log: InteractionLog, smoothing: float) -> Transitions:
        """Count the pairs of consecutive rows of a user."""
        consecutive = log.user[1:] == log.user[:-1]
        first, second = log.item[:-1][consecutive].astype(np.int64), log.item[1:][consecutive]
        pairs, counts = np.unique(first * (log.n_items + 1) + second, return_counts=True)
        size = log.n_items + 1
        prior = (log.popularity + 1.0) / (len(log) + log.n_items)
        return cls(
            pairs,
            counts,
            np.bincount(first, minlength=size),
            np.bincount(second, minlength=size),
            prior,
            smoothing,
        )

    def seen(self, first: Int32, second: Int32) -> Int64:
        """How often `second` directly followed `first`, elementwise."""
        if len(self.pairs) == 0:
            return np.zeros(np.broadcast(first, second).shape, dtype=np.int64)
        keys = first.astype(np.int64) * len(self.popularity) + second
        place = np.searchsorted(self.pairs, keys).clip(max=len(self.pairs) - 1)
        return np.asarray(np.where(self.pairs[place] == keys, self.counts[place], 0))

    def log_probability(self, first: Int32, second: Int32) -> Float64:
        """float64 in nats, log p(second | first), elementwise; by popularity alone where `first` is 0 or never led on.

        Witten and Bell, IEEE Trans. Information Theory 1991, method C: popularity weighs as many pairs as there are
        different successors, p(y | x) = (count(x, y) + T(x) p(y)) / (count(x) + T(x)). α plays no part.
        """
        successors = np.bincount(self.pairs // len(self.popularity), minlength=len(self.popularity))[first]
        prior = self.popularity[second]
        total = self.leaving[first] + successors
        followed = (self.seen(first, second) + successors * prior) / np.maximum(total, 1)
        return np.asarray(np.log(np.where(total > 0, followed, prior)))

    def surprise(self, items: Int32, own: int = 0) -> Float64:
        """float64 [B, L] in nats for left-padded items [B, L]; −∞ at padding and without any neighbour.

        Args:
            own: how often each pair counts itself; 1 on the very rows that were counted.
        """
        first, second = items[:, :-1], items[:, 1:]
        linked = (first != 0) & (second != 0)
        pair = self.seen(first, second) - own
        prior = self.smoothing * self.popularity
        forward = np.where(linked, np.log((self.leaving[first] - own).clip(min=0) + self.smoothing), 0)
        forward -= np.where(linked, np.log(pair.clip(min=0) + prior[second]), 0)
        backward = np.where(linked, np.log((self.entering[second] - own).clip(min=0) + self.smoothing), 0)
        backward -= np.where(linked, np.log(pair.clip(min=0) + prior[first]), 0)
        total, terms = np.zeros(items.shape), np.zeros(items.shape)
        total[:, 1:] += forward
        terms[:, 1:] += linked
        total[:, :-1] += backward
        terms[:, :-1] += linked
        return np.where(terms > 0, total / np.maximum(terms, 1), -np.inf)

    def own_surprise(self, log: InteractionLog) -> Float64:
        """float64 [m], the surprise of every counted row that has a neighbour, its own pairs left out."""
        # one long sequence: a 0 between users keeps their rows apart
        places = np.arange(len(log)) + log.user.astype(np.int64)
        line = np.zeros((1, len(log) + log.n_users), dtype=np.int32)
        line[0, places] = log.item
        surprise = self.surprise(line, own=1)[0]
        return np.asarray(surprise[np.isfinite(surprise)])
