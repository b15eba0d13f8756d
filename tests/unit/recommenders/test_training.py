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
from robust.recommenders.dropout import OFF, Dropout
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.objective import Objective, Softmax, Step, make_step, plain
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.training import learning_rate
from robust.recommenders.windows import Batch, batches, cut
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


# --- what an objective may ask for


def ragged_log(users: int = 14) -> InteractionLog:
    full = chain_log(users=users, n_items=9, length=12, noise=0.3)
    return full.rows(full.position < 3 + full.user % 9)


def step_and_batch(model: NeuralRecommender, log: InteractionLog, dropout: Dropout = OFF) -> tuple[Step, Batch]:
    """All of a log's windows as one step; twice the same."""
    rng = np.random.default_rng(0)
    (batch,) = batches(log, cut(log, 12, rng), 100, rng)
    softmax = Softmax(log, model.settings, torch.device("cpu"))
    return make_step(model.encoder, batch, softmax, dropout, torch.Generator().manual_seed(3)), batch


def test_replays_repeat_a_batch_and_leave_the_number_of_steps() -> None:
    log, model = chain_log(users=60), GRU4Rec(**SMALL, patience=99)
    seen: list[tuple[int, int, int, bytes]] = []
    augmented: list[int] = []

    def objective(step: Step) -> Tensor:
        seen.append((step.number, step.of, step.replay, step.users.numpy().tobytes()))
        return step.loss(step.embeddings)

    def augment(batch: Batch, rng: np.random.Generator) -> Batch:
        augmented.append(len(seen))
        return batch

    fitted = model.train(log, seed=0, objective=objective, augment=augment, replays=3)
    assert fitted.steps == 20 == len(seen)
    assert [step[:3] for step in seen] == [(number, 20, number % 3) for number in range(20)]
    assert augmented == list(range(0, 20, 3))  # once per batch, however often it comes back
    groups = [{users for _, _, _, users in seen[start : start + 3]} for start in range(0, 20, 3)]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) > 1


