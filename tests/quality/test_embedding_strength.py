"""Attacks on embeddings on small trained victims: stronger means stronger, ART's is not, and controls are beaten."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.apgd import APGD
from robust.attacks.embedding.art import ART
from robust.attacks.embedding.fgsm import FGSM
from robust.attacks.embedding.item_table import ItemTable
from robust.attacks.embedding.noise import Noise
from robust.attacks.embedding.pgd import PGD
from robust.attacks.embedding.universal import Universal
from robust.attacks.objective import objective_for
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.recurrent import GRU4Rec
from robust.recommenders.sasrec import SASRec
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import chain_log, view

LOG = chain_log(users=150, n_items=40, length=10, noise=0.15)
SEQUENCES = LOG.sequences(8)[:80]
TRUTH = (SEQUENCES.items[:, -1] % 40 + 1).astype(np.int32)
SETTINGS: dict[str, Any] = {"context": 8, "dimension": 16, "max_steps": 200, "min_steps": 100, "batch_size": 32}
GOALS: list[AnyGoal] = [Degrade(), Promote(items=(5, 19)), Demote(items=(7,))]
BUDGETS = [
    Budget(epsilon=0.5),
    Budget(epsilon=0.12, norm="linf"),
    Budget(epsilon=1.0, per="sequence"),
]
every_victim = pytest.mark.parametrize("name", ["gru4rec", "sasrec"])
every_budget = pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.norm}-{b.per}")


VICTIMS: dict[str, type[NeuralRecommender]] = {"gru4rec": GRU4Rec, "sasrec": SASRec}


@cache
def victim(name: str) -> NeuralRecommender:
    return VICTIMS[name](**SETTINGS).fit(LOG, seed=0)


def harm(
    model: NeuralRecommender, attack: EmbeddingAttack, goal: AnyGoal, budget: Budget, next_item: bool = False
) -> float:
    """The mean objective (cross-entropy) after the attack."""
    knowledge = Knowledge(model="gradients", next_item=next_item)
    access = view(model, knowledge=knowledge, next_items=TRUTH)
    perturbed = attack(access, SEQUENCES, goal, budget, np.random.default_rng(0))
    with torch.no_grad():
        scores = perturbed.scored_by(model, SEQUENCES)
    return float(objective_for(access, SEQUENCES, goal)(scores).mean())


@every_victim
@every_budget
@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
def test_apgd_is_no_weaker_than_pgd_nor_pgd_than_one_step(name: str, budget: Budget, goal: AnyGoal) -> None:
    """At equal gradients (but for the one of FGSM), within half a per cent; and all of them far beyond noise."""
    model = victim(name)
    noise, once, often, adaptive = (
        harm(model, attack, goal, budget) for attack in (Noise(tries=11), FGSM(), PGD(), APGD())
    )
    assert adaptive >= often - 0.005 * abs(often)
    assert often >= once - 0.005 * abs(once)
    nothing = harm(model, Noise(), goal, budget.model_copy(update={"epsilon": 0.0}))
    assert once - nothing > 2 * abs(noise - nothing)


@every_victim
@pytest.mark.parametrize("budget", BUDGETS[1:], ids=lambda b: f"{b.norm}-{b.per}")
@pytest.mark.parametrize("next_item", [False, True])
def test_ours_is_no_weaker_than_art_s(name: str, budget: Budget, next_item: bool) -> None:
    """ART's automatic attack with as many gradients, where its budget is ours; it runs again where it passes over."""
    model = victim(name)
    theirs = ART(attack="AutoProjectedGradientDescent", options={"nb_random_init": 1, "max_iter": 10})
    assert harm(model, APGD(), Degrade(), budget, next_item) >= harm(model, theirs, Degrade(), budget, next_item)


@every_victim
@pytest.mark.parametrize(
    "attack", [Universal(steps=20), Universal(positions=4), ItemTable(), ItemTable(steps=1)], ids=str
)
def test_what_is_shared_beats_noise_of_its_scope(name: str, attack: EmbeddingAttack) -> None:
    """For the universal one, on users on whom it was not learnt."""
    model, budget = victim(name), Budget(epsilon=1.0)
    control = attack.control_attack(budget)
    assert control is not None
    nothing = harm(model, Noise(), Degrade(), Budget(epsilon=0.0))
    beside = harm(model, Noise(**control[1]), Degrade(), budget) - nothing
    assert harm(model, attack, Degrade(), budget) - nothing > 1.5 * abs(beside)
