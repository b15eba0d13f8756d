"""Whether a defence defends: findings that only a comparison with the undefended cell shows.

After Athalye et al., "Obfuscated gradients give a false sense of security" (ICML 2018) and Carlini et al., "On
evaluating adversarial robustness" (2019): a defence is judged by what is left under an attack, against what is left
without it. One that does nothing, or takes more from everybody than the attack would, passes a bound on relative change
as well as a good one.

Cells are paired by threat, victim, attack and budget, and compared on the same users and seeds; no finding is a
verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robust.errors import NotApplicable
from robust.ranking import Ranking
from robust.runner.cell import Cell
from robust.runner.judging import Assessment
from robust.runner.outcomes import values
from robust.runner.results import CellResult, Flag
from robust.statistics import limits

ALPHA = 0.05
FEWEST_SEEDS = 3
"""Of anything but a fixed model: fewer say nothing about how seeds differ."""

Pair = tuple[CellResult, Assessment]


def flag_protection(records: Sequence[CellResult], assessments: Sequence[Assessment]) -> None:
    """Add to each defended record what its undefended twin shows."""
    measured = [
        (record, assessment)
        for record, assessment in zip(records, assessments, strict=True)
        if assessment.judgement is not None and record.verdict != "ERROR"
    ]
    plain = {_twins(of.cell): (record, of) for record, of in measured if _undefended(of.cell)}
    for record, assessment in measured:
        beside = plain.get(_twins(assessment.cell))
        if beside is None or assessment.cell.defense is None:
            continue
        found = (_no_effect(beside, (record, assessment)), _costs_more((record, assessment), beside))
        record.flags += [flag for flag in found if flag is not None]


def _undefended(cell: Cell) -> bool:
    """Whether this is the attack at its strongest, on nothing but the victim: one planned on a surrogate may not be."""
    return cell.defense is None and cell.planned_on != "surrogate"


def _twins(cell: Cell) -> tuple[str, ...]:
    """What two cells share that differ in the defence alone."""
    return cell.threat.id, cell.victim.spec.label, cell.attack_spec.label, cell.budget_spec.label


def _levels(assessment: Assessment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """float [S, n], the bounded metric clean and under attack; one row for a fixed model."""
    metric, measured = assessment.cell.threat.bound.metric, assessment.measured
    rows = 1 if assessment.cell.fixed else len(measured.seeds)
    clean, attacked = (values(metric, side, measured.held)[:rows] for side in (measured.clean, measured.attacked))
    return clean, attacked


def _surely(more: NDArray[np.float64], fixed: bool) -> bool | None:
    """Whether the mean of these differences lies above 0, beyond chance; None where too few seeds were run to tell."""
    if not fixed and len(more) < FEWEST_SEEDS:
        return None
    try:
        return limits(more, alpha=ALPHA, worst=(-1.0, 1.0)).low > 0
    except NotApplicable:  # nobody left to compare
        return None


def _same_answers(one: Assessment, other: Assessment) -> bool:
    """Whether not one list differs, clean or under attack, nor where the true item stands in it."""
    a, b = one.measured, other.measured
    pairs = [*zip(a.clean, b.clean, strict=True), *zip(a.attacked, b.attacked, strict=True)]
    return all(np.array_equal(x.lists, y.lists) and np.array_equal(_listed(x), _listed(y)) for x, y in pairs)


def _listed(ranking: Ranking) -> NDArray[np.int64]:
    """int64 [n], ranks within the list; who gives no scores knows none below."""
    return np.asarray(np.minimum(ranking.ranks, ranking.lists.shape[1] + 1), dtype=np.int64)


def _no_effect(plain: Pair, defended: Pair) -> Flag | None:
    (_, one), (record, other) = plain, defended
    if one.measured.seeds != other.measured.seeds:
        return None
    worse = -1.0 if other.cell.threat.bound.kind == "drop" else 1.0  # of a higher value
    (clean, attacked), (_, behind) = _levels(one), _levels(other)
    fixed = one.cell.fixed and other.cell.fixed
    same = _same_answers(one, other)
    harm = _surely(worse * (attacked - clean), fixed)
    if not same and (not harm or _surely(worse * (attacked - behind), fixed) is not False):
        return None  # nothing to defend, too few seeds, or a gain
    name, metric = other.cell.defense_spec.name, record.bound.metric
    left = f"{np.nanmean(attacked):.3f} without '{name}' and {np.nanmean(behind):.3f} behind it"
    return Flag(
        name="no_effect",
        cause=(
            f"Not one list differs behind '{name}'."
            if same
            else f"Under '{record.attack}' {metric} is {left}: no gain beyond chance."
        ),
        remedy=f"Credit '{name}' with nothing here: a PASS is the victim's own, or the attack's weakness. Check that "
        "it is switched on and its threshold can be passed; more users may show a small gain.",
    )


def _costs_more(defended: Pair, plain: Pair) -> Flag | None:
    (record, one), (without, other) = defended, plain
    if record.bound.kind != "drop" or one.measured.seeds != other.measured.seeds:
        return None
    (clean, _), (_, attacked) = _levels(one), _levels(other)
    if not _surely(attacked - clean, one.cell.fixed and other.cell.fixed):
        return None
    name, metric = one.cell.defense_spec.name, record.bound.metric
    return Flag(
        name="costs_more_than_attack",
        cause=f"Behind '{name}' {metric} is {np.nanmean(clean):.3f} on clean sequences; without it, it is still "
        f"{np.nanmean(attacked):.3f} under '{without.attack}'. The defence takes more from everybody than the attack "
        "takes from its victims.",
        remedy="A small drop here is no robustness: judge by the level under attack, not by the change. Loosen the "
        "defence, or leave it out.",
    )
