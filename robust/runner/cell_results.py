"""The published record of a cell: points, metrics, control, price and flags."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from robust.curve import CurvePoint, mean_curve
from robust.log import InteractionLog
from robust.ranking import Ranking, per_user
from robust.runner.cell import Cell
from robust.runner.cell_metrics import cell_metrics
from robust.runner.effort import price
from robust.runner.flags import cell_flags
from robust.runner.judging import Assessment
from robust.runner.outcomes import Measured, values
from robust.runner.results import BoundResult, CellResult, Control, Point, SearchPoint, SurrogateResult, Verdict
from robust.runner.used import access_used
from robust.seen import Seen
from robust.statistics import change_limits


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
    record.used = access_used(cell, measured.notes)
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
    record.metrics = cell_metrics(cell, measured, judgement, floor, train)
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


def _surrogate(cell: Cell, measured: Measured) -> SurrogateResult | None:
    """How faithful the model was that an attacker took out of the victim; None where there is none."""
    own = cell.surrogate
    told = [note for note in measured.notes if "faithful" in note]
    if own is None or own.extract is None or not told:
        return None
    agreed = {name: float(np.mean([note["faithful"][name] for note in told])) for name in told[0]["faithful"]}
    constant = float(np.mean([note["constant"] for note in told]))
    return SurrogateResult(
        model=own.model.spec.label,
        queries=own.extract.spent,
        agreement=agreed,
        constant=constant,
        extract=own.extract.model_dump(mode="json"),
    )


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
