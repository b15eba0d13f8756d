"""Adversarial training on the embedded log: what is left under PGD at the radius that was trained against."""

from __future__ import annotations

import numpy as np
import pytest

from robust.attacks.embedding.pgd import PGD
from robust.datasets import Split, leave_last_out
from robust.datasets.flights import load
from robust.defenses.training.adversarial_embeddings import AdversarialEmbeddings
from robust.defenses.training.noise_training import NoiseTraining
from robust.measure import perturb
from robust.ranking import per_user
from robust.recommenders.protocols import Recommender
from robust.recommenders.recurrent import GRU4Rec
from robust.seen import Seen
from robust.situation import Situation
from robust.threat import Budget, Degrade, Knowledge

EPSILON = 0.5


def situation(split: Split) -> Situation:
    seen = Seen.of(split.train, split.users)
    return Situation(split.histories(50), split.targets, split.train, seen, split.train.popularity > 0)


def clean(where: Situation, model: Recommender) -> float:
    return float(per_user("ndcg@10", where.rank(model, where.sequences, (), False)).mean())


def under_attack(where: Situation, model: Recommender) -> float:
    """NDCG@10 that the worst attacker leaves, who knows the next item, and attacks longer than training did."""
    ranking, _ = perturb(
        PGD(steps=20),
        where,
        planned_on=model,
        measured_on=model,
        goal=Degrade(),
        budget=Budget(epsilon=EPSILON),
        knowledge=Knowledge(log="full", model="gradients", next_item=True),
        rng=np.random.default_rng(3),
    )
    return float(per_user("ndcg@10", ranking).mean())


@pytest.mark.slow
def test_twice_the_undefended_ndcg_is_left_and_noise_of_the_same_size_does_not_do_that() -> None:
    split = leave_last_out(load())
    where = situation(split)
    models: dict[str, Recommender] = {
        "none": GRU4Rec().fit(split.train, seed=1),
        "adversarial": AdversarialEmbeddings(epsilon=EPSILON).train(GRU4Rec(), split.train, seed=1, share=None),
        "noise": NoiseTraining(delete=0, gaussian=EPSILON).train(GRU4Rec(), split.train, seed=1, share=None),
    }
    quality = {name: clean(where, model) for name, model in models.items()}
    left = {name: under_attack(where, model) for name, model in models.items()}
    assert left["adversarial"] >= 2 * left["none"]
    assert left["noise"] < 1.5 * left["none"], "the adversary is what helps, not the noise"
    assert quality["adversarial"] > 0.85 * quality["none"]
