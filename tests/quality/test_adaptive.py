"""Each kind of defence has a case in which only an attacker who knows it breaks it.

A training defence is attacked with its own weights; a guard through its gradient, straight-through; what is random in
expectation; a sanitiser under its suspicion; a service within its budget. The same attack, planned in ignorance, fails
each time: a defence that was only tried that way would look sound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robust import plugins
from robust.attack import AnyGoal, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defenses.guards.neighbour_cosine import NeighbourCosine
from robust.defenses.guards.smoothing import SequenceSmoothing
from robust.defenses.guards.surprise import Surprise
from robust.defenses.sanitizers.pca import PCAVarSelect
from robust.defenses.sanitizers.sequence_likelihood import SequenceLikelihood
from robust.defenses.serving.query_budget import QueryBudget
from robust.defenses.training.adversarial_embeddings import AdversarialEmbeddings
from robust.errors import BudgetExceeded
from robust.log import SequenceBatch
from robust.measure import perturb
from robust.metrics.full_ranking import top_k
from robust.metrics.ranking import ndcg
from robust.recommenders.protocols import Float32
from robust.recommenders.recurrent import GRU4Rec
from robust.situation import Situation
from robust.threat import Budget, BudgetSpec, Degrade, Knowledge, Promote
from tests.toys import chain_log, random_sequences, taste_log, view

TRAIN = chain_log(users=250, n_items=40, length=12, noise=0.1)
WALKS = chain_log(users=150, n_items=40, length=9, seed=9)
WHOLE = WALKS.sequences(9).items
SEQUENCES, TRUTH = SequenceBatch(WHOLE[:, :8], np.arange(150)), WHOLE[:, 8]
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


def planned(
    model: Any,
    goal: Any,
    attack: str = "substitution",
    knowledge: Knowledge | None = None,
    queries: int | None = None,
    sequences: SequenceBatch = SEQUENCES,
    **parameters: Any,
) -> SequenceBatch:
    """The sequences with one edit, planned on this model."""
    built = plugins.load("attacks", attack)(**parameters)
    assert isinstance(built, EvasionAttack)
    access = view(model, knowledge=knowledge, queries=queries)
    return built(access, sequences, goal, Budget(edits=1), np.random.default_rng(0)).sequences


def quality(model: Any, sequences: SequenceBatch = SEQUENCES) -> float:
    """NDCG@10 of the true next item, ties lost."""
    scores = np.asarray(model.score(sequences))
    own = scores[np.arange(len(TRUTH)), TRUTH]
    return float(ndcg((scores[:, 1:] >= own[:, None]).sum(axis=1), 10).mean())


def exposure(model: Any, item: int, sequences: SequenceBatch, k: int = 5) -> float:
    """The share of lists that hold an item."""
    return float((np.asarray(model.recommend(sequences, k)) == item).any(axis=1).mean())


def test_training_only_the_defended_weights_show_its_weak_directions(victim: GRU4Rec) -> None:
    defended: Any = AdversarialEmbeddings(steps=2).protect(GRU4Rec(**SETTINGS), log=TRAIN, seed=0)
    model = defended.fit(TRAIN, seed=0)
    pgd = plugins.load("attacks", "pgd")()
    assert isinstance(pgd, EmbeddingAttack)
    situation = Situation(SEQUENCES, TRUTH, WALKS)

    def left(planned_on: Any, measured_on: Any) -> float:
        ranking, _ = perturb(
            pgd,
            situation,
            planned_on=planned_on,
            measured_on=measured_on,
            goal=Degrade(),
            budget=Budget(epsilon=1.0),
            knowledge=Knowledge(model="gradients"),
            rng=np.random.default_rng(0),
        )
        return float(ndcg(ranking.ranks, 10).mean())

    assert quality(model) > 0.95
    assert left(victim, victim) < 0.2, "a strong attack where there is no defence"
    assert left(victim, model) > 0.7
    assert left(model, model) < 0.2


@pytest.mark.parametrize(
    ("guard", "stopped", "passes"),
    [
        (Surprise(rate=0.05), 0.2, 0.5),
        # embeddings of a chain hardly cluster: this guard lets half through, and the other half is found through it
        (NeighbourCosine(rate=0.1), 0.5, 0.65),
    ],
    ids=["surprise", "neighbour-cosine"],
)
def test_guard_only_substitutes_that_were_chosen_through_it_pass(
    victim: GRU4Rec, guard: Any, stopped: float, passes: float
) -> None:
    goal, guarded = Promote(items=(7,), k=5), guard.protect(victim, log=TRAIN, seed=0)
    oblivious, adaptive = (planned(model, goal, tau=None) for model in (victim, guarded))
    assert exposure(victim, 7, SEQUENCES) < 0.1
    assert exposure(victim, 7, oblivious) > 0.9
    assert quality(guarded) > 0.9
    assert exposure(guarded, 7, oblivious) < stopped
    assert exposure(guarded, 7, adaptive) > passes


class Fragile:
    """Item 9 is promoted by 10 if no position is missing and item 7 is the newest, and by 2 by item 5 anywhere.

    Twelve rivals have a score of 1, so that item 9 enters a list of ten from a score above that.
    """

    n_items, context = 30, 8

    def score(self, sequences: SequenceBatch) -> Float32:
        """[B, 31]."""
        items = sequences.items[:, -8:]
        scores = np.zeros((len(items), 31), dtype=np.float32)
        scores[:, 15:27] = 1
        scores[:, 9] += 10 * ((items != 0).sum(axis=1) == 8) * (items[:, -1] == 7)
        scores[:, 9] += 2 * (items == 5).any(axis=1)
        scores[:, 0] = -np.inf
        return scores

    def recommend(self, sequences: SequenceBatch, k: int) -> Any:
        """[B, k]."""
        return top_k(self.score(sequences), k)


def test_randomness_only_the_expectation_shows_which_edit_survives_it() -> None:
    model, goal = Fragile(), Promote(items=(9,), k=10)
    others = random_sequences(60, 8, 30, shortest=8)
    sequences = others.with_items(np.where(np.isin(others.items, (5, 7)), 11, others.items))
    served: Any = SequenceSmoothing(share=0.3, samples=64).protect(model, seed=3)
    search: dict[str, Any] = {"attack": "greedy", "candidates": 300, "kinds": ("replace",), "feedback": "scores"}
    oblivious = planned(model, goal, sequences=sequences, **search)
    adaptive = planned(served.as_attacker(77), goal, sequences=sequences, **search)
    assert exposure(served, 9, sequences, 10) == 0
    assert exposure(model, 9, oblivious, 10) == 1
    assert exposure(served, 9, oblivious, 10) < 0.3
    assert exposure(served, 9, adaptive, 10) > 0.95, "with draws of the attacker's own"


@pytest.mark.parametrize(
    ("detector", "attack"),
    [(PCAVarSelect(share=0.03), "segment"), (SequenceLikelihood(share=0.03), "bandwagon")],
    ids=["pca", "sequence-likelihood"],
)
def test_sanitiser_only_profiles_chosen_under_its_suspicion_stay(detector: Any, attack: str) -> None:
    log = taste_log(users=400)
    goal: AnyGoal = Promote(items=(78, 79))
    budget = BudgetSpec(users="3%").resolve(log)
    poison = plugins.load("attacks", attack)()
    assert isinstance(poison, PoisoningAttack)

    def removed(**knows: Any) -> float:
        edit = poison(view(log=log, **knows), goal, budget, np.random.default_rng(2)).edit
        poisoned = edit.apply(log)
        suspects = detector.suspects(detector.suspicion(poisoned, np.random.default_rng(0)), poisoned)
        return float(suspects[log.n_users :].mean())

    assert removed() > 0.7
    assert removed(suspicion=lambda rows: detector.suspicion(rows, np.random.default_rng(1))) < 0.2


def test_query_limit_only_a_search_that_plans_its_questions_fits(victim: GRU4Rec) -> None:
    each = 16
    service: Any = QueryBudget(queries=each).protect(victim, seed=0)
    search: dict[str, Any] = {"attack": "greedy", "candidates": 60, "kinds": ("replace",)}
    lists = Knowledge(model="lists")
    ignorant = planned(service.as_attacker(1), Degrade(), knowledge=lists, **search)
    plans = planned(service.as_attacker(1), Degrade(), knowledge=lists, queries=each * len(SEQUENCES), **search)
    assert quality(victim, ignorant) > 0.4, "refusals tell it nothing"
    assert quality(victim, plans) < 0.2
    with pytest.raises(BudgetExceeded):
        view(service.as_attacker(1), knowledge=lists, queries=each).model.recommend(SEQUENCES, 5)
    seen: Any = service.as_attacker(1)
    planned(seen, Degrade(), knowledge=lists, **search)
    assert len(seen.asked.flagged()) == len(SEQUENCES), "who ignores it floods"
