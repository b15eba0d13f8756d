"""What a defence costs its owner: quality on clean data, genuine users, time, memory.

Both arms are fitted alike and ranked on the same users under the same seeds, so that a difference is the defence's own.
Intervals are those of the cells' relative drops (`robust.statistics`). Times and memory are this machine's, as they
were when a step was first run, beside whatever else ran then: medians over seeds, and no more than an indication.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from robust.defense import Defense, Sanitizer
from robust.errors import NotApplicable
from robust.log import Bool, InteractionLog
from robust.ranking import Ranking, per_user
from robust.runner.cell import SeedSteps
from robust.runner.judging import Assessment
from robust.runner.prepare import Prepared
from robust.runner.records import DefenseResult, QualityGroup, QualityPrice, Rate
from robust.runner.step import Step
from robust.runner.store import Store
from robust.runner.workshop import FLAGGED
from robust.statistics import change_limits, limits

METRICS = ("ndcg@10", "hr@10")
ALPHA = 0.05
FEWEST_SEEDS = 3
QUARTERS, DECILES = 4, 10
POPULARITY = ("head", "middle", "tail")

Values = NDArray[np.float64]


def defense_results(prepared: Prepared, store: Store, assessments: Sequence[Assessment]) -> list[DefenseResult]:
    """A record for each victim behind each defence of which at least one cell was measured, in the cells' order.

    Of several cells the one with the most seeds speaks for all: their clean outcomes are the same.
    """
    chosen: dict[tuple[str, str], Assessment] = {}
    for assessment in assessments:
        cell = assessment.cell
        if cell.defense is not None and assessment.measured.seeds:
            own = (cell.victim.spec.label, cell.defense_spec.label)
            if own not in chosen or len(assessment.measured.seeds) > len(chosen[own].measured.seeds):
                chosen[own] = assessment
    found = (_defense_result(assessment, prepared, store) for assessment in chosen.values())
    return [one for one in found if one is not None]


def _defense_result(assessment: Assessment, prepared: Prepared, store: Store) -> DefenseResult | None:
    """None where the plain arm has no outcome."""
    cell, measured, train = assessment.cell, assessment.measured, prepared.split.train
    assert cell.defense is not None
    seeds, plain, protected, steps = [], [], [], []
    for seed, ranking in zip(measured.seeds, measured.clean, strict=True):
        own = cell.steps(seed)
        beside = None if own.plain is None else store.get(own.plain.key)
        if beside is not None:
            seeds.append(seed)
            plain.append(Ranking(**beside.arrays))
            protected.append(ranking)
            steps.append(own)
    if not seeds:
        return None
    arms = {name: (_values(name, plain), _values(name, protected)) for name in METRICS}
    users = prepared.split.users
    lengths, truth = train.lengths[users], prepared.split.targets
    return DefenseResult(
        victim=cell.victim.spec.label,
        defense=cell.defense_spec.label,
        stage=cell.defense.stage,
        cost=cell.defense.cost,
        seeds=seeds,
        n_users=len(users),
        metrics={name: compare(*both, fixed=cell.fixed) for name, both in arms.items()},
        by_activity=list(_groups(arms, by_activity(lengths, QUARTERS), fixed=cell.fixed)),
        by_popularity=list(_groups(arms, by_popularity(truth, train), fixed=cell.fixed)),
        removed=_removed(cell.defense, steps, store, train),
        model_bytes=_sizes(steps, store),
        timing=_timing(steps, store),
    )


def _values(metric: str, rankings: Sequence[Ranking]) -> Values:
    return np.stack([per_user(metric, ranking) for ranking in rankings])


def compare(plain: Values, protected: Values, *, fixed: bool = False) -> QualityPrice:
    """What is lost of a per-user metric [S, n], paired over users and seeds; a `fixed` model has but one seed."""
    before, after = float(plain.mean()), float(protected.mean())
    change = (before - after) / before if before > 0 else 0.0
    low = high = None
    if fixed or len(plain) >= FEWEST_SEEDS:
        one = slice(0, 1) if fixed else slice(None)
        try:
            found = change_limits(plain[one], protected[one], kind="drop", alpha=ALPHA)
            low, high = found.low, found.high
        except NotApplicable:  # too few users, or a plain mean that may be 0
            pass
    return QualityPrice(plain=before, protected=after, change=change, low=low, high=high)


def _groups(
    arms: Mapping[str, tuple[Values, Values]], groups: Sequence[tuple[str, Bool]], *, fixed: bool
) -> Iterator[QualityGroup]:
    for name, who in groups:
        metrics = {
            metric: compare(plain[:, who], protected[:, who], fixed=fixed)
            for metric, (plain, protected) in arms.items()
        }
        yield QualityGroup(group=name, users=int(who.sum()), metrics=metrics)


def by_activity(lengths: NDArray[np.int64], parts: int) -> list[tuple[str, Bool]]:
    """(`3–8 rows`, bool [n]) of equal parts of users by their rows; who has as many is in the same part."""
    if not len(lengths):
        return []
    edges = np.quantile(lengths, np.arange(1, parts) / parts)
    part = np.searchsorted(edges, lengths, side="left")
    found = []
    for index in np.unique(part).tolist():
        who = part == index
        low, high = int(lengths[who].min()), int(lengths[who].max())
        found.append((f"{low}–{high} rows" if low < high else f"{low} row{'s' if low != 1 else ''}", who))
    return found


def by_popularity(items: NDArray[np.int32], train: InteractionLog) -> list[tuple[str, Bool]]:
    """(`head (12 items)`, bool [n]): whose item is among the most popular that hold a third of the rows, and so on."""
    rows = train.popularity[1:]
    order = np.argsort(-rows, kind="stable")
    before = np.cumsum(rows[order]) - rows[order]
    third = np.empty(len(rows), dtype=np.int64)
    third[order] = np.minimum(3 * before // max(int(rows.sum()), 1), 2)
    third[rows == 0] = 2
    found = []
    for index, name in enumerate(POPULARITY):
        who, count = third[items - 1] == index, int((third == index).sum())
        if who.any():
            found.append((f"{name} ({count:,} item{'s' if count != 1 else ''})", who))
    return found


def rates(flagged: Sequence[Bool], lengths: NDArray[np.int64]) -> list[Rate]:
    """The share flagged, mean over seeds: of all users, then of each tenth by activity.

    Args:
        flagged: bool [n] of each seed. lengths: int [n], rows of these users.
    """
    told = np.stack(flagged).astype(np.float64)
    groups = [("all", np.ones(len(lengths), dtype=bool)), *by_activity(lengths, DECILES)]
    found = []
    for name, who in groups:
        own = told[:, who]
        low = high = None
        if len(own) >= FEWEST_SEEDS and own.shape[1] > 1:
            around = limits(own, alpha=ALPHA, worst=(0.0, 1.0))
            low, high = max(around.low, 0.0), min(around.high, 1.0)
        found.append(Rate(group=name, users=int(who.sum()), share=float(own.mean()), low=low, high=high))
    return found


def _removed(defense: Defense, steps: Sequence[SeedSteps], store: Store, train: InteractionLog) -> list[Rate]:
    """Genuine users that a sanitiser took out of the clean log."""
    if not isinstance(defense, Sanitizer):
        return []
    active = train.lengths > 0
    fits = [store.get(fit.key) for fit in _fits(steps, "clean") if fit is not None]
    flagged = [fit.arrays[FLAGGED][: train.n_users][active] for fit in fits if fit is not None]
    return rates(flagged, train.lengths[active]) if flagged else []


def _fits(steps: Sequence[SeedSteps], arm: str) -> list[Step | None]:
    return [getattr(own, arm).inputs.get("model") for own in steps]


def _sizes(steps: Sequence[SeedSteps], store: Store) -> dict[str, int]:
    found = {}
    for arm, name in (("plain", "plain"), ("clean", "protected")):
        fit = _fits(steps, arm)[0]
        artifact = None if fit is None else store.get(fit.key)
        if artifact is not None and "model_bytes" in artifact.note:
            found[name] = int(artifact.note["model_bytes"])
    return found


def _timing(steps: Sequence[SeedSteps], store: Store) -> dict[str, float]:
    """Medians over seeds; a ratio is the median of the seeds' own ratios. Of upper bounds of memory, the least."""
    found: dict[str, float] = {}
    arms = {"plain": "plain", "protected": "clean"}
    fits = {name: _costs(_fits(steps, arm), store) for name, arm in arms.items()}
    ranks = {name: _costs([getattr(own, arm) for own in steps], store) for name, arm in arms.items()}
    seconds = {
        "fit": {name: [one.get("seconds") for one in costs] for name, costs in fits.items()},
        "rank": {
            name: [1000 * one["seconds"] / one["users"] if one.get("users") else None for one in costs]
            for name, costs in ranks.items()
        },
    }
    same_fit = [step.plain is not None and _same_model(step) for step in steps]
    for kind, by_arm in seconds.items():
        for name, known in by_arm.items():
            if told := [value for value in known if value is not None]:
                found[f"{kind}_{name}"] = median(told)
        pairs = zip(by_arm["plain"], by_arm["protected"], strict=True)
        ratios = [after / before for before, after in pairs if before and after is not None]
        if ratios and not (kind == "fit" and all(same_fit)):
            found[f"{kind}_ratio"] = median(ratios)
    for name, costs in fits.items():
        if peaks := [one["peak"] for one in costs if "peak" in one]:
            found[f"memory_{name}"] = min(peaks)
    return found


def _same_model(steps: SeedSteps) -> bool:
    """Whether the defence leaves the fit as it is, as a guard does: then one fit is both arms'."""
    assert steps.plain is not None
    fits = [step.inputs.get("model") for step in (steps.plain, steps.clean)]
    return fits[0] is None or fits[0] == fits[1]


def _costs(steps: Sequence[Step | None], store: Store) -> list[dict[str, float]]:
    return [{} if step is None else store.cost(step.key) for step in steps]
