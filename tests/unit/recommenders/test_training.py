"""One training step against a plain torch loop, and what the loop promises: schedule, determinism, objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.errors import InputError
from robust.log import InteractionLog
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.dropout import OFF
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.training import Softmax, Step, learning_rate, make_step
from robust.recommenders.windows import batches, cut
from tests.toys import chain_log

SMALL: dict[str, Any] = {"context": 12, "dimension": 8, "max_steps": 20, "batch_size": 16}
KINDS = [SASRec, GRU4Rec, LSTM4Rec, RNN4Rec, NARM, Caser]
"""Trained to predict the next item at every position; BERT4Rec is not."""


def plain_torch_gradients(model: NeuralRecommender, log: InteractionLog) -> tuple[Tensor, dict[str, Tensor]]:
    """Row by row, no padding, no chunks, no alignment: the textbook loss."""
    encoder = model.encoder
    losses = []
    for user in range(log.n_users):
        items = torch.from_numpy(log.item[log.offsets[user] : log.offsets[user + 1]].astype(np.int64))
        inputs = F.embedding(items[:-1].unsqueeze(0), encoder.table)
        hidden = encoder(inputs, torch.tensor([len(items) - 1]), OFF)[0]
        losses.append(F.cross_entropy(hidden @ encoder.table[1:].T, items[1:] - 1, reduction="none"))
    loss = torch.cat(losses).mean()
    names = [name for name, _ in encoder.named_parameters()]
    gradients = torch.autograd.grad(loss, list(encoder.parameters()))
    return loss.detach(), dict(zip(names, gradients, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_has_the_loss_and_gradients_of_a_plain_loop(kind: type[NeuralRecommender]) -> None:
    full = chain_log(users=14, n_items=9, length=12, noise=0.3)
    ragged = full.rows(full.position < 3 + full.user % 9)
    model = kind(**SMALL, loss="full").fit(full, seed=1)
    model.encoder.requires_grad_(True)
    rng = np.random.default_rng(0)
    (batch,) = batches(ragged, cut(ragged, 12, rng), 100, rng)
    generator = torch.Generator().manual_seed(0)
    step = make_step(model.encoder, batch, Softmax(ragged, model.settings, torch.device("cpu")), OFF, generator)
    step.loss(step.embeddings).backward()  # type: ignore[no-untyped-call]
    ours = {name: p.grad for name, p in model.encoder.named_parameters()}
    loss, theirs = plain_torch_gradients(model, ragged)
    assert step.loss(step.embeddings).item() == pytest.approx(loss.item(), abs=1e-5)
    for name, gradient in theirs.items():
        got = ours[name]
        assert got is not None
        if name == "table":
            gradient[0] = 0  # the padding row
        assert torch.allclose(got, gradient, atol=1e-6), name


@pytest.mark.parametrize("kind", [*KINDS, BERT4Rec])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(kind: type[NeuralRecommender]) -> None:
    log = chain_log(users=60)
    before = torch.random.get_rng_state()
    first, again, other = (kind(**SMALL).fit(log, seed=seed).state()[0] for seed in (5, 5, 6))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["table"], other["table"])
    assert torch.equal(before, torch.random.get_rng_state())


def test_fit_returns_a_new_object() -> None:
    log = chain_log(users=60)
    victim = GRU4Rec(**SMALL)
    fitted = victim.fit(log, seed=0)
    weights = fitted.state()[0]["table"].copy()
    further = fitted.resume(log, seed=1, share=0.5)
    assert (victim.n_items, fitted.n_items) == (0, 20)
    assert np.array_equal(fitted.state()[0]["table"], weights)
    assert not np.array_equal(further.state()[0]["table"], weights)


def test_resume_is_deterministic_and_takes_its_share_of_the_steps() -> None:
    log = chain_log(users=60)
    fitted = SASRec(**SMALL, patience=20).fit(log, seed=0)
    assert fitted.steps == 20
    told: list[int] = []

    def progress(step: int, steps: int, note: str) -> None:
        told.append(step)
        assert steps == 6

    first = fitted.train(log, seed=3, share=0.3, progress=progress)
    again = fitted.resume(log, seed=3, share=0.3)
    assert told == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(first.state()[0]["table"], again.state()[0]["table"])
    assert first.steps == fitted.steps  # a later resume counts from the fit


def test_an_objective_sees_the_step_and_changes_the_fit() -> None:
    log = chain_log(users=60)
    seen: list[Step] = []

    def objective(step: Step) -> Tensor:
        seen.append(step)
        return step.loss(step.embeddings) + step.table.square().sum()

    plain, changed = GRU4Rec(**SMALL), GRU4Rec(**SMALL)
    weights = plain.train(log, seed=0).item_embeddings
    shrunk = changed.train(log, seed=0, objective=objective).item_embeddings
    assert float(shrunk.norm()) < float(weights.norm())
    step = seen[0]
    assert step.table.shape == (21, 8)
    assert step.mask.shape == step.embeddings.shape[:2]
    assert torch.all(step.embeddings[~step.mask] == 0)


def test_an_objective_can_ask_for_the_gradient_of_the_embeddings() -> None:
    def objective(step: Step) -> Tensor:
        nudge = torch.zeros_like(step.embeddings, requires_grad=True)
        (gradient,) = torch.autograd.grad(step.loss(step.embeddings.detach() + nudge), nudge)
        assert torch.all(gradient[~step.mask] == 0)
        assert bool((gradient[step.mask].norm(dim=1) > 0).all())
        return step.loss(step.embeddings + 0.1 * gradient)

    GRU4Rec(**SMALL).train(chain_log(users=30), seed=0, objective=objective)


def test_padding_stays_zero_through_training() -> None:
    fitted = SASRec(**SMALL, weight_decay=0.1).fit(chain_log(users=60), seed=0)
    assert torch.all(fitted.item_embeddings[0] == 0)


def test_early_stopping_keeps_the_best_weights() -> None:
    """A chain is learnt long before the last step; with a patience of 1 the fit ends early, at full quality."""
    log = chain_log(users=250)
    settings = {**SMALL, "max_steps": 800, "max_epochs": 200, "patience": 1, "learning_rate": 2e-2}
    fitted = GRU4Rec(**settings).fit(log, seed=0)
    assert fitted.steps < 700
    sequences = log.sequences(12)
    newest = sequences.items[:, -1]
    assert np.mean(fitted.recommend(sequences, 1)[:, 0] == newest % 20 + 1) > 0.95


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert max(rates) == pytest.approx(1.0)
    assert 0 < rates[-1] < 0.001
    assert 0 < learning_rate(0, 1, 0.5) <= 1


def test_auto_loss_depends_on_the_catalogue() -> None:
    log, device = chain_log(n_items=20), torch.device("cpu")
    generator = torch.Generator()
    assert Softmax(log, TrainingSettings(full_softmax_items=20), device).draw(generator) is None
    sampled = Softmax(log, TrainingSettings(full_softmax_items=19, negatives=7), device).draw(generator)
    assert sampled is not None
    assert 1 <= len(sampled.items) <= 7


@pytest.mark.parametrize("kind", [SASRec, GRU4Rec])
def test_sampled_softmax_learns_the_chain_too(kind: type[NeuralRecommender]) -> None:
    log = chain_log(users=120, n_items=40, length=9)
    settings = {"context": 8, "dimension": 16, "loss": "sampled", "negatives": 10, "learning_rate": 2e-2}
    fitted = kind(**settings, batch_size=64, max_steps=100, max_epochs=100).fit(log, seed=0)
    sequences = log.sequences(8)
    assert np.mean(fitted.recommend(sequences, 1)[:, 0] == sequences.items[:, -1] % 40 + 1) > 0.9


def test_a_log_without_any_next_item_is_refused() -> None:
    log = InteractionLog.from_columns([0, 1, 2], [1, 2, 3], [0, 0, 0])
    with pytest.raises(InputError, match="no user has two interactions"):
        SASRec(**SMALL).fit(log, seed=0)


def test_resume_on_another_catalogue_is_refused() -> None:
    fitted = GRU4Rec(**SMALL).fit(chain_log(users=30), seed=0)
    with pytest.raises(InputError, match="fitted to 20 items"):
        fitted.resume(chain_log(users=30, n_items=21), seed=0, share=0.5)
    with pytest.raises(InputError, match="fitted to 0 items"):
        GRU4Rec(**SMALL).resume(chain_log(users=30), seed=0, share=0.5)


@pytest.mark.parametrize("users", [1, 2, 30])
def test_small_logs_are_fitted(users: int) -> None:
    log = chain_log(users=users, n_items=5, length=4)
    assert SASRec(**SMALL).fit(log, seed=0).recommend(log.sequences(3), 5).shape == (users, 5)