def test_an_augmentation_changes_what_is_trained_on_and_not_the_log() -> None:
    log, model = chain_log(users=60), SASRec(**SMALL)
    items = log.item.copy()

    def reverse(batch: Batch, rng: np.random.Generator) -> Batch:
        return Batch(21 - batch.items * (batch.items > 0) - 21 * (batch.items == 0), *rest(batch))

    def rest(batch: Batch) -> Any:
        return batch.targets, batch.lengths, batch.users

    shown: list[Tensor] = []

    def objective(step: Step) -> Tensor:
        shown.append(step.items)
        return step.loss(step.embeddings)

    model.train(log, seed=0, objective=objective)
    model.train(log, seed=0, objective=objective, augment=reverse)
    plainly, reversed_ = shown[: len(shown) // 2], shown[len(shown) // 2 :]
    for before, after in zip(plainly, reversed_, strict=True):
        assert torch.equal(torch.where(before > 0, 21 - before, 0), after)
    assert np.array_equal(log.item, items)


@pytest.mark.parametrize(
    "objective", [None, plain, lambda step: step.loss(step.embeddings, torch.ones(len(step.rows)))]
)
def test_hooks_left_alone_change_no_bit(objective: Objective | None) -> None:
    log = chain_log(users=40)
    ours = SASRec(**SMALL).train(log, seed=0, objective=objective, replays=1, augment=lambda batch, rng: batch)
    theirs = SASRec(**SMALL).fit(log, seed=0).state()[0]
    for name, array in ours.state()[0].items():
        if objective is None or objective is plain:
            assert np.array_equal(array, theirs[name])
        else:  # a weighted mean divides by another sum: the same within rounding
            assert np.allclose(array, theirs[name], atol=1e-3)


def test_rows_users_and_targets_of_next_item_prediction() -> None:
    log = ragged_log()
    step, batch = step_and_batch(SASRec(**SMALL).fit(log, seed=1), log)
    wanted = [
        (row, int(target)) for row in range(len(batch.items)) for target in batch.targets[row, : batch.lengths[row]]
    ]
    assert list(zip(step.rows.tolist(), step.targets.tolist(), strict=True)) == wanted
    for row, user in enumerate(step.users.tolist()):
        own = log.item[log.offsets[user] : log.offsets[user + 1]]
        assert step.items[row, step.mask[row]].tolist() == own[:-1].tolist()
        assert [target for at, target in wanted if at == row] == own[1:].tolist()


def test_rows_users_and_targets_of_the_cloze_task() -> None:
    """What is shown and what is asked make up each user's whole profile."""
    log = ragged_log()
    step, _ = step_and_batch(BERT4Rec(**SMALL).fit(log, seed=1), log)
    assert sorted(set(step.rows.tolist())) == list(range(len(step.users)))
    for row, user in enumerate(step.users.tolist()):
        own = log.item[log.offsets[user] : log.offsets[user + 1]]
        hidden = step.targets[step.rows == row].tolist()
        assert 1 <= len(hidden) < len(own)
        assert sorted(hidden + step.items[row, step.mask[row]].tolist()) == sorted(own.tolist())
        shown = step.items[row, : len(own)].numpy()
        assert np.all((shown == own) | (shown == 0))


@pytest.mark.parametrize("loss", ["full", "sampled"])
@pytest.mark.parametrize("kind", [GRU4Rec, BERT4Rec])
def test_losses_logits_and_tables_of_a_step_agree_with_its_loss(kind: type[NeuralRecommender], loss: str) -> None:
    log = ragged_log()
    model = kind(**SMALL, loss=loss, negatives=5).fit(log, seed=1)
    step, _ = step_and_batch(model, log)
    whole = step.loss(step.embeddings)
    losses, logits = step.losses(step.embeddings), step.logits(step.embeddings)
    assert losses.shape == step.rows.shape == step.targets.shape == step.columns.shape
    assert losses.mean().item() == pytest.approx(whole.item(), rel=1e-5)
    assert torch.allclose(F.cross_entropy(logits, step.columns, reduction="none"), losses, atol=1e-5)
    weights = (step.rows % 3).float()
    weighted = (losses * weights).sum() / weights.sum()
    assert step.loss(step.embeddings, weights).item() == pytest.approx(weighted.item(), rel=1e-5)
    assert step.loss_at(step.table).item() == pytest.approx(whole.item(), rel=1e-5)
    # halved scores; a sampled softmax's correction, which is what is left of scores 0, stays whole
    correction = step.logits(step.embeddings, 1e9)
    assert torch.allclose(step.logits(step.embeddings, 2.0), (logits + correction) / 2, atol=1e-5)
    assert step.logits(step.embeddings, 2.0).requires_grad is model.encoder.table.requires_grad


def test_another_table_counts_on_both_sides() -> None:
    """∂loss/∂table by `loss_at` is what training takes, inputs and outputs together, and agrees with a difference."""
    log = ragged_log()
    model = GRU4Rec(**SMALL, loss="full").fit(log, seed=1)
    step, _ = step_and_batch(model, log)
    table = step.table.detach().clone().requires_grad_(True)
    (ours,) = torch.autograd.grad(step.loss_at(table), table)
    model.encoder.requires_grad_(True)
    again, _ = step_and_batch(model, log)
    (theirs,) = torch.autograd.grad(again.loss(again.embeddings), model.encoder.table)
    model.encoder.requires_grad_(False)
    assert torch.allclose(ours[1:], theirs[1:], atol=1e-6)
    way = torch.randn(table.shape, generator=torch.Generator().manual_seed(0))
    way[0] = 0
    with torch.no_grad():
        slope = (step.loss_at(table + 0.01 * way) - step.loss_at(table - 0.01 * way)) / 0.02
    assert slope.item() == pytest.approx(float((ours * way).sum()), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("kind", [SASRec, BERT4Rec])
def test_a_teacher_is_asked_the_same_question(kind: type[NeuralRecommender]) -> None:
    log = ragged_log()
    model, teacher = (kind(**SMALL, loss="sampled", negatives=5).fit(log, seed=seed) for seed in (1, 2))
    step, _ = step_and_batch(model, log)
    own, theirs = step.through(model.encoder), step.through(teacher.encoder)
    for name in ("items", "mask", "rows", "targets", "columns", "users"):
        assert torch.equal(getattr(own, name), getattr(step, name))
        assert torch.equal(getattr(theirs, name), getattr(step, name))
    # the same negatives, so the same loss without dropout
    assert own.loss(own.embeddings).item() == pytest.approx(step.loss(step.embeddings).item(), rel=1e-6)
    left_out = torch.isneginf(step.logits(step.embeddings))
    assert torch.equal(torch.isneginf(theirs.logits(theirs.embeddings)), left_out)
    assert left_out.any()
    assert theirs.loss(theirs.embeddings).item() != pytest.approx(step.loss(step.embeddings).item(), rel=1e-3)
    before = step.generator.get_state()
    step.through(teacher.encoder)
    assert torch.equal(before, step.generator.get_state())


def test_a_teacher_answers_without_dropout() -> None:
    log = ragged_log()
    model = GRU4Rec(**SMALL).fit(log, seed=1)
    step, _ = step_and_batch(model, log, Dropout(0.5, torch.Generator().manual_seed(0)))
    assert not torch.equal(step.losses(step.embeddings), step.losses(step.embeddings))
    own = step.through(model.encoder)
    assert torch.equal(own.losses(own.embeddings), own.losses(own.embeddings))
