"""On a small trained GRU whose right answer is planted (walk the circle), attacks hurt as the literature says, and
adversarial training helps; on the embedded log, a sanitiser is beaten by somebody who knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robust import plugins
from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.datasets.flights import load as flights
from robust.defense import TrainingDefense
from robust.defenses.guards.surprise import Surprise
from robust.defenses.sanitizers.pca import PCAVarSelect
from robust.defenses.training.adversarial_embeddings import AdversarialEmbeddings
from robust.errors import NotApplicable
from robust.log import InteractionLog, SequenceBatch
from robust.perturbation import neighbour_distance
from robust.recommenders.protocols import Differentiable, Fittable
from robust.recommenders.recurrent import GRU4Rec
from robust.threat import Budget, BudgetSpec, Degrade, GoalSpec, Knowledge, Promote
from tests.toys import LinearBag, chain_log, taste_log, view

TRAIN = chain_log(users=250, n_items=40, length=12, noise=0.1)
WALKS = chain_log(users=150, n_items=40, length=9, seed=9).sequences(9).items
SEQUENCES, TRUTH = SequenceBatch(WALKS[:, :8], np.arange(150)), WALKS[:, 8]
SETTINGS: dict[str, Any] = {
    "context": 8,
    "dimension": 16,
    "max_steps": 150,
    "batch_size": 32,
    "learning_rate": 1e-2,
    "validation_share": 0.0,
    "dropout": 0.1,
}


@pytest.fixture(scope="module")
def victim() -> GRU4Rec:
    return GRU4Rec(**SETTINGS).fit(TRAIN, seed=0)


def quality(model: Differentiable, sequences: SequenceBatch = SEQUENCES, deltas: torch.Tensor | None = None) -> float:
    """NDCG@10 of the true next item, ties lost."""
    with torch.no_grad():
        embeddings = model.embed(sequences)
        scores = model.score_embeddings(embeddings if deltas is None else embeddings + deltas, sequences).numpy()
    own = scores[np.arange(len(TRUTH)), TRUTH]
    rank = (scores[:, 1:] >= own[:, None]).sum(axis=1)
    return float(np.where(rank <= 10, 1 / np.log2(1 + rank), 0.0).mean())


def after(model: Any, name: str, budget: Budget, next_item: bool = False, **parameters: Any) -> float:
    """The quality that an attack leaves."""
    attack = plugins.load("attacks", name)(**parameters)
    access = view(model, knowledge=Knowledge(model="gradients", next_item=next_item), next_items=TRUTH)
    rng = np.random.default_rng(0)
    if isinstance(attack, EvasionAttack):
        return quality(model, attack(access, SEQUENCES, Degrade(), budget, rng).sequences)
    assert isinstance(attack, EmbeddingAttack)
    return quality(model, deltas=attack(access, SEQUENCES, Degrade(), budget, rng).deltas)


def test_the_victim_has_learnt_the_circle(victim: GRU4Rec) -> None:
    assert quality(victim) > 0.9


@pytest.mark.parametrize("next_item", [False, True])
def test_substitution_beats_its_control_at_equal_queries(victim: GRU4Rec, next_item: bool) -> None:
    clean, budget = quality(victim), Budget(edits=1)
    guided = plugins.load("attacks", "substitution")(tau=None)
    name, parameters = guided.control_attack(budget)
    damage = {
        "guided": clean - after(victim, "substitution", budget, next_item, tau=None),
        "one draw": clean - after(victim, name, budget, next_item),
        "equal queries": clean - after(victim, name, budget, next_item, **parameters),
    }
    assert damage["guided"] > 2 * damage["one draw"]
    assert damage["guided"] > damage["equal queries"] + 0.1


def test_knowing_the_next_item_and_leaving_tau_out_hurt_more(victim: GRU4Rec) -> None:
    budget = Budget(edits=1)
    kept, free = after(victim, "substitution", budget, tau=0.5), after(victim, "substitution", budget, tau=None)
    assert free < kept
    assert after(victim, "substitution", budget, next_item=True, tau=None) <= free + 0.02


def test_noise_of_the_size_at_which_pgd_ruins_is_harmless(victim: GRU4Rec) -> None:
    clean, budget = quality(victim), Budget(epsilon=0.5)
    assert clean - after(victim, "noise", budget) < 0.05
    assert clean - after(victim, "pgd", budget) > 0.3


def test_art_hurts_as_pgd_does(victim: GRU4Rec) -> None:
    budget = Budget(epsilon=0.15, norm="linf", unit="absolute")
    ours = after(victim, "pgd", budget, random_start=False)
    assert after(victim, "art", budget) == pytest.approx(ours, abs=0.02)


def test_adversarial_training_helps_at_its_epsilon_and_costs_little(victim: GRU4Rec) -> None:
    defense = AdversarialEmbeddings(steps=2)
    defended = defense.protect(GRU4Rec(**SETTINGS), log=TRAIN, seed=0)
    assert isinstance(defended, Fittable)
    model = defended.fit(TRAIN, seed=0)
    assert isinstance(model, GRU4Rec)
    budget = Budget(epsilon=defense.epsilon)
    assert quality(model) > quality(victim) - 0.05
    assert after(model, "pgd", budget) > after(victim, "pgd", budget) + 0.1


def test_adversarial_loss_is_the_worse_one_and_stays_in_the_ball() -> None:
    from robust.recommenders.objective import Step

    table = torch.randn(41, 16, generator=torch.Generator().manual_seed(0))
    items = torch.randint(1, 41, (6, 5), generator=torch.Generator().manual_seed(1))
    items[0, 3:] = 0
    slope = torch.randn(16, generator=torch.Generator().manual_seed(2))

    def step() -> Step:
        def unused(*_: object, **__: object) -> Any:
            raise AssertionError("not a part of this objective")

        return Step(
            embeddings=table[items],
            items=items,
            mask=items != 0,
            table=table,
            users=torch.arange(6),
            rows=torch.arange(6),
            targets=torch.ones(6, dtype=torch.int64),
            generator=torch.Generator().manual_seed(3),
            loss=lambda embeddings, weights=None: (embeddings @ slope).square().mean(),
            losses=unused,
            logits=unused,
            columns=torch.zeros(6, dtype=torch.int64),
            loss_at=unused,
            through=unused,
        )

    defense = AdversarialEmbeddings(weight=0.5, epsilon=0.5)
    deltas = defense.worst(step())
    size = deltas.norm(dim=-1)
    assert bool((size[0, 3:] == 0).all())
    allowed = 0.5 * neighbour_distance(table)
    assert float(size.max()) == pytest.approx(allowed, rel=0.1), "the unit is measured on a sample of items"
    clean, moved = step().loss(table[items]), step().loss(table[items] + deltas)
    assert float(moved) > float(clean)
    assert float(defense.objective(step())) == pytest.approx(float(clean + moved) / 2, rel=1e-5)
    # embeddings ten times as large: so is the ball, and the model gains nothing by inflating them
    table = table * 10
    assert float(defense.worst(step()).norm(dim=-1).max()) == pytest.approx(10 * float(size.max()), rel=0.01)


def test_a_recommender_without_a_training_loop_is_not_applicable() -> None:
    defense: TrainingDefense = AdversarialEmbeddings()
    with pytest.raises(NotApplicable, match="objective can be changed"):
        defense.protect(LinearBag(), seed=0)
    with pytest.raises(NotApplicable, match="train"):
        defense.train(LinearBag(), TRAIN, seed=0, share=None)


def test_the_guard_drops_substitutes_unless_they_were_chosen_to_pass_it(victim: GRU4Rec) -> None:
    guard = Surprise(rate=0.05).calibrate(TRAIN, 0)  # one step in ten of this log is a genuine jump
    guarded: Any = guard.protect(victim, log=TRAIN, seed=0)
    assert quality(guarded) > quality(victim) - 0.02, "clean input passes"
    attack = plugins.load("attacks", "substitution")(tau=None)
    dropped, left = {}, {}
    for name, planned_on in (("oblivious", victim), ("adaptive", guarded)):
        rng = np.random.default_rng(0)
        edited = attack(view(planned_on), SEQUENCES, Degrade(), Budget(edits=1), rng).sequences
        substituted = edited.items != SEQUENCES.items
        dropped[name] = float((guard.guard(edited) == 0)[substituted].mean())
        left[name] = quality(guarded, edited)
    assert dropped["oblivious"] > 0.8
    assert dropped["adaptive"] < dropped["oblivious"] - 0.2
    assert left["adaptive"] < left["oblivious"]
    name, parameters = attack.control_attack(Budget(edits=1))
    assert left["adaptive"] < after(guarded, name, Budget(edits=1), **parameters), "better than chance at equal queries"


def auc(pca: PCAVarSelect, log: InteractionLog, poisoned: InteractionLog) -> float:
    """The share of (fake, genuine) pairs in which the fake is the more suspicious."""
    suspicion = pca.suspicion(poisoned, np.random.default_rng(0))
    fakes, genuine = suspicion[log.n_users :], suspicion[: log.n_users][log.lengths > 0]
    return float((fakes[:, None] > genuine[None]).mean())


@pytest.mark.parametrize("name", ["random", "bandwagon"])
def test_pca_finds_planted_fakes_among_tastes(name: str) -> None:
    log = taste_log()
    attack = plugins.load("attacks", name)()
    assert isinstance(attack, PoisoningAttack)
    budget = BudgetSpec(users="3%").resolve(log)
    edit = attack(view(log=log), Promote(items=(78, 79)), budget, np.random.default_rng(0)).edit
    poisoned = edit.apply(log)
    assert auc(PCAVarSelect(), log, poisoned) > 0.95
    suspects = PCAVarSelect(share=0.03).suspects(PCAVarSelect().suspicion(poisoned, np.random.default_rng(0)), poisoned)
    assert suspects[log.n_users :].mean() > 0.7


def test_who_knows_the_sanitiser_searches_a_form_that_it_misses() -> None:
    log, pca = flights(), PCAVarSelect()
    goal = GoalSpec(promote="cold*5").resolve(log, np.random.default_rng(1))
    budget = BudgetSpec(users="3%").resolve(log)

    def poison(**knows: Any) -> Any:
        return Bandwagon()(view(log=log, **knows), goal, budget, np.random.default_rng(2))

    oblivious = poison()
    adaptive = poison(suspicion=lambda rows: pca.suspicion(rows, np.random.default_rng(0)))
    before, now = (auc(pca, log, outcome.edit.apply(log)) for outcome in (oblivious, adaptive))
    assert now < before - 0.3
    assert adaptive.chosen["detection_auc"] == pytest.approx(now, abs=1e-3)
    assert adaptive.chosen["order"] == "shuffle", "PCA cannot see the order, so the attack keeps its own"
