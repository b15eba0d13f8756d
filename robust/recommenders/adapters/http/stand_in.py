"""What answers in an endpoint's place while a review is rehearsed, so that an estimate asks the endpoint nothing.

Its lists are made up: they turn on the newest three items, and on nothing that is known of the endpoint. It counts what
the endpoint would have been asked: each distinct sequence once, in requests of so many. An attack that stops when it
has succeeded may ask the endpoint itself more, or less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from robust.log import Int32, Int64, SequenceBatch
from robust.recommenders.adapters.http.description import Endpoint
from robust.recommenders.protocols import Float32

STEPS = np.array([7_919, 104_729, 1_299_709])
"""What the newest item, the one before it, and the one before that move the list by."""


@dataclass
class Tally:
    """What the stand-ins of this process were asked.

    Attributes:
        sequences, requests: as the endpoint's own ledger would count them. rounds: how often somebody would have waited
            for an answer, where so many requests may be under way at once.
        known: the sequences whose answers would be remembered.
    """

    sequences: int = 0
    requests: int = 0
    rounds: int = 0
    known: set[bytes] = field(default_factory=set)


TALLY = Tally()
"""Steps make their models by name, in this process while they are rehearsed; so they meet here."""


class _StandIn:
    def __init__(self, n_items: int, k: int, context: int, batch_size: int, concurrency: int) -> None:
        self.n_items, self.k, self.context = n_items, k, context
        self._batch_size, self._concurrency = batch_size, concurrency

    def _first(self, sequences: SequenceBatch) -> Int64:
        """int64 [B], the best item of each from 0, after it was counted."""
        items = (sequences.truncate(self.context) if self.context else sequences).items
        new = {row[row != 0].tobytes() for row in items} - TALLY.known
        requests = math.ceil(len(new) / self._batch_size)
        TALLY.sequences += len(new)
        TALLY.requests += requests
        TALLY.rounds += math.ceil(requests / self._concurrency)
        TALLY.known |= new
        newest = items[:, : -len(STEPS) - 1 : -1].astype(np.int64)
        first: Int64 = newest @ STEPS[: newest.shape[1]] % self.n_items
        return first


class StandInLists(_StandIn):
    """For an endpoint that names its best items."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], best first; 0 behind the endpoint's own k."""
        own = min(k, self.k, self.n_items)
        lists = np.zeros((len(sequences), k), dtype=np.int32)
        lists[:, :own] = (self._first(sequences)[:, None] + np.arange(own)) % self.n_items + 1
        return lists


class StandInScores(_StandIn):
    """For an endpoint that scores all items."""

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1]; column 0 is −inf."""
        scores = np.full((len(sequences), self.n_items + 1), -np.inf, dtype=np.float32)
        scores[:, 1:] = -((np.arange(self.n_items) - self._first(sequences)[:, None]) % self.n_items)
        return scores


def stand_in(endpoint: Endpoint, n_items: int) -> tuple[str, dict[str, int]]:
    """The SPEC and settings of what stands in for an endpoint."""
    kind = StandInLists if endpoint.answers_lists else StandInScores
    return f"{kind.__module__}:{kind.__name__}", {
        "n_items": n_items,
        "k": endpoint.k,
        "context": endpoint.padding.length,
        "batch_size": endpoint.asked_at_once,
        "concurrency": endpoint.concurrency,
    }
