"""What a sanitiser saw of each poisoning attack, and what of the attack is left behind it.

A sanitiser is given the poisoned log and never told who is fake: its suspicion and its flags lie in the store as the
fit left them, and only here, afterwards, do they meet the truth. An attack that adds no account has nobody to be found,
so edits of genuine users' rows are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from robust.defense import Sanitizer
from robust.log import Bool
from robust.metrics.detection import area, auc, roc
from robust.runner.cell import Cell
from robust.runner.judging import Assessment
from robust.runner.prepare import Prepared
from robust.runner.price import rates
from robust.runner.records import Confusion, DetectionResult, HarmLeft, RocPoint
from robust.runner.results import CellResult
from robust.runner.store import Store
from robust.runner.workshop import FLAGGED, SUSPICION

GRID = np.array([0, 0.001, 0.002, 0.005, 0.01, 0.015, *np.arange(2, 10) / 100, *np.arange(2, 21) / 20])
"""False positive rates at which curves are averaged: close where a sanitiser works, wide beyond."""
LOW_FPR = 0.01


class Seen:
    """One seed of one attack, as a sanitiser saw it.

    Attributes:
        suspicion: float [u], fake: bool [u], flagged: bool [u], of all users with rows: genuine ones first.
    """

    def __init__(self, suspicion: NDArray[np.float64], fake: Bool, flagged: Bool) -> None:
        self.suspicion, self.fake, self.flagged = suspicion, fake, flagged


def detection_results(
    prepared: Prepared, store: Store, assessments: Sequence[Assessment], records: Sequence[CellResult]
) -> list[DetectionResult]:
    """A record for each sanitiser, attack, budget and plan; victims that met the same poisoned logs share one."""
    found: dict[tuple[str, ...], DetectionResult] = {}
    for assessment, record in zip(assessments, records, strict=True):
        cell, measured = assessment.cell, assessment.measured
        if not isinstance(cell.defense, Sanitizer) or not measured.seeds:
            continue
        steps = [cell.steps(seed) for seed in measured.seeds]
        poisons = [own.planning.key for own in steps]
        key = (cell.threat.id, cell.defense_spec.label, cell.attack_spec.label, cell.budget_spec.label, *poisons)
        if key not in found:
            seen = [_seen(own.planning.key, own.attacked.inputs["model"].key, prepared, store) for own in steps]
            told = [one for one in seen if one is not None and one.fake.any()]
            if len(told) < len(steps):
                continue
            found[key] = _detection(cell, measured.seeds, told, prepared)
        found[key].cells.append(record.id)
        found[key].left.extend(_left(cell, record, assessments, records))
    return list(found.values())


def _seen(poison: str, fit: str, prepared: Prepared, store: Store) -> Seen | None:
    """None where an outcome is missing from the store."""
    edit, fitted = store.get(poison), store.get(fit)
    if edit is None or fitted is None or SUSPICION not in fitted.arrays:
        return None
    train = prepared.split.train
    add = edit.arrays.get("add", np.zeros((0, 1), np.int32))
    with_rows = np.concatenate([train.lengths > 0, (add != 0).any(axis=1)])
    fake = np.arange(len(with_rows)) >= train.n_users
    arrays = fitted.arrays
    return Seen(arrays[SUSPICION][with_rows], fake[with_rows], arrays[FLAGGED][with_rows])


def _detection(cell: Cell, seeds: Sequence[int], seen: Sequence[Seen], prepared: Prepared) -> DetectionResult:
    logs = [(one.suspicion, one.fake) for one in seen]
    curves = [roc(*log) for log in logs]
    whole = area(logs)
    genuine = [one.flagged[~one.fake] for one in seen]
    lengths = prepared.split.train.lengths
    return DetectionResult(
        threat=cell.threat.id,
        defense=cell.defense_spec.label,
        attack=cell.attack_spec.label,
        budget=cell.budget_spec.label,
        planned_on=cell.planned_on,
        cells=[],
        seeds=list(seeds),
        auc=whole.mean,
        auc_low=whole.low,
        auc_high=whole.high,
        auc_by_seed=[auc(*log) for log in logs],
        tpr_at_1=float(np.mean([curve.tpr_at(LOW_FPR) for curve in curves])),
        roc=list(_points(np.mean([curve.at(GRID) for curve in curves], axis=0))),
        confusion=_confusion(seen),
        false_positives=rates(genuine, lengths[lengths > 0]),
    )


def _points(tpr: NDArray[np.float64]) -> Iterator[RocPoint]:
    for x, y in zip(GRID.tolist(), tpr.tolist(), strict=True):
        yield RocPoint(fpr=round(x, 4), tpr=round(y, 6))


def _confusion(seen: Sequence[Seen]) -> Confusion:
    def mean(fake: bool, flagged: bool) -> float:
        return float(np.mean([((one.fake == fake) & (one.flagged == flagged)).sum() for one in seen]))

    return Confusion(
        fake_flagged=mean(True, True),
        fake_kept=mean(True, False),
        genuine_flagged=mean(False, True),
        genuine_kept=mean(False, False),
    )


def _left(
    cell: Cell, record: CellResult, assessments: Sequence[Assessment], records: Sequence[CellResult]
) -> Iterator[HarmLeft]:
    """The change behind the sanitiser beside that of the same attack on the plain victim."""
    name = record.bound.metric
    for other, plain in zip(assessments, records, strict=True):
        own = other.cell
        if (
            own.defense is None
            and own.planned_on != "surrogate"
            and (own.threat.id, own.victim, own.attack_spec, own.budget_spec)
            == (cell.threat.id, cell.victim, cell.attack_spec, cell.budget_spec)
            and name in plain.metrics
            and name in record.metrics
        ):
            without, behind = plain.metrics[name], record.metrics[name]
            told = without.low is not None and without.low > 0
            yield HarmLeft(
                victim=record.victim,
                metric=name,
                plain=without.change,
                protected=behind.change,
                left=behind.change / without.change if told else None,
            )
            return
