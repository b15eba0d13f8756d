"""From ranked outcomes to cell results: changes, intervals, verdicts, controls and flags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.curve import CurvePoint, mean_curve
from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.measure import Ranking, Seen, per_user, per_user_shift
from robust.metrics.beyond import coverage, gini_of_exposure, novelty
from robust.metrics.stability import frbo, jaccard, rank_list_sensitivity
from robust.runner.effort import effort, price
from robust.runner.engines import Failure
from robust.runner.flags import cell_flags
from robust.runner.plan import Cell, SeedSteps
from robust.runner.results import (
    BoundResult,
    CellResult,
    Control,
    MetricResult,
    Point,
    SearchPoint,
    SurrogateResult,
    Verdict,
)
from robust.runner.store import Store
from robust.statistics import Judgement, adjusted_p, change_limits, correct_failures, judge, limits

QUALITY = ("ndcg@10", "hr@10", "mrr@10")


@dataclass
class Measured:
    """A cell's outcomes over the seeds run so far.

    Attributes:
        changed: per seed, of the attack. previous: the clean lists of the seed before, on its targets.
        notes: what the steps noted, of the clean ranking, the fit and the attack.
    """

    seeds: list[int] = field(default_factory=list)
    clean: list[Ranking] = field(default_factory=list)
    attacked: list[Ranking] = field(default_factory=list)
    control: list[Ranking] = field(default_factory=list)
    held: list[NDArray[np.bool_]] = field(default_factory=list)
    previous: list[tuple[int, ...]] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


def _ranking(store: Store, key: str) -> Ranking | None:
    artifact = store.get(key)
    return None if artifact is None else Ranking(**artifact.arrays)


def gather(
    plans: Sequence[tuple[int, SeedSteps]], store: Store, holdings: Seen, failures: Mapping[str, Failure]
) -> tuple[Measured, Failure | None]:
    """Read a cell's outcomes; stops at the first seed that has none, with the reason."""
    measured = Measured()
    for seed, steps in plans:
        for step in (steps.clean, steps.attacked):
            if step.key in failures:
                return measured, failures[step.key]
        clean, attacked = _ranking(store, steps.clean.key), _ranking(store, steps.attacked.key)
        planning = store.get(steps.planning.key)
        if clean is None or attacked is None or planning is None:
            return measured, Failure("error", "an outcome is missing from the store; run the same command again")
        if steps.control is not None and steps.control.key not in failures:
            beside = _ranking(store, steps.control.key)
            if beside is not None:
                measured.control.append(beside)
        measured.seeds.append(seed)
        measured.clean.append(clean)
        measured.attacked.append(attacked)
        measured.held.append(holdings.holds(steps.targets))
        measured.previous.append(steps.previous)
        measured.queries.append(int(planning.note["queries"]))
        measured.changed.append(float(planning.note["changed"]))
        fit = steps.attacked.inputs.get("model")
        asked = steps.planning.inputs.get("model")  # a surrogate, where the attacker had to make one
        from_lists = asked if asked is not None and asked.kind == "extract" else None
        noted = [store.get(step.key) for step in (steps.clean, fit, from_lists) if step is not None]
        said = {k: v for found in (*noted, planning) if found for k, v in found.note.items()}
        measured.notes.append({**said, "effort": effort(planning)})
    return measured, None


