"""Sanity of the evaluation: findings about the measurement itself, each with cause and remedy.

After AutoAttack's checks (Croce and Hein, ICML 2020, and its `flags_doc`): an evaluation that is broken in one of these
ways looks like a robust model. docs/flags.md explains each. What one cell shows is here, what only a comparison of
cells shows is in `across`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defense import Sanitizer
from robust.runner.cell import Cell
from robust.runner.results import CellResult, Flag
from robust.statistics import limits, seed_outliers

if TYPE_CHECKING:
    from robust.runner.outcomes import Measured

EVERYWHERE = 0.9
ZERO_GRADIENT = 0.5
NOISY_GRADIENT = 0.25
FEW_CHANGED = 0.01
MANY_REMOVED = 0.05
MANY_REFUSED = 0.01
FAITHFUL = 0.5


def cell_flags(cell: Cell, measured: Measured, record: CellResult) -> list[Flag]:
    """What is to be noticed about this cell's measurement."""
    found = (check(cell, measured, record) for check in CHECKS)
    return [flag for flag in found if flag is not None]


def _mean(measured: Measured, name: str) -> float:
    """The mean over seeds of something that the steps noted; 0 where none did."""
    noted = [float(note[name]) for note in measured.notes if note.get(name) is not None]
    return float(np.mean(noted)) if noted else 0.0


