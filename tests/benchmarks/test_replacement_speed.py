"""All replacements of one user's items, each scored and reduced to a cross-entropy: plain passes against shared ones.

The shape is ml-1m's: 3,416 items, 50 of a user's, so 170,800 edited sequences. Weights are barely trained; time does
not depend on them. A plain pass costs the same wherever the edit is, so it is taken at a few positions, for one chunk
of candidates, and scaled. The two take turns, on one thread, as the runner's workers do; the clock counts the
processor's time, so that whatever else the machine does disturbs neither.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.allocator import tune_allocator
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.recurrent import GRU4Rec
from robust.recommenders.replacements import evaluate_in_full, evaluate_replacements
from robust.recommenders.sasrec import SASRec

ITEMS, LENGTH, ROUNDS = 3416, 50, 5
SAMPLED, CANDIDATES = (5, 25, 45), 117
FLOOR = 6.0  # seconds of one core for a user: 200 users in ten minutes of two cores
CATALOGUE = np.arange(1, ITEMS + 1, dtype=np.int32)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loss(scores: Tensor) -> Tensor:
    """The cross-entropy of item 7."""
    return scores[:, 1:].logsumexp(dim=1) - scores[:, 7]


def seconds_in_full(model: NeuralRecommender, row: SequenceBatch) -> float:
    start = time.process_time()
    for position in SAMPLED:
        evaluate_in_full(model, row, position, CATALOGUE[:CANDIDATES], loss)
    return (time.process_time() - start) * LENGTH * ITEMS / (len(SAMPLED) * CANDIDATES)


def seconds_shared(model: NeuralRecommender, row: SequenceBatch) -> float:
    start = time.process_time()
    for position in range(LENGTH):
        evaluate_replacements(model, row, position, CATALOGUE, loss)
    return time.process_time() - start


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind,least", [(SASRec, 3.5), (GRU4Rec, 2.5)])
def test_all_replacements_of_a_user(kind: type[NeuralRecommender], least: float) -> None:
    tune_allocator()
    rng = np.random.default_rng(0)
    log = InteractionLog.from_columns(
        np.repeat(np.arange(200), 20), rng.integers(1, ITEMS + 1, 4000), np.arange(4000), n_items=ITEMS
    )
    model = kind(context=LENGTH, max_steps=2, min_steps=1).fit(log, seed=0)
    row = SequenceBatch(rng.integers(1, ITEMS + 1, (1, LENGTH)))
    seconds_in_full(model, row)
    rounds = [(seconds_in_full(model, row), seconds_shared(model, row)) for _ in range(ROUNDS)]
    plain, ours = (statistics.median(side) for side in zip(*rounds, strict=True))
    print(f"\n{kind.__name__}, a user on one thread: plain {plain:.1f} s, ours {ours:.2f} s, x{plain / ours:.1f}")
    assert ours < FLOOR
    assert plain / ours >= least
