"""Adversarial training on ml-1m: what is left under PGD at the radius that was trained against, and at what price."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from robust import plugins
from robust.attack import EmbeddingAttack
from robust.datasets import leave_last_out, open_log
from robust.defense import TrainingDefense
from robust.measure import perturb
from robust.ranking import per_user
from robust.recommenders.protocols import Fittable, Recommender
from robust.recommenders.resolve import resolve
from robust.seen import Seen
from robust.situation import Situation
from robust.threat import Budget, Degrade, Knowledge
from tests.validation.protocol import interval

pytestmark = pytest.mark.slow
USERS, EPSILON = 2000, 0.5
ARMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("none", {}),
    ("adversarial-embeddings", {"epsilon": EPSILON}),
    ("noise-training", {"delete": 0, "gaussian": EPSILON}),
)
"""Noise of the same size is the control: robustness that noise gives, too, is no merit of an adversary."""
ATTACKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("noise", {}),
    ("fgsm", {}),
    ("pgd", {"steps": 50, "restarts": 3}),
    ("apgd", {}),
)


def _fit(name: str, parameters: dict[str, Any], log: Any) -> tuple[Recommender, float]:
    blank = cast(Fittable, resolve("sasrec", {}))
    if name != "none":
        defense = cast(TrainingDefense, plugins.build("defenses", name, parameters))
        blank = cast(Fittable, defense.protect(blank, log=log, seed=1))
    begun = time.perf_counter()
    return blank.fit(log, seed=1), time.perf_counter() - begun


def test_adversarial_embeddings_keep_twice_the_undefended_ndcg(robust_data: Path) -> None:
    split = leave_last_out(open_log(str(robust_data / "ml-1m.parquet")))
    users = np.sort(np.random.default_rng(0).choice(len(split.users), size=USERS, replace=False))
    people = split.users[users]
    situation = Situation(
        split.train.sequences(50, people),
        split.targets[users],
        split.train,
        Seen.of(split.train, people),
        split.train.popularity > 0,
    )
    clean: dict[str, NDArray[np.float64]] = {}
    worst: dict[str, float] = {}
    for name, parameters in ARMS:
        model, seconds = _fit(name, parameters, split.train)
        clean[name] = per_user("ndcg@10", situation.rank(model, situation.sequences, (), False))
        lost = interval(clean["none"] - clean[name])
        print(f"\n{name}: {seconds:.0f} s, clean NDCG@10 {interval(clean[name])}, lost {lost}", flush=True)
        for attack, settings in ATTACKS:
            ranking, _ = perturb(
                cast(EmbeddingAttack, plugins.build("attacks", attack, settings)),
                situation,
                planned_on=model,
                measured_on=model,
                goal=Degrade(),
                budget=Budget(epsilon=EPSILON),
                knowledge=Knowledge(log="full", model="gradients", next_item=True),
                rng=np.random.default_rng(3),
            )
            left = per_user("ndcg@10", ranking)
            worst[name] = min(worst.get(name, 1.0), float(left.mean()))
            print(f"  {attack}, epsilon {EPSILON}: {interval(left)}", flush=True)
    print(f"\nworst case: {worst}")
    assert worst["adversarial-embeddings"] >= 2 * worst["none"]
    assert worst["adversarial-embeddings"] > worst["noise-training"], "noise of the same size does as well"