def values(metric: str, rankings: Sequence[Ranking], held: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """float [S, n], a per-user metric under each seed; the first targets of a ranking are the seed's own."""
    rows = []
    for ranking, holds in zip(rankings, held, strict=True):
        own = Ranking(ranking.ranks, ranking.target_ranks[:, : holds.shape[1]], ranking.lists)
        rows.append(per_user(metric, own, holds))
    return np.stack(rows)


def noise_floor(cell: Cell, measured: Measured, holdings: Seen) -> list[float | None]:
    """The bounded metric's change, clean against clean under the seed before; None where there is none."""
    floor: list[float | None] = []
    for index, ranking in enumerate(measured.clean):
        previous = measured.previous[index]
        if index == 0 or cell.fixed:
            floor.append(None)
            continue
        before = measured.clean[index - 1]
        held = holdings.holds(previous)
        own = measured.held[index].shape[1]
        here = Ranking(ranking.ranks, ranking.target_ranks[:, own : own + len(previous)], ranking.lists)
        there = Ranking(before.ranks, before.target_ranks[:, : len(previous)], before.lists)
        new, old = (float(np.nanmean(per_user(cell.threat.bound.metric, r, held))) for r in (here, there))
        floor.append(_change(cell.threat.bound.kind, old, new))
    return floor


def _change(kind: str, clean: float, attacked: float) -> float:
    if kind == "drop":
        return (clean - attacked) / clean if clean > 0 else 0.0
    return attacked - clean if kind == "rise" else attacked


@dataclass(frozen=True)
class Assessment:
    """A cell with everything that a report says of it, before multiplicity is corrected."""

    cell: Cell
    measured: Measured
    judgement: Judgement | None
    failure: Failure | None


def assess(cell: Cell, measured: Measured, failure: Failure | None) -> Assessment:
    """Judge the bound on the seeds measured; a failure after some look leaves that look's verdict in force."""
    if not measured.seeds or (failure is not None and failure.kind != "time"):
        return Assessment(cell, measured, None, failure)
    bound = cell.threat.bound
    try:
        judgement = judge(
            values(bound.metric, measured.clean, measured.held),
            values(bound.metric, measured.attacked, measured.held),
            kind=bound.kind,
            limit=bound.limit,
            fixed_model=cell.fixed,
        )
    except NotApplicable as error:
        return Assessment(cell, measured, None, Failure("not_applicable", str(error)))
    return Assessment(cell, measured, judgement, failure)


def correct(assessments: Sequence[Assessment]) -> list[tuple[Verdict, str]]:
    """Final verdicts: PASS stands uncorrected, FAIL must survive the correction over attack × victim pairs."""
    chains = _chains(assessments)
    p_values = {chain: [_p_fail(assessments[i]) for i in members] for chain, members in chains.items()}
    rejected: dict[int, bool] = {}
    for chain, decisions in correct_failures(p_values).items():
        rejected.update(zip(chains[chain], decisions, strict=True))
    verdicts: list[tuple[Verdict, str]] = []
    for index, assessment in enumerate(assessments):
        judgement, failure = assessment.judgement, assessment.failure
        if judgement is None:
            verdicts.append(unmeasured(failure))
        elif judgement.verdict == "PASS":
            verdicts.append(("PASS", judgement.reason))
        elif rejected[index]:
            verdicts.append(("FAIL", judgement.reason if judgement.verdict == "FAIL" else ""))
        elif judgement.verdict == "FAIL":
            pairs = len(chains)
            reason = f"beyond the bound on its own, but not after correcting for {pairs} attack × victim pairs"
            verdicts.append(("INCONCLUSIVE", reason))
        else:
            reason = failure.message if failure is not None else judgement.reason
            verdicts.append(("INCONCLUSIVE", reason))
    return verdicts


def adjusted(assessments: Sequence[Assessment]) -> dict[int, float]:
    """Each judged cell's p-value of FAIL, adjusted for budgets and attack × victim pairs."""
    chains = _chains(assessments)
    p_values = {chain: [_p_fail(assessments[i]) for i in members] for chain, members in chains.items()}
    found: dict[int, float] = {}
    for chain, adjusted_values in adjusted_p(p_values).items():
        found.update(zip(chains[chain], adjusted_values, strict=True))
    return found


def _chains(assessments: Sequence[Assessment]) -> dict[tuple[str, ...], list[int]]:
    """The judged cells of each attack × victim pair, largest budget first."""
    chains: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, assessment in enumerate(assessments):
        if assessment.judgement is not None:
            chains[assessment.cell.chain].append(index)
    for members in chains.values():
        members.sort(key=lambda i: -assessments[i].cell.budget.size)
    return chains


def _p_fail(assessment: Assessment) -> float:
    assert assessment.judgement is not None
    return 1.0 if assessment.judgement.verdict == "PASS" else assessment.judgement.p_fail


def unmeasured(failure: Failure | None) -> tuple[Verdict, str]:
    """What is said of a cell that was not measured."""
    if failure is None:
        return "ERROR", "nothing was measured"
    if failure.kind == "not_applicable":
        return "NOT_APPLICABLE", failure.message
    if failure.kind == "time":
        return "INCONCLUSIVE", "time: left out by --max-time; run the same command again to go on"
    return "ERROR", failure.message


def undecided(verdict: Verdict, assessment: Assessment) -> bool:
    """Whether more seeds could decide this cell."""
    return verdict == "INCONCLUSIVE" and assessment.failure is None and not assessment.cell.fixed


def result(
    assessment: Assessment,
    verdict: Verdict,
    reason: str,
    *,
    holdings: Seen,
    train: InteractionLog,
) -> CellResult:
    """The published record of a cell."""
    cell, measured, judgement = assessment.cell, assessment.measured, assessment.judgement
    bound = cell.threat.bound
    record = CellResult(
        id=cell.id,
        threat=cell.threat.id,
        victim=cell.victim.spec.label,
        attack=cell.attack_spec.name,
        attack_parameters=cell.attack_spec.parameters,
        defense=cell.defense_spec.label,
        goal=cell.threat.goal.label,
        budget=cell.budget_spec.label,
        budget_size=cell.budget.size,
        knowledge=cell.threat.knowledge.model_dump(mode="json"),
        worst_case=cell.threat.knowledge.next_item,
        planned_on=cell.planned_on,
        measured_on=cell.measured_on,
        retrain=cell.retrain,
        bound=BoundResult(metric=bound.metric, kind=bound.kind, limit=bound.limit),
        verdict=verdict,
        reason=reason,
    )
    if judgement is None:
        return record
    used = judgement.seeds_used or len(measured.seeds)
    floor = noise_floor(cell, measured, holdings)
    clean, attacked = (values(bound.metric, r, measured.held) for r in (measured.clean, measured.attacked))
    record.seeds = measured.seeds
    record.n_users = int(clean.shape[1])
    record.queries = round(float(np.mean(measured.queries)))
    record.points = [
        Point(
            seed=seed,
            clean=float(np.nanmean(c)),
            attacked=float(np.nanmean(a)),
            change=_change(bound.kind, float(np.nanmean(c)), float(np.nanmean(a))),
            null=null,
        )
        for seed, c, a, null in zip(measured.seeds, clean, attacked, floor, strict=True)
    ]
    record.metrics = _metrics(cell, measured, judgement, floor, train)
    record.control = _control(cell, measured, used)
    record.curve = _curve(measured)
    record.surrogate = _surrogate(cell, measured)
    record.price = price(
        measured.notes,
        queries=float(np.mean(measured.queries)),
        budget=cell.budget,
        metric=bound.metric,
        measured=record.metrics[bound.metric],
        kind=bound.kind,
        train=train,
    )
    record.flags = cell_flags(cell, measured, record)
    return record


def _metrics(
    cell: Cell,
    measured: Measured,
    judgement: Judgement,
    floor: list[float | None],
    train: InteractionLog,
) -> dict[str, MetricResult]:
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
        found = {side: _level_limits(cell, values(name, r, measured.held)) for side, r in sides.items()}
        table[name] = table[name].model_copy(update=found)
    n_items = train.n_items
    lists: dict[str, Any] = {
        "coverage@10": lambda rows: coverage(rows, n_items),
        "novelty@10": lambda rows: _novelty(rows, train),
        "gini@10": lambda rows: gini_of_exposure(rows, n_items),
    }
    for name, of in lists.items():
        before, after = (np.mean([of(r.lists) for r in side]) for side in (measured.clean, measured.attacked))
        sign = -1.0 if name == "gini@10" else 1.0
        table[name] = MetricResult(clean=float(before), attacked=float(after), change=float(sign * (before - after)))
    if "scores" in cell.victim.capabilities:
        shifts = [per_user_shift(c, a, n_items) for c, a in zip(measured.clean, measured.attacked, strict=True)]
        table["rank_shift"] = MetricResult(clean=0.0, attacked=float(np.mean(shifts)), change=float(np.mean(shifts)))
    return table | _stability(cell, measured) | _projected(measured)


def _level_limits(cell: Cell, level: NDArray[np.float64]) -> tuple[float, float] | None:
    """One-sided 95% limits of a mean over users and seeds; None where too few seeds were run to tell."""
    if not cell.fixed and len(level) < 3:
        return None
    found = limits(level[:1] if cell.fixed else level, alpha=0.05, worst=(0.0, 1.0))
    return max(found.low, 0.0), min(found.high, 1.0)


def _projected(measured: Measured) -> dict[str, MetricResult]:
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


def _stability(cell: Cell, measured: Measured) -> dict[str, MetricResult]:
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


def _surrogate(cell: Cell, measured: Measured) -> SurrogateResult | None:
    """How faithful the model was that an attacker took out of the victim; None where there is none."""
    how = cell.threat.surrogate.extract
    said = [note["faithful"] for note in measured.notes if "faithful" in note]
    if cell.surrogate is None or how is None or not said:
        return None
    agreed = {name: float(np.mean([one[name] for one in said])) for name in said[0]}
    return SurrogateResult(model=cell.surrogate.spec.label, queries=how.spent, agreement=agreed)


def _curve(measured: Measured) -> list[SearchPoint]:
    """The mean over seeds of what a search noted."""
    noted = [[CurvePoint(**point) for point in note.get("curve", ())] for note in measured.notes]
    curves = [curve for curve in noted if curve]
    return [SearchPoint(**asdict(point)) for point in mean_curve(curves, [1.0] * len(curves))]


def _control(cell: Cell, measured: Measured, used: int) -> Control | None:
    control = cell.attack.control_attack(cell.budget)
    if control is None or len(measured.control) < len(measured.seeds) or not measured.control:
        return None
    bound = cell.threat.bound
    clean = values(bound.metric, measured.clean, measured.held)
    beside = values(bound.metric, measured.control, measured.held)
    whole = _change(bound.kind, float(np.nanmean(clean)), float(np.nanmean(beside)))
    low = high = None
    if cell.fixed or used >= 3:
        interval = change_limits(clean[:used], beside[:used], kind=bound.kind, alpha=0.05)
        low, high = interval.low, interval.high
    return Control(attack=control[0], change=whole, low=low, high=high)


def clean_summary(rankings: Sequence[Ranking], train: InteractionLog) -> dict[str, float]:
    """A victim's quality on clean data, mean over seeds."""
    table: dict[str, float] = {}
    for name in ("hr@10", "ndcg@10", "mrr@10"):
        table[name] = float(np.mean([per_user(name, r).mean() for r in rankings]))
    table["coverage@10"] = float(np.mean([coverage(r.lists, train.n_items) for r in rankings]))
    table["novelty@10"] = float(np.mean([_novelty(r.lists, train) for r in rankings]))
    table["gini@10"] = float(np.mean([gini_of_exposure(r.lists, train.n_items) for r in rankings]))
    return table


def _novelty(lists: NDArray[np.int32], train: InteractionLog) -> float:
    """Mean over the lists that hold anything, whoever was evaluated; by how many train users hold an item."""
    bits = novelty(lists, train.holders, max(int((train.lengths > 0).sum()), 1))
    return float(bits[~np.isnan(bits)].mean()) if not np.isnan(bits).all() else 0.0
