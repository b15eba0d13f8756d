"""Position removal (Betello et al., ECIR 2024): ml-1m, SASRec, ten items from the beginning, the middle or the end.

Published at 20 for SASRec: beginning −.07% of NDCG (FRBO .399), middle −.73% (.385), end −56% (.080); another seed
alone .5% (.549). Histories at inference are shortened as the train rows are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from robust import plugins
from robust.access import AccessView
from robust.attack import PoisoningAttack
from robust.datasets import Split, leave_last_out, open_log
from robust.log import Int32, InteractionLog, LogEdit
from robust.metrics.stability import frbo
from robust.ranking import Ranking, per_user, rank
from robust.recommenders.protocols import Fittable, Recommender
from robust.recommenders.resolve import resolve
from robust.seen import Seen
from robust.threat import Budget, Degrade, Knowledge
from tests.validation.protocol import interval

pytestmark = pytest.mark.slow
REMOVED, K, CONTEXT = 10, 20, 50
PLACES = ("beginning", "middle", "end")


@dataclass(frozen=True)
class Arm:
    """A victim's lists at 20 and NDCG@20, per user."""

    lists: Int32
    ndcg: NDArray[np.float64]


def _arm(split: Split, read: InteractionLog, trained_on: InteractionLog, seed: int) -> Arm:
    model: Recommender = cast(Fittable, resolve("sasrec", {"context": CONTEXT})).fit(trained_on, seed=seed)
    found: Ranking = rank(
        model,
        read.sequences(CONTEXT, split.users),
        split.targets,
        seen=Seen.of(split.train, split.users),
        trained=split.train.popularity > 0,
        k=K,
    )
    return Arm(found.lists, per_user(f"ndcg@{K}", found))


def _removed(split: Split, where: str) -> LogEdit:
    attack = cast(PoisoningAttack, plugins.build("attacks", "position-removal", {"where": where, "n": REMOVED}))
    log = split.train
    access = AccessView(attack=attack.name, knowledge=Knowledge(log="full"), n_items=log.n_items, log=log)
    return attack(access, Degrade(), Budget(rows=len(log)), np.random.default_rng(0)).edit


def test_the_end_matters_most(robust_data: Path) -> None:
    split = leave_last_out(open_log(str(robust_data / "ml-1m.parquet")))
    clean = _arm(split, split.train, split.train, 1)
    print(f"\nclean: NDCG@{K} {interval(clean.ndcg)}", flush=True)
    arms = {"another seed": _arm(split, split.train, split.train, 2)}
    for where in PLACES:
        edited = _removed(split, where).apply(split.train)
        arms[where] = _arm(split, edited, edited, 1)
    drop = {name: 1 - arm.ndcg.mean() / clean.ndcg.mean() for name, arm in arms.items()}
    alike = {name: float(frbo(clean.lists, arm.lists, K).mean()) for name, arm in arms.items()}
    for name in arms:
        print(f"{name}: NDCG@{K} falls by {drop[name]:.2%}, FRBO@{K} {alike[name]:.3f}", flush=True)
    assert drop["end"] > 0.5
    assert max(drop["beginning"], drop["middle"]) < 0.03
    assert alike["another seed"] > alike["beginning"] > alike["middle"] > alike["end"]
