"""Training defences other than adversarial ones: each against what its paper says, by hand or by brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from robust import plugins
from robust.defense import TrainingDefense
from robust.defenses.training.augmentation import Augmentation, Views
from robust.defenses.training.bagging import Bagging, repeated
from robust.defenses.training.distillation import Distillation
from robust.defenses.training.dropout import Dropout
from robust.defenses.training.ensemble import Seeds
from robust.defenses.training.noise_training import NoiseTraining
from robust.defenses.training.reweighting import Reweighting, Weights, cauchy, coherence, robust_z
from robust.defenses.training.trimmed import Trimmed, window_losses
from robust.defenses.training.weight_decay import WeightDecay
from robust.defenses.training.windows import crop, delete, reorder, share_of
from robust.errors import InputError, NotApplicable
from robust.log import InteractionLog, LogEdit
from robust.recommenders.baselines import Markov
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.dropout import OFF
from robust.recommenders.ensemble import Ensemble
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.objective import Softmax, Step, make_step
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec
from robust.recommenders.sasrec import SASRec
from robust.recommenders.windows import Batch, batches, cut
from robust.runner.flags import ZERO_GRADIENT
from robust.sanity import zero_gradient_share
from tests.toys import LinearBag, chain_log

SMALL: dict[str, Any] = {"context": 12, "dimension": 8, "max_steps": 12, "batch_size": 16}
DEFENSES = [
    NoiseTraining(delete=0.3, substitute=0.1, crop=0.2, gaussian=0.5),
    Trimmed(share=0.3, rise=0.1),
    Reweighting(warm_up=0.2),
    Bagging(members=2),
    Bagging(members=2, samples="disjoint", combine="ranks"),
    Seeds(members=2),
    Distillation(),
    Dropout(),
    WeightDecay(),
    Augmentation(),
]
KINDS = [GRU4Rec, LSTM4Rec, SASRec, NARM, Caser, BERT4Rec]


def batch_of(log: InteractionLog, size: int = 100) -> Batch:
    rng = np.random.default_rng(0)
    return next(batches(log, cut(log, 12, rng), size, rng))


def step_of(model: NeuralRecommender, log: InteractionLog, batch: Batch, seed: int = 0) -> Step:
    generator = torch.Generator().manual_seed(seed)
    softmax = Softmax(log, model.settings, torch.device("cpu"))
    return make_step(model.encoder, batch, softmax, OFF, generator)


def ragged_log(users: int = 40) -> InteractionLog:
    full = chain_log(users=users, n_items=20, length=13, noise=0.2)
    return full.rows(full.position < 3 + full.user % 10)


# --- all of them


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: defense.name)
@pytest.mark.parametrize("kind", [GRU4Rec, BERT4Rec])
def test_fits_and_resumes_alike_with_one_seed_and_leaves_its_inputs(
    defense: TrainingDefense, kind: type[NeuralRecommender]
) -> None:
    log, victim = ragged_log(20), kind(**{**SMALL, "max_steps": 6})
    base: Any = victim.fit(log, seed=0)
    columns: list[Any] = [column.copy() for column in (log.user, log.item, log.timestamp)]
    weights = base.state()[0]
    sequences = log.sequences(12)
    protected = cast(Any, defense.protect(base, log=log, seed=1))
    fresh = [protected.fit(log, seed=1).score(sequences) for _ in range(2)]
    further = protected.resume(log, seed=1, share=0.5).score(sequences)
    assert np.array_equal(*fresh)
    assert not np.array_equal(fresh[0], further)
    undefended = victim.fit(log, seed=1).score(sequences), base.resume(log, seed=1, share=0.5).score(sequences)
    assert not np.array_equal(fresh[0], undefended[0])
    assert not np.array_equal(further, undefended[1])
    after: list[Any] = [log.user, log.item, log.timestamp]
    assert all(np.array_equal(a, b) for a, b in zip(columns, after, strict=True))
    assert all(np.array_equal(weights[name], array) for name, array in base.state()[0].items())


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: defense.name)
@pytest.mark.parametrize("kind", KINDS)
def test_serves_every_neural_victim_with_either_softmax(
    defense: TrainingDefense, kind: type[NeuralRecommender]
) -> None:
    log, loss = ragged_log(20), "sampled" if KINDS.index(kind) % 2 else "full"
    victim = kind(**{**SMALL, "max_steps": 2}, loss=loss, negatives=9)
    scores = cast(Any, defense.protect(victim, log=log, seed=1)).fit(log, seed=1).score(log.sequences(12))
    assert np.isfinite(scores[:, 1:]).all()


def test_names_and_parameters_are_those_of_the_plugins() -> None:
    for defense in DEFENSES:
        assert plugins.build("defenses", defense.name, defense.model_dump(mode="json")) == defense


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: defense.name)
def test_what_cannot_be_honoured_is_not_applicable(defense: TrainingDefense) -> None:
    with pytest.raises(NotApplicable):
        defense.protect(LinearBag(), seed=0)
    counted = Markov()
    if "loss" in defense.needs:
        with pytest.raises(NotApplicable):
            defense.protect(counted, seed=0)
    else:
        assert "fit" in cast(Any, defense.protect(counted, seed=0)).capabilities


class _OwnLoop(LinearBag):
    """It can be fitted and has a loss, but no loop that takes an objective."""

    capabilities = frozenset({"lists", "scores", "fit", "resume", "gradients", "loss"})

    def fit(self, log: InteractionLog, *, seed: int) -> _OwnLoop:
        """Itself."""
        return self


@pytest.mark.parametrize("defense", [d for d in DEFENSES if "loss" in d.needs], ids=lambda defense: defense.name)
def test_a_foreign_loop_is_not_applicable(defense: TrainingDefense) -> None:
    protected = cast(Any, defense.protect(_OwnLoop(), seed=0))
    with pytest.raises(NotApplicable, match=r"train\(log, objective|with_settings"):
        protected.fit(chain_log(), seed=0)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (NoiseTraining, {"delete": 0}),
        (NoiseTraining, {"delete": 1}),
        (Augmentation, {"crop": 0, "mask": 0, "reorder": 0}),
        (Augmentation, {"share": 0}),
        (Trimmed, {"share": 1}),
        (Bagging, {"members": 1}),
        (Bagging, {"samples": "other"}),
        (Distillation, {"temperature": 0.5}),
        (Dropout, {"rate": 1}),
        (WeightDecay, {"decay": 0}),
        (Reweighting, {"scale": 0}),
        (Seeds, {"combine": "votes"}),
    ],
)
def test_parameters_out_of_range_are_refused(kind: type[TrainingDefense], given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**given)


# --- windows


def windows_of(batch: Batch) -> list[tuple[list[int], list[int]]]:
    return [
        (items[:n].tolist(), targets[:n].tolist())
        for items, targets, n in zip(batch.items, batch.targets, batch.lengths, strict=True)
    ]


def aligned(batch: Batch) -> bool:
    place = np.arange(batch.items.shape[1]) < batch.lengths[:, None]
    return np.array_equal(batch.items != 0, place) and np.array_equal(batch.targets != 0, place)


def test_deletion_drops_at_its_rate_and_asks_for_what_followed() -> None:
    batch = batch_of(chain_log(users=400, length=13), 400)
    rng = np.random.default_rng(1)
    drop = rng.random(batch.items.shape) < 0.4
    left = delete(batch, drop, rng)
    assert aligned(left)
    offsets = []
    for row, (items, targets) in enumerate(windows_of(left)):
        kept = np.flatnonzero(~drop[row][: batch.lengths[row]])
        kept = kept if len(kept) else batch.lengths[row : row + 1] - 1
        assert items == batch.items[row, kept].tolist()
        until = np.append(kept[1:], batch.lengths[row])
        for place, stop, target in zip(kept, until, targets, strict=True):
            allowed = batch.targets[row, place:stop].tolist()
            assert target in allowed
            if len(allowed) == 3:
                offsets.append(allowed.index(target))
    assert left.lengths.sum() / batch.lengths.sum() == pytest.approx(0.6, abs=0.03)
    assert np.bincount(offsets, minlength=3) / len(offsets) == pytest.approx(np.full(3, 1 / 3), abs=0.08)


def test_a_window_that_would_lose_all_keeps_its_newest() -> None:
    batch = batch_of(ragged_log())
    left = delete(batch, np.ones(batch.items.shape, dtype=bool), np.random.default_rng(0))
    rows = np.arange(len(batch.items))
    assert np.array_equal(left.items, batch.items[rows, batch.lengths - 1][:, None])
    assert np.array_equal(left.targets, batch.targets[rows, batch.lengths - 1][:, None])


def test_a_crop_is_a_run_of_its_window() -> None:
    batch = batch_of(ragged_log())
    cropped = crop(batch, share_of(batch.lengths, 0.6), np.random.default_rng(0))
    assert aligned(cropped)
    firsts = set()
    for (items, targets), (whole, followed) in zip(windows_of(cropped), windows_of(batch), strict=True):
        assert len(items) == max(int(0.6 * len(whole) + 1e-9), 1)
        runs = [whole[start : start + len(items)] for start in range(len(whole) - len(items) + 1)]
        places = [p for p, run in enumerate(runs) if run == items and followed[p : p + len(items)] == targets]
        assert places
        firsts.add(places[0])
    assert len(firsts) > 2


def test_reordering_shuffles_a_run_and_asks_for_what_then_follows() -> None:
    log = chain_log(users=40, n_items=30, length=13)  # no item twice
    batch = batch_of(log)
    length = share_of(batch.lengths, 0.5)
    shuffled = reorder(batch, length, np.random.default_rng(0))
    assert aligned(shuffled)
    changed = 0
    for (items, targets), (whole, followed), run in zip(
        windows_of(shuffled), windows_of(batch), length.tolist(), strict=True
    ):
        assert sorted(items) == sorted(whole)
        moved = [place for place in range(len(items)) if items[place] != whole[place]]
        changed += bool(moved)
        assert not moved or moved[-1] - moved[0] < run
        assert targets == [*items[1:], followed[-1]]
    assert changed > 35


# --- noise


def test_substitutes_take_the_place_of_shown_items_only() -> None:
    log = ragged_log()
    for kind in (GRU4Rec, BERT4Rec):
        model = kind(**SMALL).fit(log, seed=0)
        step = step_of(model, log, batch_of(log))
        shown: list[Tensor] = []
        recorded = _recording(step, shown)
        NoiseTraining(delete=0, substitute=0.5).objective(recorded)
        (embeddings,) = shown
        same = (embeddings == step.embeddings).all(dim=2)
        assert bool(same[~step.mask].all())
        share = 1 - float(same[step.mask].float().mean())
        assert share == pytest.approx(0.5 * 19 / 20, abs=0.12)
        distances = torch.cdist(embeddings[step.mask], step.table[1:]).amin(dim=1)
        assert float(distances.max()) < 1e-3


def test_gaussian_noise_has_the_stated_length() -> None:
    log = ragged_log(200)
    model = GRU4Rec(**SMALL).fit(log, seed=0)
    step = step_of(model, log, batch_of(log, 300))
    shown: list[Tensor] = []
    NoiseTraining(delete=0, gaussian=2.0).objective(_recording(step, shown))
    apart = torch.cdist(step.table[1:], step.table[1:]).fill_diagonal_(torch.inf).amin(dim=1)
    noise = (shown[0] - step.embeddings).detach()
    assert torch.all(noise[~step.mask] == 0)
    length = noise[step.mask].square().sum(dim=1).mean().sqrt()
    assert float(length / apart.median()) == pytest.approx(2.0, rel=0.1)


def _recording(step: Step, shown: list[Tensor]) -> Step:
    def loss(embeddings: Tensor, weights: Tensor | None = None) -> Tensor:
        shown.append(embeddings)
        return step.loss(embeddings, weights)

    return replace(step, loss=loss)


def test_masks_hide_their_share_of_the_masked_windows() -> None:
    log = ragged_log()
    model = GRU4Rec(**SMALL).fit(log, seed=0)
    views = Views(Augmentation(share=1.0, crop=0, reorder=0, mask=0.3))
    batch = views.augment(batch_of(log), np.random.default_rng(0))
    step = step_of(model, log, batch)
    shown: list[Tensor] = []
    views.objective(_recording(step, shown))
    hidden = ((shown[0] == 0).all(dim=2) & step.mask).sum(dim=1)
    assert hidden.tolist() == [int(0.3 * n + 1e-6) for n in batch.lengths]
    views = Views(Augmentation(share=0.5))
    untouched = batch_of(log)
    views.augment(untouched, np.random.default_rng(0))
    assert 0 < views.masked.mean() < 0.4


# --- trimmed


def test_the_hardest_windows_are_left_out() -> None:
    log = ragged_log()
    model = GRU4Rec(**SMALL, loss="full").fit(log, seed=0)
    batch = batch_of(log)
    step = step_of(model, log, batch)
    by_hand = []
    for items, targets in windows_of(batch):
        embedded = F.embedding(torch.tensor([items]), model.encoder.table)
        hidden = model.encoder(embedded, torch.tensor([len(items)]), OFF)[0]
        by_hand.append(F.cross_entropy(hidden @ model.encoder.table[1:].T, torch.tensor(targets) - 1, reduction="none"))
    means = torch.stack([losses.mean() for losses in by_hand])
    assert torch.allclose(window_losses(step), means, atol=1e-5)
    kept = means.argsort()[: len(means) - 10]
    wanted = torch.cat([by_hand[row] for row in kept]).mean()
    trimmed = Trimmed(share=10 / len(means), rise=0)
    assert trimmed.objective(step).item() == pytest.approx(wanted.item(), abs=1e-5)


def test_the_share_left_out_rises_and_is_met_on_average() -> None:
    trimmed = Trimmed(share=0.1, rise=0.5)
    assert [trimmed.rate(step, 100) for step in (0, 25, 50, 99)] == pytest.approx([0, 0.05, 0.1, 0.1])
    assert Trimmed(share=0.1, rise=0).rate(0, 100) == 0.1
    log = ragged_log(25)
    model = GRU4Rec(**SMALL).fit(log, seed=0)
    out = []
    for seed in range(100):
        step = step_of(model, log, batch_of(log), seed)
        kept: list[float] = []

        def loss(embeddings: Tensor, weights: Tensor | None = None, step: Step = step, kept: Any = kept) -> Tensor:
            rows = step.rows if weights is None else step.rows[weights > 0]
            kept.append(len(step.items) - len(torch.unique(rows)))
            return step.loss(embeddings, weights)

        Trimmed(share=0.1, rise=0).objective(replace(step, loss=loss))
        out += kept
    assert set(out) == {2, 3}
    assert np.mean(out) == pytest.approx(2.5, abs=0.2)


def poisoned(log: InteractionLog, items: np.ndarray[Any, Any]) -> InteractionLog:
    return LogEdit(add=items.astype(np.int32)).apply(log)


def test_random_profiles_lose_their_weight_and_easy_ones_do_not() -> None:
    """What both reweighting and trimming can and cannot do: fakes that are hard to fit go, fakes that are easy stay."""
    log = chain_log(users=150, n_items=40, length=13)
    rng = np.random.default_rng(0)
    hard = poisoned(log, rng.integers(1, 41, size=(10, 13)))
    easy = poisoned(log, (np.arange(10)[:, None] + np.arange(13)) % 40 + 1)
    settings = {**SMALL, "max_steps": 100, "max_epochs": 200, "learning_rate": 0.03}
    relative, dropped = [], []
    for fakes in (hard, easy):
        weights = Weights(fakes, 2.385, 0.3)
        GRU4Rec(**settings).train(fakes, seed=0, objective=weights.objective)
        relative.append(weights.now[150:].mean() / weights.now[:150].mean())
        fitted = GRU4Rec(**settings).fit(fakes, seed=0)
        losses = window_losses(step_of(fitted, fakes, whole := batch_of(fakes, 200)))
        dropped.append(np.mean(whole.users[losses.topk(10).indices.numpy()] >= 150))
    assert relative[0] < 0.5
    assert relative[1] > 0.8
    assert dropped[0] > 0.9
    assert dropped[1] < 0.4


# --- reweighting


def test_weights_are_cauchys_of_robust_z_scores() -> None:
    features = np.array([[1.0, 2.0, 3.0, 4.0, np.nan, 101.0], [5.0, 5.0, 5.0, 5.0, 9.0, 5.0]])
    z = robust_z(features)
    assert z[0, [0, 4, 5]] == pytest.approx([-2 / 1.4826, 0.0, 98 / 1.4826])
    assert not z[1].any()  # most are equal: it says nothing
    assert cauchy(np.array([[2.0, 0.0], [2.0, 0.0]]), 2.0) == pytest.approx([0.5, 1.0])


def test_coherence_is_the_mean_cosine_of_neighbours() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 1, 2, 2], [1, 2, 2, 3, 1, 3], [1, 2, 3, 1, 1, 2], n_users=4)
    table = np.array([[0, 0], [1, 0], [0, 2], [3, 3]], np.float32)
    assert coherence(log, table)[[0, 2]] == pytest.approx([0.5, 0.5**0.5])
    assert np.isnan(coherence(log, table)[[1, 3]]).all()


def test_weights_do_not_depend_on_who_comes_last() -> None:
    """No label reaches it, the number of a user included: in another order the same users have the same weights."""
    log = ragged_log(60)
    renamed = np.random.default_rng(0).permutation(60)
    other = InteractionLog.from_columns(renamed[log.user], log.item, log.timestamp, n_users=60, n_items=20)
    table = np.random.default_rng(1).normal(size=(21, 8)).astype(np.float32)
    now = []
    for rows in (log, other):
        weights = Weights(rows, 2.385, 0.0)
        weights._renew(table)
        now.append(weights.now)
    assert now[0].std() > 0.05
    assert now[1][renamed] == pytest.approx(now[0], rel=1e-5)


# --- bagging


def test_a_bootstrap_repeats_whole_users() -> None:
    log = ragged_log(30)
    times = np.array([3, 0, 1] * 10)
    sample = repeated(log, times)
    profiles = [tuple(log.item[log.offsets[u] : log.offsets[u + 1]]) for u in range(30)]
    drawn = [tuple(sample.item[sample.offsets[u] : sample.offsets[u + 1]]) for u in range(sample.n_users)]
    assert drawn[:30] == [profile if count else () for profile, count in zip(profiles, times, strict=True)]
    assert sorted(drawn[30:]) == sorted(profiles[u] for u in range(0, 30, 3) for _ in range(2))
    assert (sample.n_items, sample.n_users) == (20, 50)
    first, second = Bagging(members=2).drawn(log, 0)
    assert len({*map(tuple, (first.lengths, second.lengths))}) == 2
    assert (first.lengths > 0).sum() == 30


def test_disjoint_parts_cover_all_and_further_users_move_nobody() -> None:
    log = ragged_log(60)
    more = poisoned(log, np.ones((5, 4)))
    bagging = Bagging(members=4, samples="disjoint")
    before, after = bagging.drawn(log, 7), bagging.drawn(more, 7)
    assert np.array_equal(sum(part.lengths for part in before), log.lengths)
    for part, grown in zip(before, after, strict=True):
        assert np.array_equal(part.lengths, grown.lengths[:60])
    assert sum(int(grown.lengths[60:].sum()) for grown in after) == 20
    assert min((part.lengths > 0).sum() for part in before) > 5
    other = bagging.drawn(log, 8)
    assert any(not np.array_equal(a.lengths, b.lengths) for a, b in zip(before, other, strict=True))


def test_more_parts_than_users_are_refused_before_any_fit() -> None:
    log = ragged_log(6)
    with pytest.raises(InputError, match="7 members cannot each have a user with a next item; there are 6"):
        Bagging(members=7).check_log(log)

    class Never:
        capabilities = frozenset({"lists", "fit"})
        n_items = 20

        def fit(self, log: InteractionLog, *, seed: int) -> None:
            raise AssertionError("it was fitted")

    with pytest.raises(InputError, match="ask for fewer members"):
        Bagging(members=6, samples="disjoint").train(Never(), log, seed=0, share=None)


def test_an_ensemble_goes_on_member_by_member() -> None:
    log = ragged_log()
    for defense in (Seeds(members=2), Bagging(members=2)):
        fitted = defense.train(GRU4Rec(**SMALL), log, seed=0, share=None)
        further = cast(Any, defense.protect(fitted, log=log, seed=1)).resume(log, seed=1, share=0.5)
        assert isinstance(further, Ensemble)
        assert [type(member) for member in further.members] == [GRU4Rec, GRU4Rec]


# --- the cheap ones


def test_settings_are_those_asked_for() -> None:
    log, victim = ragged_log(), GRU4Rec(**SMALL, dropout=0.1)
    rate = cast(Any, Dropout(rate=0.4).train(victim, log, seed=0, share=None))
    decay = cast(Any, WeightDecay(decay=0.3).train(victim, log, seed=0, share=None))
    assert rate.settings == victim.settings.model_copy(update={"dropout": 0.4})
    assert decay.settings == victim.settings.model_copy(update={"weight_decay": 0.3})
    by_hand = GRU4Rec(**SMALL, dropout=0.4).fit(log, seed=0)
    assert np.array_equal(rate.state()[0]["table"], by_hand.state()[0]["table"])


# --- distillation


@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_teacher_and_student_are_softened(loss: str) -> None:
    log = ragged_log()
    teacher, student = (GRU4Rec(**SMALL, loss=loss, negatives=7).fit(log, seed=seed) for seed in (0, 1))
    step = step_of(student, log, batch_of(log))
    logits = step.logits(step.embeddings).double()
    answers = step.through(teacher.encoder)
    theirs = answers.logits(answers.embeddings).double()
    T = 5.0
    if loss == "sampled":  # the correction of the negatives' frequency is no part of a score, and is not softened
        correction = _correction(student, log)
        logits[:, 1:], theirs[:, 1:] = (z[:, 1:] + correction * (T - 1) for z in (logits, theirs))
    hard = F.cross_entropy(logits / T, step.columns)
    soft = -((theirs / T).softmax(dim=1) * (logits / T).log_softmax(dim=1).nan_to_num(neginf=0.0)).sum(dim=1).mean()
    defense = Distillation(temperature=T)
    assert defense.hard(step).item() == pytest.approx(hard.item(), rel=1e-4)
    assert defense.soft(teacher.encoder)(step).item() == pytest.approx(soft.item(), rel=1e-4)


def _correction(model: NeuralRecommender, log: InteractionLog) -> Tensor:
    softmax = Softmax(log, model.settings, torch.device("cpu"))
    negatives = softmax.draw(torch.Generator().manual_seed(0))
    assert negatives is not None
    return negatives.correction.double()


def test_at_a_high_temperature_scores_grow_and_the_gradient_of_the_loss_vanishes() -> None:
    """Papernot's network is served at T = 1: on a chain, the served softmax saturates in float32."""
    log = chain_log(users=100, n_items=20)
    settings = {**SMALL, "dimension": 16, "max_steps": 100, "max_epochs": 400, "learning_rate": 0.2, "patience": 99}
    plain, distilled = (
        cast(Any, model)
        for model in (
            GRU4Rec(**settings).fit(log, seed=0),
            Distillation(temperature=100.0).train(GRU4Rec(**settings), log, seed=0, share=None),
        )
    )
    sequences = log.sequences(12)
    newest = sequences.items[:, -1]
    for model in (plain, distilled):
        assert np.mean(model.recommend(sequences, 1)[:, 0] == newest % 20 + 1) > 0.95
    spread = [float(model.score(sequences)[:, 1:].std(axis=1).mean()) for model in (plain, distilled)]
    assert spread[1] > 5 * spread[0]
    assert zero_gradient_share(plain, sequences) < ZERO_GRADIENT / 2
    assert zero_gradient_share(distilled, sequences) > ZERO_GRADIENT  # what the report raises a flag for
