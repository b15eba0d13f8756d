"""Floors on victims, on ml-1m: leave-last-out, all items ranked, seen items kept and excluded.

Published for SASRec with seen items excluded: NDCG@10 .1603 over all items, .5905 among 100 sampled negatives. Yue et
al. (RecSys 2022) give, among 100 negatives, .546 for SASRec, .624 for NARM and .542 for BERT4Rec.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robust.datasets import Split, leave_last_out, open_log
from robust.metrics.full_ranking import mask_seen, rank_of_truth
from robust.recommenders.baselines import Markov, Popularity
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.protocols import Scorer
from robust.recommenders.recurrent import GRU4Rec
from robust.recommenders.sasrec import SASRec

pytestmark = pytest.mark.slow

SEED = 1
PILOT_SECONDS = 24 * 60  # a plain loop on two threads, FACTS of the pilot
CHUNK = 256
NEGATIVES = 100
# A longer context, small batches of long windows, and as many steps as the pilot's time allows.
LONG = {"context": 200, "batch_size": 16, "max_epochs": 200, "max_steps": 25_000, "learning_rate": 3e-3}
LONG |= {"validations": 25, "patience": 25}
RECURRENT = {"batch_size": 32, "max_epochs": 60, "max_steps": 14_000, "learning_rate": 4e-3, "validations": 25}
RECURRENT |= {"patience": 25}


@dataclass(frozen=True)
class Quality:
    """Per user: NDCG@10 over all items, seen kept and excluded, and among sampled negatives; HR@10 likewise."""

    kept: NDArray[np.float64]
    excluded: NDArray[np.float64]
    sampled: NDArray[np.float64]
    hits_kept: float
    hits_excluded: float


@pytest.fixture(scope="module")
def split(robust_data: Path) -> Split:
    return leave_last_out(open_log(str(robust_data / "ml-1m.parquet")))


def gain(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(ranks <= 10, 1 / np.log2(ranks + 1.0), 0.0)


def quality(model: Scorer, split: Split, context: int) -> Quality:
    """Rank every user's test item."""
    rng = np.random.default_rng(SEED)
    kept, excluded, sampled = [], [], []
    for start in range(0, len(split.users), CHUNK):
        users = split.users[start : start + CHUNK]
        truth = split.targets[start : start + CHUNK]
        scores = model.score(split.train.sequences(context, users)).copy()
        kept.append(rank_of_truth(scores, truth))
        seen = split.train.sequences(int(split.train.lengths.max()), users).items
        unseen = np.ones(scores.shape, dtype=bool)
        np.put_along_axis(unseen, seen, False, axis=1)
        unseen[:, 0] = False
        np.put_along_axis(unseen, truth[:, None], False, axis=1)
        drawn = np.argsort(np.where(unseen, rng.random(scores.shape), 2.0), axis=1)[:, :NEGATIVES]
        own = np.take_along_axis(scores, truth[:, None], axis=1)
        sampled.append(1 + (np.take_along_axis(scores, drawn, axis=1) >= own).sum(axis=1))
        mask_seen(scores, seen, keep=truth)
        excluded.append(rank_of_truth(scores, truth))
    all_kept, all_excluded = np.concatenate(kept), np.concatenate(excluded)
    return Quality(
        gain(all_kept),
        gain(all_excluded),
        gain(np.concatenate(sampled)),
        float((all_kept <= 10).mean()),
        float((all_excluded <= 10).mean()),
    )


def show(name: str, found: Quality, seconds: float) -> None:
    print(
        f"\n{name}: HR@10 / NDCG@10 kept {found.hits_kept:.3f} / {found.kept.mean():.4f}, excluded "
        f"{found.hits_excluded:.3f} / {found.excluded.mean():.4f}; NDCG@10 among {NEGATIVES} sampled negatives "
        f"{found.sampled.mean():.3f}; fitted in {seconds:.0f} s",
        flush=True,
    )


def lower_limit(difference: NDArray[np.float64]) -> float:
    """One-sided 97.5% limit of a mean over thousands of users."""
    return float(difference.mean() - 1.96 * difference.std(ddof=1) / len(difference) ** 0.5)


@pytest.fixture(scope="module")
def markov(split: Split) -> Quality:
    found = quality(Markov(gaps=3).fit(split.train, seed=SEED), split, 3)
    show("Markov over gaps 1 to 3", found, 0)
    return found


@pytest.fixture(scope="module")
def first_order(split: Split) -> Quality:
    found = quality(Markov().fit(split.train, seed=SEED), split, 1)
    show("first-order Markov", found, 0)
    return found


def test_baselines_know_that_order_matters(split: Split, first_order: Quality, markov: Quality) -> None:
    popular = quality(Popularity().fit(split.train, seed=SEED), split, 1)
    show("popularity", popular, 0)
    assert popular.excluded.mean() < 0.03 < 0.12 < first_order.excluded.mean() < markov.excluded.mean()


def test_sasrec_in_the_pilots_time(split: Split, markov: Quality) -> None:
    """At least .170 with seen items excluded, above Markov for certain, .59 among sampled negatives."""
    torch.set_num_threads(2)
    start = time.perf_counter()
    model = SASRec(**LONG).fit(split.train, seed=SEED)
    seconds = time.perf_counter() - start
    torch.set_num_threads(1)
    found = quality(model, split, 200)
    show("SASRec, context 200", found, seconds)
    print(f"above Markov by {lower_limit(found.excluded - markov.excluded):.4f} at least (97.5%)")
    assert found.excluded.mean() >= 0.170
    assert lower_limit(found.excluded - markov.excluded) > 0
    assert found.sampled.mean() >= 0.59
    assert seconds <= PILOT_SECONDS


@pytest.mark.parametrize("kind", [GRU4Rec, NARM])
def test_recurrent_ones_trained_for_longer(kind: type[NeuralRecommender], split: Split) -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    model = kind(**RECURRENT).fit(split.train, seed=SEED)
    seconds = time.perf_counter() - start
    found = quality(model, split, 50)
    show(f"{kind.__name__}, context 50", found, seconds)
    assert found.excluded.mean() >= 0.150


@pytest.mark.parametrize("kind", [SASRec, NARM, Caser, BERT4Rec])
def test_defaults_are_not_undertrained(kind: type[NeuralRecommender], split: Split, first_order: Quality) -> None:
    """What a review trains: minutes on one thread, and clearly above first-order Markov."""
    torch.set_num_threads(1)
    start = time.process_time()
    model = kind().fit(split.train, seed=SEED)
    seconds = time.process_time() - start
    found = quality(model, split, model.context)
    show(f"{kind.__name__}, default settings, one thread", found, seconds)
    print(f"above first-order Markov by {lower_limit(found.excluded - first_order.excluded):.4f} at least (97.5%)")
    assert lower_limit(found.excluded - first_order.excluded) > 0
    assert seconds <= 5 * 60