def _changed_nothing(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    spends = any((cell.budget.users, cell.budget.rows, cell.budget.edits, cell.budget.epsilon))
    changed = float(np.mean(measured.changed))
    if not spends or changed >= FEW_CHANGED:
        return None
    return Flag(
        name="changed_nothing",
        cause=f"'{cell.attack_spec.name}' left {1 - changed:.0%} of its inputs as they were, "
        "so this cell measures nothing.",
        remedy="Loosen the attack's own constraints (for substitution, tau), or raise the budget.",
    )


def _zero_gradient(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    share = _mean(measured, "zero_gradient")
    if share <= ZERO_GRADIENT:
        return None
    return Flag(
        name="zero_gradient",
        cause=f"The gradient is exactly zero for {share:.0%} of the sequences tried; "
        "an attack that follows it is blind. Rounded scores or a saturated layer do this.",
        remedy="Trust the attacks that need only lists (random-substitution); attack a surrogate of the model.",
    )


def _noisy_gradient(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    share = _mean(measured, "noisy_gradient")
    if share <= NOISY_GRADIENT:
        return None
    return Flag(
        name="noisy_gradient",
        cause=f"For {share:.0%} of the sequences tried, the gradient differs from call to call, or the score does not "
        "change along it as it says: the model is random, or its gradient is not that of its scores.",
        remedy="Put the model into evaluation mode, or average its gradient over draws; trust the attacks that need "
        "only lists, and attack a surrogate.",
    )


def _scores_change(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    share = _mean(measured, "answers_change")
    if share == 0:
        return None
    subject = "The victim" if cell.defense is None else f"The victim behind '{cell.defense_spec.name}'"
    return Flag(
        name="scores_change",
        cause=f"{subject} answered {share:.0%} of a sample of clean sequences differently when asked once more, so "
        "that a part of every change is chance, and an attacker may ask until luck is on his side.",
        remedy="Put the model into evaluation mode (no dropout, no sampling). If it is random by design, fix its "
        "draws, or attack the expectation over them and judge the worst of several answers.",
    )


def _no_better_than_control(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    control, change = record.control, record.metrics[record.bound.metric].change
    if control is None or change > control.change:
        return None
    kind = "optimised attack" if isinstance(cell.attack, (EvasionAttack, EmbeddingAttack)) else "attack"
    return Flag(
        name="no_better_than_control",
        cause=f"The {kind} '{cell.attack_spec.name}' changed {record.bound.metric} by {change:.2%}, its control "
        f"'{control.attack}' by {control.change:.2%} at equal budget.",
        remedy="A PASS here shows a weak attack, not a robust model: give the attack more steps, candidates or "
        "knowledge, and look at the control's number.",
    )


def _target_everywhere(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    clean = record.metrics[record.bound.metric].clean
    if record.bound.kind != "rise" or clean <= EVERYWHERE:
        return None
    return Flag(
        name="target_everywhere",
        cause=f"The targets stand in {clean:.0%} of the clean lists already: nothing can rise.",
        remedy="Promote colder items, or a shorter list (goal.k).",
    )


def _seed_outlier(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    outliers = seed_outliers([point.change for point in record.points])
    if not outliers:
        return None
    seeds = ", ".join(str(record.points[i].seed) for i in outliers)
    return Flag(
        name="seed_outlier",
        cause=f"Seed {seeds} lies far from the others. Where one training run in ten collapses, no interval "
        "from a few seeds is right.",
        remedy="Look at that seed's point; run 10 seeds; train the victim longer.",
    )


def _genuine_users_removed(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    if not (isinstance(cell.attack, PoisoningAttack) and isinstance(cell.defense, Sanitizer)):
        return None
    share = _mean(measured, "removed_genuine") / max(int((cell.ground.log.lengths > 0).sum()), 1)
    if share <= MANY_REMOVED:
        return None
    return Flag(
        name="genuine_users_removed",
        cause=f"The sanitiser removed {share:.0%} of the genuine users.",
        remedy="Lower its assumed attack size; weigh what those users lose.",
    )


def _refuses(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    empty = float(np.mean([(ranking.lists == 0).all(axis=1).mean() for ranking in measured.clean]))
    if empty <= MANY_REFUSED:
        return None
    subject = "The victim" if cell.defense is None else f"The victim behind '{cell.defense_spec.name}'"
    return Flag(
        name="refuses",
        cause=f"{subject} gave {empty:.0%} of the clean users an empty list. Who is shown nothing can be shown nothing "
        "wrong: a bound on exposure or on relative change is kept by refusing, at the price of honest users.",
        remedy="Count what those users lose (clean quality, where a refusal is a miss) before a PASS; raise the "
        "defence's budget or threshold until honest users are answered.",
    )


def _poison_beyond_split(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    late = _mean(measured, "late_rows")
    if late == 0:
        return None
    return Flag(
        name="poison_beyond_split",
        cause=f"'{cell.attack_spec.name}' put {late:,.0f} rows after the last genuine train row, at times that the "
        "test rows are taken from: the victim learns from a future that it could not know.",
        remedy="Give its rows times up to the last train row (times: bootstrap does).",
    )


def _unfaithful_surrogate(cell: Cell, measured: Measured, record: CellResult) -> Flag | None:
    copied = record.surrogate
    if copied is None or record.verdict == "FAIL":
        return None
    agreed, constant = copied.agreement["agreement@10"], copied.constant or 0.0
    if agreed >= FAITHFUL and agreed > constant:
        return None
    return Flag(
        name="unfaithful_surrogate",
        cause=f"The attack was planned on a copy of the victim that shares {agreed:.0%} of its top ten, where one list "
        f"for everybody shares {constant:.0%}: what does little on such a copy says little of the victim.",
        remedy="Ask for more lists (surrogate: {name: gru4rec, extract: {queries: …}}), name another surrogate, and "
        "trust the attacks that ask the victim itself (random-substitution).",
    )


CHECKS: tuple[Callable[[Cell, Measured, CellResult], Flag | None], ...] = (
    _changed_nothing,
    _zero_gradient,
    _noisy_gradient,
    _scores_change,
    _no_better_than_control,
    _target_everywhere,
    _seed_outlier,
    _genuine_users_removed,
    _refuses,
    _poison_beyond_split,
    _unfaithful_surrogate,
)


def victim_flags(
    ndcg: NDArray[np.float64], markov: NDArray[np.float64], *, trained_by_us: bool
) -> tuple[list[Flag], bool]:
    """Flags of a victim on clean data, and whether it is undertrained (then its cells are ERROR).

    Args:
        ndcg, markov: float [S, n] and [n], NDCG@10 per user of the victim and of first-order Markov.
    """
    difference = ndcg - markov
    if len(ndcg) < 2:
        interval = limits(difference[:1], alpha=0.05, worst=(-1.0, 1.0))
    else:
        interval = limits(difference, alpha=0.05, worst=(-1.0, 1.0))
    if interval.high >= 0:
        return [], False
    gap = (
        f"NDCG@10 {ndcg.mean():.3f} on clean data, significantly below first-order Markov's {markov.mean():.3f}"
        f" (difference at most {interval.high:.3f})."
    )
    if trained_by_us:
        remedy = "Train longer (max_epochs, patience), or check that the log has an order to learn."
        return [Flag(name="undertrained", cause=gap, remedy=remedy)], True
    remedy = "Check the wiring with `robust doctor` (padding side, id shift); a weak model has little to lose."
    return [Flag(name="weak_victim", cause=gap, remedy=remedy)], False


def unchecked() -> Flag:
    """First-order Markov was not ranked, so nobody knows whether a victim is undertrained."""
    return Flag(
        name="unchecked_victim",
        cause="First-order Markov was not ranked on this log, so whether the victim is undertrained was not checked.",
        remedy="Run the same command again without --max-time; until then, read a PASS as: not known to be robust.",
    )
