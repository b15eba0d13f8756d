"""Sanity of the evaluation: findings about the measurement itself, each with cause and remedy.

After AutoAttack's checks (Croce and Hein, ICML 2020, and its `flags_doc`): an evaluation that is broken in one of these
ways looks like a robust model. docs/flags.md explains each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defense import Sanitizer
from robust.runner.plan import Cell
from robust.runner.results import CellResult, Flag
from robust.statistics import limits, seed_outliers

if TYPE_CHECKING:
    from robust.runner.judging import Measured

EVERYWHERE = 0.9
ZERO_GRADIENT = 0.5
FEW_CHANGED = 0.01


def cell_flags(cell: Cell, measured: Measured, record: CellResult, clean: NDArray[np.float64]) -> list[Flag]:
    """What is to be noticed about this cell's measurement."""
    found = []
    nonzero = any((cell.budget.users, cell.budget.rows, cell.budget.edits, cell.budget.epsilon))
    if nonzero and float(np.mean(measured.changed)) < FEW_CHANGED:
        found.append(
            Flag(
                name="changed_nothing",
                cause=f"'{cell.attack_spec.name}' left {1 - np.mean(measured.changed):.0%} of its inputs as they were, "
                "so this cell measures nothing.",
                remedy="Loosen the attack's own constraints (for substitution, tau), or raise the budget.",
            )
        )
    if measured.zero_gradient and float(np.mean(measured.zero_gradient)) > ZERO_GRADIENT:
        found.append(
            Flag(
                name="zero_gradient",
                cause=f"The gradient is exactly zero for {np.mean(measured.zero_gradient):.0%} of the sequences tried; "
                "an attack that follows it is blind. Rounded scores or a saturated layer do this.",
                remedy="Trust the attacks that need only lists (random-substitution); attack a surrogate of the model.",
            )
        )
    control = record.control
    if control is not None and record.metrics[record.bound.metric].change <= control.change:
        kind = "optimised attack" if isinstance(cell.attack, (EvasionAttack, EmbeddingAttack)) else "attack"
        found.append(
            Flag(
                name="no_better_than_control",
                cause=f"The {kind} '{cell.attack_spec.name}' changed {record.bound.metric} by "
                f"{record.metrics[record.bound.metric].change:.2%}, its control '{control.attack}' by "
                f"{control.change:.2%} at equal budget.",
                remedy="A PASS here shows a weak attack, not a robust model: give the attack more steps, candidates or "
                "knowledge, and look at the control's number.",
            )
        )
    if record.bound.kind == "rise" and float(np.nanmean(clean)) > EVERYWHERE:
        found.append(
            Flag(
                name="target_everywhere",
                cause=f"The targets stand in {np.nanmean(clean):.0%} of the clean lists already: nothing can rise.",
                remedy="Promote colder items, or a shorter list (goal.k).",
            )
        )
    outliers = seed_outliers([point.change for point in record.points])
    if outliers:
        seeds = ", ".join(str(record.points[i].seed) for i in outliers)
        found.append(
            Flag(
                name="seed_outlier",
                cause=f"Seed {seeds} lies far from the others. Where one training run in ten collapses, no interval "
                "from a few seeds is right.",
                remedy="Look at that seed's point; run 10 seeds; train the victim longer.",
            )
        )
    if isinstance(cell.attack, PoisoningAttack) and isinstance(cell.defense, Sanitizer):
        removed = [note.get("removed_genuine", 0) for note in measured.notes]
        share = float(np.mean(removed)) / max(int((cell.ground.log.lengths > 0).sum()), 1)
        if share > 0.05:
            found.append(
                Flag(
                    name="genuine_users_removed",
                    cause=f"The sanitiser removed {share:.0%} of the genuine users.",
                    remedy="Lower its assumed attack size; weigh what those users lose.",
                )
            )
    return found


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
