"""The victims on clean data: how good they are, beside the baselines, and whether they are fit to be judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robust.log import InteractionLog
from robust.metrics.beyond import coverage, gini_of_exposure
from robust.ranking import Ranking, per_user
from robust.runner.cell_metrics import mean_novelty
from robust.runner.flags import unchecked, victim_flags
from robust.runner.ground import clean_rank
from robust.runner.prepare import Prepared
from robust.runner.prepare import baselines as all_baselines
from robust.runner.results import Flag, VictimResult
from robust.runner.store import Store


def victim_results(prepared: Prepared, store: Store, seeds: Sequence[int]) -> tuple[list[VictimResult], dict[str, str]]:
    """The victims as they did on these seeds, and, of those that are undertrained, what is said of them."""
    train = prepared.split.train
    baselines: dict[str, Ranking] = {}
    for baseline in all_baselines():
        artifact = store.get(clean_rank(baseline, prepared.ground, 0).key)
        if artifact is not None:
            baselines[baseline.spec.name] = Ranking(**artifact.arrays)
    table = {name: clean_summary([ranking], train) for name, ranking in baselines.items()}
    found: list[VictimResult] = []
    undertrained: dict[str, str] = {}
    for victim in prepared.victims:
        rankings, known = [], []
        for seed in seeds[:1] if victim.fixed else seeds:
            artifact = store.get(clean_rank(victim, prepared.ground, seed).key)
            if artifact is not None:
                rankings.append(Ranking(**artifact.arrays))
                known.append(seed)
        flags: list[Flag] = []
        if rankings and "markov" in baselines:
            ndcg = np.stack([per_user("ndcg@10", r) for r in rankings])
            flags, failed = victim_flags(
                ndcg, per_user("ndcg@10", baselines["markov"]), trained_by_us=victim.trained_by_us
            )
            if failed:
                undertrained[victim.spec.label] = flags[0].cause
        elif rankings:
            flags = [unchecked()]
        metrics = clean_summary(rankings, train) if rankings else {}
        found.append(VictimResult(victim=victim.spec.label, seeds=known, metrics=metrics, baselines=table, flags=flags))
    return found, undertrained


def clean_summary(rankings: Sequence[Ranking], train: InteractionLog) -> dict[str, float]:
    """A victim's quality on clean data, mean over seeds."""
    table: dict[str, float] = {}
    for name in ("hr@10", "ndcg@10", "mrr@10"):
        table[name] = float(np.mean([per_user(name, r).mean() for r in rankings]))
    table["coverage@10"] = float(np.mean([coverage(r.lists, train.n_items) for r in rankings]))
    table["novelty@10"] = float(np.mean([mean_novelty(r.lists, train) for r in rankings]))
    table["gini@10"] = float(np.mean([gini_of_exposure(r.lists, train.n_items) for r in rankings]))
    return table
