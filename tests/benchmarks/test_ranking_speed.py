"""Full ranking at ml-1m's size (6,040 users × 3,416 items, chunks of 256) costs far less than a forward pass."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from robust.metrics.full_ranking import mask_seen, rank_of_promoted, rank_of_truth, top_k
from robust.metrics.ranking import hit_ratio, mrr, ndcg

USERS, ITEMS, CHUNK = 6_040, 3_416, 256
FLOOR = 1.0  # seconds of one core, for all of it


@pytest.mark.benchmark(timer=time.process_time)  # a busy machine takes longer on the wall, and works no more
@pytest.mark.parametrize("ties", ["none", "rounded", "mostly equal"])
def test_metrics_of_all_users(benchmark: BenchmarkFixture, ties: str) -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((CHUNK, ITEMS + 1)).astype(np.float32)
    if ties == "rounded":
        scores = np.round(scores, 1)
    elif ties == "mostly equal":  # a counting model: three items with a count, all others 0
        scores = np.where(scores > 3.2, scores, 0).astype(np.float32)
    truth = rng.integers(1, ITEMS + 1, CHUNK)
    targets = np.broadcast_to(rng.integers(1, ITEMS + 1, 5), (CHUNK, 5))
    seen = rng.integers(1, ITEMS + 1, (CHUNK, 200))

    def measure() -> float:
        total = 0.0
        for _ in range(-(-USERS // CHUNK)):
            block = scores.copy()
            mask_seen(block, seen)
            top_k(block, 10)
            rank_of_promoted(block, targets)
            ranks = rank_of_truth(block, truth)
            total += float(sum(metric(ranks, 10).sum() for metric in (hit_ratio, ndcg, mrr)))
        return total

    assert benchmark(measure) > 0
    assert benchmark.stats is not None
    assert benchmark.stats.stats.median < FLOOR
