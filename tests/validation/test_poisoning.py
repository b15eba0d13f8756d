"""Fake users on real logs: the alternating attack against its control and against random, warm starts, five seeds.

Yue et al., RecSys 2021, figure 6: targets' NDCG@10 on Beauty, SASRec, .07 to .33–.40; on ml-1m .065 to .117 where the
target alternating with random items reaches .095.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from robust import plugins
from robust.access import AccessView
from robust.attack import PoisoningAttack
from robust.datasets import Split, k_core, leave_last_out, open_log
from robust.ranking import per_user, rank
from robust.recommenders.protocols import Recommender, Resumable
from robust.seen import Seen
from robust.threat import Budget, GoalSpec, Knowledge
from tests.validation.protocol import fitted

pytestmark = pytest.mark.slow
SEEDS, USERS, LENGTH, SHARE = range(5), 3000, 50, 0.25
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "alternating": ("alternating", {}),
    "target alternating with random items": ("random", {"order": "alternate"}),
    "random, interleaved": ("random", {"order": "interleave"}),
    "random": ("random", {}),
}


def _exposure(model: Recommender, split: Split, chosen: NDArray[np.int64], targets: tuple[int, ...]) -> float:
    users = split.users[chosen]
    seen = Seen.of(split.train, users)
    found = rank(model, split.train.sequences(50, users), split.targets[chosen], seen=seen, targets=targets)
    return float(np.nanmean(per_user("target_hr@10", found, seen.holds(targets))))


@pytest.mark.parametrize("data", ["amazon-beauty", "ml-1m"])
def test_yue_2021_is_ahead_of_random(robust_data: Path, data: str) -> None:
    split = leave_last_out(k_core(open_log(str(robust_data / f"{data}.parquet")), 5))
    log = split.train
    count = len(split.users)
    chosen = np.sort(np.random.default_rng(0).choice(count, size=min(USERS, count), replace=False))
    rises: dict[str, list[float]] = {name: [] for name in ARMS}
    for seed in SEEDS:
        model = cast(Resumable, fitted("sasrec", {}, split, seed))
        goal = GoalSpec(promote="cold*5").resolve(log, np.random.default_rng([seed, 1]))
        clean = _exposure(model.resume(log, seed=seed, share=SHARE), split, chosen, goal.items)
        for name, (plugin, parameters) in ARMS.items():
            attack = cast(PoisoningAttack, plugins.build("attacks", plugin, parameters))
            knowledge = Knowledge(log="full", model="gradients")
            access = AccessView(
                attack=plugin, knowledge=knowledge, n_items=log.n_items, log=log, recommender=cast(Recommender, model)
            )
            budget = Budget(users=int((log.lengths > 0).sum()) // 100, profile_length=LENGTH)
            edit = attack(access, goal, budget, np.random.default_rng([seed, 2])).edit
            poisoned = model.resume(edit.apply(log), seed=seed, share=SHARE)
            rises[name].append(_exposure(poisoned, split, chosen, goal.items) - clean)
            print(f"{data}, seed {seed}, {name}: exposure {clean:.4f} + {rises[name][-1]:.4f}", flush=True)
    means = {name: float(np.mean(values)) for name, values in rises.items()}
    for name, values in rises.items():
        print(f"{data}, {name}: rise {means[name]:.4f} (SD over seeds {np.std(values, ddof=1):.4f})", flush=True)
    assert means["alternating"] > means["random, interleaved"] > means["random"]
