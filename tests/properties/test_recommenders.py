"""What must hold of every built-in recommender, for all sequences (the invariants P1 to P7, and saving)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.log import SequenceBatch
from robust.recommenders.baselines import ItemKNN, Markov, Popularity
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.checkpoint import load, save
from robust.recommenders.dropout import OFF
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.protocols import Scorer
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from tests.toys import chain_log

N_ITEMS, CONTEXT = 20, 6
SMALL: dict[str, Any] = {"context": CONTEXT, "dimension": 8, "max_steps": 15, "batch_size": 64}
NEURAL = ["SASRec", "GRU4Rec", "LSTM4Rec", "RNN4Rec", "NARM", "Caser", "BERT4Rec"]
ALL = [*NEURAL, "Popularity", "Markov", "Markov3", "ItemKNN"]

sequences = st.lists(st.lists(st.integers(1, N_ITEMS), min_size=0, max_size=9), min_size=1, max_size=7)
one_sequence = st.lists(st.integers(1, N_ITEMS), min_size=1, max_size=9)


@cache
def fitted(name: str) -> Any:
    makers: dict[str, Any] = {
        "SASRec": SASRec(**SMALL),
        "GRU4Rec": GRU4Rec(**SMALL, hidden=7),
        "LSTM4Rec": LSTM4Rec(**SMALL),
        "RNN4Rec": RNN4Rec(**SMALL),
        "NARM": NARM(**SMALL, hidden=7),
        "Caser": Caser(**SMALL, window=4),
        "BERT4Rec": BERT4Rec(**SMALL),
        "Popularity": Popularity(),
        "Markov": Markov(),
        "Markov3": Markov(gaps=3),
        "ItemKNN": ItemKNN(neighbours=5),
    }
    return makers[name].fit(chain_log(users=50, n_items=N_ITEMS, noise=0.3), seed=1)


def scores(model: Scorer, rows: list[list[int]], width: int | None = None) -> np.ndarray[Any, Any]:
    return np.asarray(model.score(SequenceBatch.from_lists(rows, width)))[:, 1:]


@pytest.mark.parametrize("name", ALL)
@given(rows=sequences, more=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_p1_more_padding_on_the_left_changes_nothing(name: str, rows: list[list[int]], more: int) -> None:
    widest = max(max(map(len, rows)), 1)
    narrow, wide = scores(fitted(name), rows, widest), scores(fitted(name), rows, widest + more)
    assert np.allclose(narrow, wide, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@given(rows=sequences, seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_p2_size_and_order_of_a_batch_change_nothing(name: str, rows: list[list[int]], seed: int) -> None:
    together = scores(fitted(name), rows)
    alone = np.concatenate([scores(fitted(name), [row]) for row in rows])
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = scores(fitted(name), [rows[i] for i in order])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(together[order], shuffled, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_p3_saved_and_loaded_to_the_bit(name: str) -> None:
    model = fitted(name)
    probe = SequenceBatch.from_lists([[1, 2, 3], [], [7]])
    with TemporaryDirectory() as folder:
        save(model, Path(folder))
        again: Any = load(Path(folder))
    assert type(again) is type(model)
    assert again.settings == model.settings
    assert np.array_equal(again.score(probe), model.score(probe))
    assert np.array_equal(model.score(probe), model.score(probe))


@pytest.mark.parametrize("name", NEURAL)
@given(rows=sequences, seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_p4_renaming_items_permutes_the_scores(name: str, rows: list[list[int]], seed: int) -> None:
    model: NeuralRecommender = fitted(name)
    arrays, about = model.state()
    renamed = np.concatenate([[0], np.random.default_rng(seed).permutation(N_ITEMS) + 1])
    moved = {key: array.copy() for key, array in arrays.items()}
    for key in ("table", "popularity"):
        moved[key][renamed] = arrays[key]
    other = type(model).from_state(moved, about)
    there = np.asarray(other.score(SequenceBatch.from_lists([[int(renamed[i]) for i in row] for row in rows])))
    here = np.asarray(model.score(SequenceBatch.from_lists(rows)))
    assert np.allclose(there[:, renamed[1:]], here[:, 1:], atol=1e-5)


@pytest.mark.parametrize("name", NEURAL)
@given(row=st.lists(st.integers(1, N_ITEMS), min_size=CONTEXT, max_size=CONTEXT), older=one_sequence)
@settings(max_examples=25, deadline=None)
def test_p5_items_beyond_the_context_have_no_effect(name: str, row: list[int], older: list[int]) -> None:
    assert np.array_equal(scores(fitted(name), [row]), scores(fitted(name), [older + row]))


@pytest.mark.parametrize("name", NEURAL)
@given(row=st.lists(st.integers(1, N_ITEMS), min_size=CONTEXT, max_size=CONTEXT), at=st.integers(0, CONTEXT - 1))
@settings(max_examples=25, deadline=None)
def test_p6_states_ignore_what_comes_later(name: str, row: list[int], at: int) -> None:
    encoder = fitted(name).encoder
    other = row[: at + 1] + [item % N_ITEMS + 1 for item in row[at + 1 :]]
    both = encoder.table[torch.tensor([row, other])]
    states = encoder(both, torch.tensor([CONTEXT, CONTEXT]), OFF)
    assert torch.allclose(states[0, : at + 1], states[1, : at + 1], atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@given(rows=sequences, k=st.integers(1, N_ITEMS + 3))
@settings(max_examples=25, deadline=None)
def test_p7_lists_are_distinct_known_items_and_prefixes(name: str, rows: list[list[int]], k: int) -> None:
    batch = SequenceBatch.from_lists(rows)
    lists = fitted(name).recommend(batch, k)
    assert lists.dtype == np.int32
    assert lists.shape == (len(rows), k)
    for ranked in lists:
        listed = ranked[ranked != 0]
        assert len(listed) == min(k, N_ITEMS) == len(set(listed))
        assert listed.min() >= 1
        assert listed.max() <= N_ITEMS
        assert not ranked[len(listed) :].any()
    assert np.array_equal(fitted(name).recommend(batch, k + 1)[:, :k], lists)


@pytest.mark.parametrize("name", NEURAL)
@given(rows=sequences)
@settings(max_examples=25, deadline=None)
def test_p10_unchanged_embeddings_give_the_same_scores(name: str, rows: list[list[int]]) -> None:
    """A perturbation of nothing is the identity, to the bit; and padding is not read."""
    model: NeuralRecommender = fitted(name)
    batch = SequenceBatch.from_lists(rows, 9)
    embedded = model.embed(batch)
    assert embedded.shape == (len(rows), 9, 8)
    assert torch.all(embedded[torch.from_numpy(batch.items == 0)] == 0)
    with torch.no_grad():
        from_embeddings = model.score_embeddings(embedded + torch.zeros_like(embedded), batch).numpy()
        junk = torch.from_numpy(batch.items == 0).unsqueeze(-1) * 1e3
        from_junk = model.score_embeddings(embedded + junk, batch).numpy()
    assert np.array_equal(from_embeddings, model.score(batch))
    assert np.array_equal(from_embeddings, from_junk)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_sequence_gets_the_popular_items(name: str) -> None:
    log = chain_log(users=50, n_items=N_ITEMS, noise=0.3)
    expected = np.argsort(-log.popularity[1:], kind="stable") + 1
    assert np.array_equal(fitted(name).recommend(SequenceBatch.from_lists([[]]), N_ITEMS)[0], expected)
