"""Replacements evaluated without recomputing what they leave unchanged agree with scoring each edited sequence."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from robust.defense import GuardedRecommender
from robust.edits import Edit, apply_edits
from robust.errors import BudgetExceeded, InputError, NotKnown, RobustError
from robust.log import Int32, SequenceBatch
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.encoder import Encoder
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.protocols import Float32, ReplacementScorer
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.replacements import evaluate_replacements
from robust.recommenders.sasrec import SASRec
from robust.threat import Knowledge
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences, view

ITEMS, CONTEXT, WIDTH = 20, 6, 8
CATALOGUE = np.arange(1, ITEMS + 1, dtype=np.int32)
# rows without padding, with padding, of one item, and longer than the context
BATCH = SequenceBatch(np.concatenate([random_sequences(4, WIDTH, ITEMS, seed=3).items, [[0] * 7 + [4]]]))
KINDS: dict[str, tuple[type[NeuralRecommender], dict[str, Any]]] = {
    "gru": (GRU4Rec, {}),
    "lstm": (LSTM4Rec, {"hidden": 5}),
    "rnn": (RNN4Rec, {}),
    "sasrec": (SASRec, {}),
    "sasrec of one block": (SASRec, {"blocks": 1}),
    "sasrec of three blocks": (SASRec, {"blocks": 3, "heads": 4}),
    "narm, by the default": (NARM, {}),
    "bert4rec, by the default": (BERT4Rec, {}),
}
INCREMENTAL = [name for name in KINDS if "default" not in name]


@cache
def trained(name: str) -> NeuralRecommender:
    kind, settings = KINDS[name]
    model = kind(context=CONTEXT, dimension=8, max_steps=60, min_steps=60, **settings)
    return model.fit(chain_log(users=60, n_items=ITEMS, noise=0.2), seed=0)


def label_loss(scores: Tensor) -> Tensor:
    """The cross-entropy of item 7."""
    return scores[:, 1:].logsumexp(dim=1) - scores[:, 7]


def brute_force(model: Any, row: SequenceBatch, position: int) -> Float32:
    edited = np.repeat(row.items, ITEMS, axis=0)
    edited[:, position] = CATALOGUE
    return label_loss(torch.from_numpy(model.score(SequenceBatch(edited)))).numpy()


@pytest.mark.parametrize("name", KINDS)
def test_they_agree_with_scoring_each_edited_sequence(name: str) -> None:
    model = trained(name)
    assert isinstance(model, ReplacementScorer)
    for row in BATCH.chunks(1):
        for position in range(WIDTH):
            values = evaluate_replacements(model, row, position, CATALOGUE, label_loss)
            expected = brute_force(model, row, position)
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, expected, rtol=0, atol=5e-6)
            assert expected.max() - expected[values.argmax()] < 5e-6  # the same best edit, but for ties


@pytest.mark.parametrize("name", INCREMENTAL)
def test_in_double_precision_they_agree_to_its_rounding(name: str) -> None:
    """So what separates them in single precision is rounding too, not a term that was left out."""
    kind, settings = KINDS[name]
    encoder = kind(context=CONTEXT, dimension=8, **settings)._encoder(ITEMS).double()
    encoder.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in encoder.parameters():  # attention that is close to one-hot, gates that are nearly shut
            parameter.mul_(6.0).add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) / 2)
        for length in range(1, CONTEXT + 1):
            for position in range(length):
                embeddings = encoder.table[1 : length + 1]
                values = encoder.replaced_last_states(embeddings, position, encoder.table[1:])
                plain = Encoder.replaced_last_states(encoder, embeddings, position, encoder.table[1:])
                assert plain.std(dim=0).max() > 1e-3
                torch.testing.assert_close(values, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", KINDS)
def test_a_zero_in_the_column_makes_it_an_insertion(name: str) -> None:
    model = trained(name)
    for sequence in ([5, 6, 7], [1, 2, 3, 4, 5, 6]):  # the second one loses its oldest item
        for back in range(1, len(sequence) + 2):
            edited = [apply_edits(sequence, [Edit("insert", back, int(item))]) for item in CATALOGUE]
            expected = label_loss(torch.from_numpy(model.score(SequenceBatch.from_lists(edited)))).numpy()
            room = sequence.copy()
            room.insert(len(sequence) - back + 1, 0)
            values = evaluate_replacements(
                model, SequenceBatch([room]), len(sequence) - back + 1, CATALOGUE, label_loss
            )
            np.testing.assert_allclose(values, expected, rtol=0, atol=5e-6)


def flops(name: str, position: int, method: str = "") -> float:
    """What a candidate costs at this position of 50: matrix products only, those that all candidates share left out."""
    kind, settings = KINDS[name]
    encoder = kind(context=50, dimension=16, **settings)._encoder(ITEMS)
    encoder.initialise(torch.Generator().manual_seed(0))
    asked = Encoder.replaced_last_states if method == "plain" else type(encoder).replaced_last_states
    totals: list[int] = []
    for count in (1, 101):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            asked(encoder, torch.ones(50, 16), position, torch.ones(count, 16))
        totals.append(int(counter.get_total_flops()))
    return (totals[1] - totals[0]) / 100


def test_sasrec_does_not_compute_what_a_replacement_leaves_unchanged() -> None:
    """Two blocks take 12 products of a state by a D × D matrix; 2 are left, for states from the position on."""
    dimension, heads = 16, 2
    later = (
        2 * 2 * dimension**2 + 2 * dimension + 2 * 2 * heads * dimension
    )  # one key; scores and sum of the last block
    earlier = 2 * 2 * 2 * dimension  # one key and one value in either block
    oldest, middle, newest = (flops("sasrec", position) for position in (0, 25, 49))
    assert oldest - middle == 25 * (later - earlier)
    assert middle - newest == 24 * (later - earlier)
    whole = flops("sasrec", 25, "plain")
    assert whole >= 50 * 12 * 2 * dimension**2
    assert middle < whole / 6
    assert newest < whole / 20


def test_a_recurrent_cell_starts_where_the_sequence_changes() -> None:
    state, gates = 64, 3 * 64
    first, output = 2 * (16 + state) * gates, 2 * state * 16
    for position in (0, 25, 49):
        assert flops("gru", position) == first + (49 - position) * 2 * state * gates + output


def test_any_scorer_is_served() -> None:
    model = LinearBag(n_items=ITEMS)
    assert not isinstance(model, ReplacementScorer)
    for row in BATCH.chunks(1):
        values = evaluate_replacements(model, row, 6, CATALOGUE, label_loss)
        np.testing.assert_array_equal(values, brute_force(model, row, 6))


class DropsSevens:
    """A guard that drops item 7."""

    name = "drops-sevens"

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(sequences.items == 7, 0, sequences.items)


def test_a_guard_is_not_bypassed() -> None:
    inner = trained("sasrec")
    guarded = GuardedRecommender(DropsSevens(), inner, frozenset({"lists", "scores"}))  # type: ignore[arg-type]
    values = evaluate_replacements(guarded, BATCH[:1], 5, CATALOGUE, label_loss)
    np.testing.assert_allclose(values, brute_force(guarded, BATCH[:1], 5), rtol=0, atol=5e-6)
    assert abs(values - brute_force(inner, BATCH[:1], 5))[6] > 1e-3


@pytest.mark.parametrize("incremental", [True, False])
def test_scores_come_in_bounded_chunks(incremental: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained("gru") if incremental else LinearBag(n_items=ITEMS)
    monkeypatch.setattr("robust.recommenders.replacements._CPU_CHUNK", 16 * (ITEMS + 1))
    shapes = []

    def objective(scores: Tensor) -> Tensor:
        shapes.append(tuple(scores.shape))
        assert torch.all(scores[:, 0] == -torch.inf)
        return label_loss(scores)

    values = evaluate_replacements(model, BATCH[:1], 6, CATALOGUE, objective)
    assert shapes == [(16, ITEMS + 1), (4, ITEMS + 1)]
    np.testing.assert_allclose(values, brute_force(model, BATCH[:1], 6), rtol=0, atol=5e-6)


def test_no_candidates_no_values() -> None:
    nothing = np.zeros(0, np.int32)
    for model in (trained("sasrec"), trained("gru"), LinearBag(n_items=ITEMS)):
        assert evaluate_replacements(model, BATCH[:1], 6, nothing, label_loss).shape == (0,)


def test_misuse_is_refused() -> None:
    model = trained("gru")
    with pytest.raises(InputError, match="one sequence at a time; got 2 rows"):
        evaluate_replacements(model, BATCH[:2], 0, CATALOGUE, label_loss)
    with pytest.raises(InputError, match=r"columns 0…7; there is no column 8"):
        evaluate_replacements(model, BATCH[:1], 8, CATALOGUE, label_loss)
    with pytest.raises(InputError, match=r"from 1 to 20; got 0…21"):
        evaluate_replacements(model, BATCH[:1], 0, np.array([0, 21], np.int32), label_loss)
    with pytest.raises(InputError, match=r"shape \[m\]; got \(1, 20\)"):
        evaluate_replacements(model, BATCH[:1], 0, CATALOGUE[None], label_loss)
    with pytest.raises(RobustError, match=r"\(20, 21\) into \(20,\) numbers; got \(20, 1\)"):
        evaluate_replacements(model, BATCH[:1], 7, CATALOGUE, lambda scores: scores[:, 1:2])


def test_one_query_per_edited_sequence() -> None:
    model = trained("sasrec")
    access = view(model, queries=2 * ITEMS - 1)
    values = access.model.evaluate_replacements(BATCH[:1], 6, CATALOGUE, label_loss)
    np.testing.assert_allclose(values, brute_force(model, BATCH[:1], 6), rtol=0, atol=5e-6)
    assert access.counter.spent == ITEMS
    with pytest.raises(BudgetExceeded, match="queries 40, allowed 39"):
        access.model.evaluate_replacements(BATCH[:1], 6, CATALOGUE, label_loss)
    assert access.counter.spent == ITEMS


def test_who_sees_lists_only_may_not_ask() -> None:
    access = view(trained("gru"), knowledge=Knowledge(model="lists"))
    with pytest.raises(NotKnown, match="asked for scores"):
        access.model.evaluate_replacements(BATCH[:1], 6, CATALOGUE, label_loss)
    with pytest.raises(RobustError, match="needs scores"):
        view(ListsOnly(LinearBag(n_items=ITEMS))).model.evaluate_replacements(BATCH[:1], 6, CATALOGUE, label_loss)
