"""Training defences of the adversarial family: each objective against its formula, on real steps of small victims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from robust.defense import TrainingDefense
from robust.defenses.training.adversarial_embeddings import AdversarialEmbeddings
from robust.defenses.training.apr import APR
from robust.defenses.training.dirichlet import Dirichlet, Sampled
from robust.defenses.training.free import FreeAdversarialTraining, Replayed
from robust.defenses.training.mixed import REPLAYS, MixedRepresentations
from robust.defenses.training.trades import TRADES
from robust.defenses.training.vulnerability_aware import VulnerabilityAware, vulnerability
from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.perturbation import neighbour_distance
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.objective import Step
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec
from robust.recommenders.sasrec import SASRec
from tests.toys import LinearBag, chain_log
from tests.unit.defenses.steps import FULL, SMALL, a_step, columns_of, plain_loss, step_of, unit, watched

VICTIMS: list[type[NeuralRecommender]] = [GRU4Rec, LSTM4Rec, SASRec, NARM, Caser, BERT4Rec]
DEFENSES: list[TrainingDefense] = [
    AdversarialEmbeddings(),
    FreeAdversarialTraining(replays=2),
    APR(),
    TRADES(),
    VulnerabilityAware(),
    Dirichlet(rebuilds=2, most=4),
    MixedRepresentations(items=10),
]
IDLE: list[tuple[TrainingDefense, int]] = [
    (AdversarialEmbeddings(weight=0), 1),
    (AdversarialEmbeddings(epsilon=0), 1),
    (FreeAdversarialTraining(epsilon=0, replays=3), 3),
    (APR(weight=0), 1),
    (APR(epsilon=0), 1),
    (TRADES(beta=0), 1),
    (TRADES(epsilon=0), 1),
    (VulnerabilityAware(weight=0), 1),
    (VulnerabilityAware(epsilon=0), 1),
    (Dirichlet(ratio=0), 1),
    (MixedRepresentations(ratio=0), REPLAYS),
]
every_defense = pytest.mark.parametrize("defense", DEFENSES, ids=lambda d: str(d.name))
every_victim = pytest.mark.parametrize("kind", VICTIMS, ids=lambda k: k.__name__)


def objective_of(defense: TrainingDefense) -> Callable[[Step], Tensor]:
    if isinstance(defense, Dirichlet):
        return Sampled(defense)
    if isinstance(defense, FreeAdversarialTraining):
        return Replayed(defense)
    assert isinstance(defense, AdversarialEmbeddings | APR | TRADES | VulnerabilityAware | MixedRepresentations)
    return defense.objective


# --- what all of them promise


@every_defense
@every_victim
def test_it_trains_every_victim_from_scratch_and_further_and_touches_nothing_given(
    defense: TrainingDefense, kind: type[NeuralRecommender]
) -> None:
    before, blank = columns_of(FULL), kind(**SMALL)
    fitted = defense.train(blank, FULL, seed=3, share=None)
    assert isinstance(fitted, kind)
    state = fitted.state()[0]
    assert all(np.isfinite(array).all() for array in state.values())
    assert np.all(state["table"][0] == 0)
    further = defense.train(fitted, FULL, seed=4, share=0.5)
    assert isinstance(further, kind)
    assert not np.array_equal(further.state()[0]["table"], state["table"])
    assert all(np.array_equal(array, state[name]) for name, array in fitted.state()[0].items()), "the old one stays"
    assert blank.n_items == 0
    assert columns_of(FULL) == before


@every_defense
def test_the_same_seed_gives_the_same_bits_and_plain_training_others(defense: TrainingDefense) -> None:
    def table(seed: int) -> np.ndarray[Any, Any]:
        model = defense.train(BERT4Rec(**SMALL), FULL, seed=seed, share=None)
        assert isinstance(model, BERT4Rec)
        return model.state()[0]["table"]

    replays = {"free": 2, "mixed": REPLAYS}.get(defense.name, 1)
    plain = BERT4Rec(**SMALL).train(FULL, seed=3, replays=replays).state()[0]["table"]
    first = table(3)
    assert np.array_equal(first, table(3))
    assert not np.array_equal(first, table(4))
    assert not np.array_equal(first, plain), "it does something"


@pytest.mark.parametrize(("defense", "replays"), IDLE, ids=lambda v: repr(v))
@pytest.mark.parametrize("kind", [SASRec, BERT4Rec])
def test_with_nothing_to_do_training_is_plain_to_the_bit(
    defense: TrainingDefense, replays: int, kind: type[NeuralRecommender]
) -> None:
    defended = defense.train(kind(**SMALL), FULL, seed=3, share=None)
    plain = kind(**SMALL).train(FULL, seed=3, replays=replays)
    assert isinstance(defended, kind)
    assert all(np.array_equal(array, defended.state()[0][name]) for name, array in plain.state()[0].items())


@every_defense
@pytest.mark.parametrize("kind", [GRU4Rec, BERT4Rec])
def test_a_position_without_an_item_is_never_moved(defense: TrainingDefense, kind: type[NeuralRecommender]) -> None:
    """Padding, and with a cloze task what is hidden."""
    model, first = a_step(kind)
    assert not first.mask.all()
    objective = objective_of(defense)
    for replay in (0, 1):
        step, seen = watched(step_of(model, replay=replay, seed=replay))  # other positions are hidden at the replay
        objective(step).backward()  # type: ignore[no-untyped-call]
        assert seen
        assert all(bool((embeddings[~step.mask] == 0).all()) for embeddings in seen)
        gradient = model.encoder.table.grad
        assert gradient is not None
        assert bool((gradient[0] == 0).all())


@every_defense
@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_tiny_logs_are_trained_on(defense: TrainingDefense, loss: str) -> None:
    """Of one item, which has no neighbour; of two; of items that nobody has."""
    logs = [
        InteractionLog.from_columns([0, 0, 0], [1, 1, 1], [1, 2, 3]),
        InteractionLog.from_columns([0, 0, 1, 1], [1, 2, 2, 1], [1, 2, 1, 2]),
        InteractionLog.from_columns([0, 0], [1, 2], [1, 2], n_users=5, n_items=4),
    ]
    for log in logs:
        model = defense.train(Caser(**SMALL, loss=loss, negatives=3), log, seed=0, share=None)
        assert isinstance(model, Caser)
        assert all(np.isfinite(array).all() for array in model.state()[0].values())


@every_defense
def test_a_recommender_that_cannot_be_trained_so_is_refused(defense: TrainingDefense) -> None:
    with pytest.raises(NotApplicable, match="objective can be changed"):
        defense.protect(LinearBag(), seed=0)
    with pytest.raises(NotApplicable, match=str(defense.name)):
        defense.train(LinearBag(), FULL, seed=0, share=None)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (AdversarialEmbeddings, {"epsilon": -0.1}),
        (AdversarialEmbeddings, {"weight": 1.1}),
        (AdversarialEmbeddings, {"start": "one"}),
        (FreeAdversarialTraining, {"replays": 1}),
        (FreeAdversarialTraining, {"epsilon": -1}),
        (APR, {"weight": -1}),
        (TRADES, {"beta": -1}),
        (TRADES, {"steps": 0}),
        (VulnerabilityAware, {"epsilon": -1}),
        (Dirichlet, {"ratio": 1.5}),
        (Dirichlet, {"alpha": 0}),
        (Dirichlet, {"fewest": 9, "most": 8}),
        (MixedRepresentations, {"ratio": -0.5}),
        (MixedRepresentations, {"step_size": 0}),
    ],
)
def test_parameters_out_of_range_are_refused(kind: type[TrainingDefense], given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**given)


# --- formulas


def test_one_step_from_zero_is_the_fast_gradient_method() -> None:
    model, step = a_step(SASRec)
    moved = step.embeddings.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(plain_loss(model, step, moved), moved)
    deltas = AdversarialEmbeddings(epsilon=0.5, steps=1, start="zero", relative_step=1.0).worst(step)
    size = deltas.norm(dim=-1)[step.mask]
    assert size.numpy() == pytest.approx(float(size[0]))
    assert float(size[0]) == pytest.approx(0.5 * neighbour_distance(step.table), rel=0.3), "measured on a sample"
    assert torch.allclose(deltas[step.mask], unit(gradient)[step.mask] * size[0], atol=1e-4 * float(size[0]))


def test_free_training_moves_by_the_gradient_that_trained_the_weights() -> None:
    model, _ = a_step(SASRec)
    objective = Replayed(FreeAdversarialTraining(start="zero", relative_step=0.4))
    by_hand = torch.zeros(())
    for replay in range(3):
        model.encoder.zero_grad()
        step, seen = watched(step_of(model, replay=replay))
        objective(step).backward()  # type: ignore[no-untyped-call]
        deltas = seen[0] - step.embeddings.detach()
        by_hand = by_hand if replay else torch.zeros_like(deltas)
        assert torch.allclose(deltas, by_hand, atol=1e-6)
        trained = model.encoder.table.grad
        assert trained is not None
        there = (step.embeddings.detach() + by_hand).requires_grad_(True)
        constant = F.embedding(step.items, model.encoder.table, padding_idx=0) + by_hand
        (wanted,) = torch.autograd.grad(plain_loss(model, step, constant), model.encoder.table)
        wanted[0] = 0
        assert torch.allclose(trained, wanted, atol=1e-6), "the weights learn from L(e + δ)"
        (gradient,) = torch.autograd.grad(plain_loss(model, step, there), there)
        epsilon = _radius(step, 0.5)
        by_hand = by_hand + 0.4 * epsilon * unit(gradient) * step.mask.unsqueeze(-1)
        by_hand = by_hand * (epsilon / by_hand.norm(dim=-1, keepdim=True).clamp_min(1e-20)).clamp(max=1)
    assert float(by_hand.norm(dim=-1).max()) > 0


def _radius(step: Step, epsilon: float) -> float:
    """As `radius` draws it on a fresh generator: by a loop over the items that it draws."""
    some = torch.randint(1, len(step.table), (256,), generator=torch.Generator().manual_seed(0))
    table = step.table.detach()[1:].double()
    gaps = torch.cdist(table, table) + torch.diag(torch.full((len(table),), torch.inf, dtype=torch.float64))
    return epsilon * float(gaps.amin(dim=1)[some - 1].median())


def test_apr_is_the_loss_here_and_at_the_table_moved_along_its_gradient() -> None:
    model, step = a_step(SASRec)
    table = model.encoder.table

    def loss(at: Tensor) -> Tensor:
        return plain_loss(model, step, F.embedding(step.items, at, padding_idx=0), at)

    (gradient,) = torch.autograd.grad(loss(table), table)
    gradient[0] = 0
    deltas = _radius(step, 0.5) * unit(gradient)
    wanted = loss(table) + 0.7 * loss(table + deltas)
    got = APR(epsilon=0.5, weight=0.7).objective(step)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert got.item() > 1.7 * loss(table).item()
    # Γ by finite differences, at three entries
    small = APR(epsilon=0.5).worst(a := step_of(model), a.loss(a.embeddings)) / _radius(step, 0.5)
    for item, place in ((1, 0), (7, 3), (15, 7)):
        bump = torch.zeros_like(table)
        bump[item, place] = 1e-3
        with torch.no_grad():
            slope = float(loss(table + bump) - loss(table - bump)) / 2e-3
        assert float(small[item, place] * gradient[item].norm()) == pytest.approx(slope, abs=1e-3)
    # both terms reach the weights, and Δ is constant
    (ours,) = torch.autograd.grad(got, table)
    (theirs,) = torch.autograd.grad(wanted, table)
    assert torch.allclose(ours[1:], theirs[1:], atol=1e-5)


@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_trades_is_cross_entropy_and_the_worst_divergence(loss: str) -> None:
    model, step = a_step(SASRec, loss=loss, negatives=6)
    step, seen = watched(step)
    defense = TRADES(epsilon=0.5, beta=2.0)
    got = defense.objective(step)
    clean, moved = seen[0], seen[-1]
    assert torch.equal(clean, step.embeddings)
    assert float((moved - clean).norm(dim=-1).max()) <= _radius(step, 0.5) * 1.3

    def kl(embeddings: Tensor) -> float:
        """In numpy, over the candidates of each position."""
        first, second = (step.logits(e).detach().double().numpy() for e in (clean, embeddings))
        p, q = (np.exp(z - z.max(axis=1, keepdims=True)) for z in (first, second))
        p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
        return float(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / np.where(p > 0, q, 1)), 0).sum(axis=1).mean())

    wanted = step.loss(step.embeddings).item() + 2.0 * kl(moved)
    assert got.item() == pytest.approx(wanted, rel=1e-4)
    assert kl(moved) > 2 * kl(seen[1]), "the ascent leaves its start behind"
    got.backward()  # type: ignore[no-untyped-call]
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.encoder.parameters() if p.grad is not None)


def test_trades_compares_under_one_draw_of_dropout() -> None:
    _, step = a_step(SASRec, dropout=0.5)
    state = step.generator.get_state()
    nearly = TRADES(epsilon=1e-6, beta=1.0).objective(step)
    step.generator.set_state(state)
    with torch.no_grad():
        first, second = (F.log_softmax(step.logits(step.embeddings), dim=1) for _ in range(2))
    right = F.nll_loss(first, step.columns)
    assert nearly.item() - right.item() == pytest.approx(0, abs=1e-5)
    assert F.kl_div(second, first, reduction="batchmean", log_target=True).item() > 1e-3, "two draws would differ"


def test_well_fitted_users_are_moved_further() -> None:
    losses = torch.tensor([1.0, 3.0, 4.0, 4.0, 0.0])
    rows, users = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([9, 5, 5, 2])
    # users: 9 has mean 2, 5 (two windows) has 4, 2 has 0; the mean over users is 2
    share = vulnerability(losses, rows, users)
    sigmoid = 1 / (1 + np.exp(-np.asarray([0.0, -1.0, -1.0, 1.0])))
    assert share.numpy() == pytest.approx(sigmoid, rel=1e-6)
    assert vulnerability(torch.zeros(2), torch.tensor([0, 1]), torch.tensor([0, 1])).tolist() == [0.5, 0.5]


def test_vulnerability_aware_training_moves_each_user_along_the_gradient() -> None:
    model, step = a_step(SASRec)
    defense = VulnerabilityAware(epsilon=0.8, weight=0.5)
    step, seen = watched(step)
    got = defense.objective(step)
    deltas = seen[-1] - step.embeddings.detach()
    there = step.embeddings.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(plain_loss(model, step, there), there)
    share = vulnerability(step.losses(step.embeddings), step.rows, step.users)
    wanted = _radius(step, 0.8) * share[:, None, None] * unit(gradient) * step.mask.unsqueeze(-1)
    assert torch.allclose(deltas, wanted, atol=1e-5)
    with torch.no_grad():
        clean, moved = (plain_loss(model, step, e) for e in (step.embeddings, step.embeddings + wanted))
    assert float(got.detach()) == pytest.approx(float(clean + 0.5 * moved), rel=1e-5)
    assert float(moved) > float(clean)


# --- quality


@pytest.fixture(scope="module")
def walks() -> InteractionLog:
    return chain_log(users=120, n_items=20, length=9, noise=0.1)


@every_defense
def test_a_defended_victim_still_learns_the_circle(defense: TrainingDefense, walks: InteractionLog) -> None:
    settings: dict[str, Any] = {"context": 8, "dimension": 16, "max_steps": 60, "min_steps": 60, "batch_size": 32}
    settings |= {"learning_rate": 2e-2, "validation_share": 0.0}
    model = defense.train(GRU4Rec(**settings), walks, seed=0, share=None)
    sequences = walks.sequences(8)
    assert np.mean(model.recommend(sequences, 1)[:, 0] == sequences.items[:, -1] % 20 + 1) > 0.8
