"""Every metric of a cell beside the one that its bound is on: clean, under attack, and the change."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.log import InteractionLog
from robust.metrics.beyond import coverage, gini_of_exposure, novelty
from robust.metrics.stability import frbo, jaccard, rank_list_sensitivity
from robust.ranking import per_user_shift
from robust.runner.cell import Cell
from robust.runner.outcomes import Measured, values
from robust.runner.results import MetricResult
from robust.statistics import Judgement, limits

QUALITY = ("ndcg@10", "hr@10", "mrr@10")


def cell_metrics(
    cell: Cell,
    measured: Measured,
    judgement: Judgement,
    floor: list[float | None],
    train: InteractionLog,
) -> dict[str, MetricResult]:
    """By name: the bounded metric as it was judged, quality, what all lists together are like, and how far they moved.

    Args:
        floor: per seed, the bounded metric's change without an attack, or None; see `cell_results.noise_floor`.
    """
    bound = cell.threat.bound
    known = [abs(v) for v in floor if v is not None]
    clean, attacked = (values(bound.metric, r, measured.held) for r in (measured.clean, measured.attacked))
    table = {
        bound.metric: MetricResult(
            clean=float(np.nanmean(clean)),
            attacked=float(np.nanmean(attacked)),
            change=judgement.change,
            low=judgement.low,
            high=judgement.high,
            null=float(np.mean(known)) if known else None,
        )
    }
    for name in QUALITY:
        if name not in table:
            before, after = (values(name, r, measured.held) for r in (measured.clean, measured.attacked))
            table[name] = _plain(float(before.mean()), float(after.mean()), relative=True)
    for name in {bound.metric, "ndcg@10"} - {"rank_shift"}:
        sides = {"clean_limits": measured.clean, "attacked_limits": measured.attacked}
        found = {side: level_limits(cell, values(name, r, measured.held)) for side, r in sides.items()}
        table[name] = table[name].model_copy(update=found)
    n_items = train.n_items
    lists: dict[str, Any] = {
        "coverage@10": lambda rows: coverage(rows, n_items),
        "novelty@10": lambda rows: mean_novelty(rows, train),
        "gini@10": lambda rows: gini_of_exposure(rows, n_items),
    }
    for name, of in lists.items():
        before, after = (np.mean([of(r.lists) for r in side]) for side in (measured.clean, measured.attacked))
        sign = -1.0 if name == "gini@10" else 1.0
        table[name] = MetricResult(clean=float(before), attacked=float(after), change=float(sign * (before - after)))
    if "scores" in cell.victim.capabilities:
        shifts = [per_user_shift(c, a, n_items) for c, a in zip(measured.clean, measured.attacked, strict=True)]
        table["rank_shift"] = MetricResult(clean=0.0, attacked=float(np.mean(shifts)), change=float(np.mean(shifts)))
    return table | stability_metrics(cell, measured) | projected_metrics(measured)


def level_limits(cell: Cell, level: NDArray[np.float64]) -> tuple[float, float] | None:
    """One-sided 95% limits of a mean over users and seeds; None where too few seeds were run to tell."""
    if not cell.fixed and len(level) < 3:
        return None
    found = limits(level[:1] if cell.fixed else level, alpha=0.05, worst=(0.0, 1.0))
    return max(found.low, 0.0), min(found.high, 1.0)


def projected_metrics(measured: Measured) -> dict[str, MetricResult]:
    """Of an attack on embeddings: what is left of it where every position becomes the nearest real item."""
    noted = [note["projected"] for note in measured.notes if note.get("projected")]
    if not noted or len(noted) < len(measured.seeds):
        return {}
    table = {}
    for name in noted[0]:
        attacked = float(np.mean([means[name] for means in noted if name in means]))
        if name == "items":
            table["projected_items"] = MetricResult(clean=0.0, attacked=attacked, change=attacked)
            continue
        clean = float(np.nanmean(values(name, measured.clean, measured.held)))
        exposure = name.startswith("target_hr")
        table[f"projected_{name}"] = (
            MetricResult(clean=clean, attacked=attacked, change=attacked - clean)
            if exposure
            else _plain(clean, attacked, relative=True)
        )
    return table


def stability_metrics(cell: Cell, measured: Measured) -> dict[str, MetricResult]:
    """How alike clean and attacked lists are; as the null, clean lists and those of the seed before."""
    table = {}
    clean, attacked = ([ranking.lists for ranking in side] for side in (measured.clean, measured.attacked))
    beside = list(zip(clean, attacked, strict=True))
    for name, similarity in (("frbo@10", frbo), ("jaccard@10", jaccard)):
        alike = float(np.mean([rank_list_sensitivity(*pair, 10, similarity) for pair in beside]))
        reseeded = [] if cell.fixed else [rank_list_sensitivity(*pair, 10, similarity) for pair in pairwise(clean)]
        null = 1.0 - float(np.mean(reseeded)) if reseeded else None
        table[name] = MetricResult(clean=1.0, attacked=alike, change=1.0 - alike, null=null)
    return table


def _plain(clean: float, attacked: float, *, relative: bool) -> MetricResult:
    change = clean - attacked
    if relative:
        change = change / clean if clean > 0 else 0.0
    return MetricResult(clean=clean, attacked=attacked, change=change)


def mean_novelty(lists: NDArray[np.int32], train: InteractionLog) -> float:
    """Mean over the lists that hold anything, whoever was evaluated; by how many train users hold an item."""
    bits = novelty(lists, train.holders, max(int((train.lengths > 0).sum()), 1))
    return float(bits[~np.isnan(bits)].mean()) if not np.isnan(bits).all() else 0.0
