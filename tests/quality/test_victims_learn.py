"""Planted structure: victims learn what is there to learn, and baselines what they can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robust.log import InteractionLog
from robust.recommenders.baselines import ItemKNN, Markov, Popularity
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.narm import NARM
from robust.recommenders.protocols import Fittable, Recommender
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from tests.toys import chain_log

SETTINGS: dict[str, Any] = {"context": 12, "dimension": 16, "learning_rate": 1e-2, "max_steps": 300}
NEURAL = [SASRec, GRU4Rec, LSTM4Rec, RNN4Rec, NARM, Caser, BERT4Rec]


def braided_log(users: int = 250, n_items: int = 16, length: int = 13) -> InteractionLog:
    """Two walks on the circle, taken in turns: each item is the successor of the one *before* the previous one."""
    rng = np.random.default_rng(0)
    items = np.empty((users, length), np.int64)
    items[:, :2] = rng.integers(1, n_items + 1, (users, 2))
    for step in range(2, length):
        items[:, step] = items[:, step - 2] % n_items + 1
    user = np.repeat(np.arange(users), length)
    return InteractionLog.from_columns(user, items.ravel(), np.arange(len(user)), n_items=n_items)


def hit_ratio(model: Recommender, log: InteractionLog, k: int = 1) -> float:
    """How often the last item of these users is among the first k, from the items before it."""
    last = log.offsets[1:] - 1
    before = log.rows(log.position < log.lengths[log.user] - 1)
    lists = model.recommend(before.sequences(12), k)
    return float((lists == log.item[last][:, None]).any(axis=1).mean())


@pytest.mark.parametrize("kind", [*NEURAL, Markov])
def test_a_chain_of_successors_is_learnt(kind: type[Fittable]) -> None:
    train, test = chain_log(users=200, seed=0), chain_log(users=200, seed=1)
    more = {"max_epochs": 30, "max_steps": 500} if kind is BERT4Rec else {}  # it learns from what it hides only
    model = kind(**(SETTINGS | more if kind in NEURAL else {})).fit(train, seed=0)
    assert hit_ratio(model, test) > 0.97


@pytest.mark.parametrize("kind", [Popularity, ItemKNN])
def test_what_ignores_order_does_not_learn_a_chain(kind: type[Fittable]) -> None:
    train, test = chain_log(users=200, seed=0), chain_log(users=200, seed=1)
    assert hit_ratio(kind().fit(train, seed=0), test) < 0.5


@pytest.mark.parametrize("kind", [SASRec, GRU4Rec, NARM, Caser, BERT4Rec])
def test_what_lies_two_steps_back_is_learnt_where_first_order_markov_is_blind(kind: type[Fittable]) -> None:
    log = braided_log()
    assert hit_ratio(Markov().fit(log, seed=0), log) < 0.3
    assert hit_ratio(kind(**{**SETTINGS, "max_epochs": 100}).fit(log, seed=0), log) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SASRec, GRU4Rec, NARM, Caser, BERT4Rec])
def test_victims_pass_markov_on_the_embedded_flights(kind: type[Fittable]) -> None:
    from robust.datasets import leave_last_out, load_dataset
    from robust.metrics.full_ranking import rank_in_lists

    split = leave_last_out(load_dataset("flights"))
    found = []
    for model in (Markov(), kind()):
        fitted = model.fit(split.train, seed=1)
        ranks = rank_in_lists(fitted.recommend(split.histories(50), 10), split.targets)
        found.append(float((ranks <= 10).mean()))
    assert found[0] == pytest.approx(0.799, abs=0.002)
    assert found[1] > found[0]
