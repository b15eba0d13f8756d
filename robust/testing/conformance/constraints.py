"""Checks of what an attack may not do whatever it spends: reach across the split, substitute what is not similar.

Both are counted here anew: rows in time by comparing two logs as multisets, similarity by the cosine in float64 and an
alignment of sequences in which only similar items may stand for each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robust.attack import EvasionAttack, PoisoningAttack
from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.testing.conformance.attacked import Attacked, trial
from robust.testing.conformance.base import require

EDITS = (1, 3)
TAUS = (0.6, 0.95)
"""Least cosines that are tried besides the attack's own, as quantiles of those between different items."""
ROUNDING = 1e-5
"""A cosine in float32 may be off by so much."""


def split(subject: Attacked) -> None:
    """Poison lies within the train rows' span of time: what comes later has not happened when a model is trained.

    Also in a log whose times are positions. A fake profile that states no times takes positions: they may begin before
    the first train row, but not go beyond the last.
    """
    if not isinstance(subject.attack, PoisoningAttack):
        raise NotApplicable("changes no log")
    budget = subject.budget(9).model_copy(update={"rows": len(subject.rows) // 2})
    placed = 0
    for log in (subject.rows, replace(subject.rows, timestamp=subject.rows.position)):
        first, last = int(log.timestamp.min()), int(log.timestamp.max())
        for goal in subject.goals:
            try:
                edit = replace(subject, log=log).run(goal, budget)[0].edit
            except NotApplicable:
                continue  # it changes times, and this log has none
            for user, time in _new_rows(log, edit.apply(log)):
                placed += 1
                require(time <= last, f"A row lies at {time}, after the last train row ({last}; {goal.kind}).")
                free = user >= log.n_users and edit.times is None
                require(free or time >= first, f"A row lies at {time}, before the first train row ({first}).")
    if not placed:
        raise NotApplicable("places no row in time")


def _new_rows(before: InteractionLog, after: InteractionLog) -> list[tuple[int, int]]:
    """(user, time) of the rows that were not there before."""

    def rows(log: InteractionLog) -> Counter[tuple[int, int, int]]:
        return Counter(zip(log.user.tolist(), log.timestamp.tolist(), log.item.tolist(), strict=True))

    return [(user, time) for user, time, _ in rows(after) - rows(before)]


def similarity(subject: Attacked) -> None:
    """No substitute is less similar to the item that it replaces than τ says, whatever τ is.

    A sequence of the same length that differs at no more places than edits are allowed is read place by place. Any
    other must be reached by that many insertions, deletions, and substitutions of similar items.
    """
    attack = subject.attack
    if not isinstance(attack, EvasionAttack) or "tau" not in type(attack).model_fields:
        raise NotApplicable("has no least similarity (a parameter tau)")
    cosine = _cosines()
    between = cosine[1:, 1:][~np.eye(len(cosine) - 1, dtype=bool)]
    own = getattr(attack, "tau", None)
    for tau in [*np.quantile(between, TAUS).tolist(), *([] if own is None else [own])]:
        similar = cosine >= tau - ROUNDING
        case = replace(subject, attack=attack.model_copy(update={"tau": tau}))
        for goal in case.goals:
            for edits in EDITS:
                outcome, _ = case.run(goal, case.budget(edits))
                pairs = zip(case.sequences.items.tolist(), outcome.sequences.items.tolist(), strict=True)
                bad = sum(not _allowed([i for i in a if i], [i for i in b if i], edits, similar) for a, b in pairs)
                require(
                    not bad, f"In {bad} sequences an item has a substitute of cosine below {tau:.3g} ({goal.kind})."
                )


def _cosines() -> NDArray[np.float64]:
    """[n_items + 1, n_items + 1], of the trial victim's item table; 0 with padding."""
    table = trial()[1].item_embeddings.numpy().astype(np.float64)
    directions = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return np.asarray(directions @ directions.T)


def _allowed(old: list[int], new: list[int], edits: int, similar: NDArray[np.bool_]) -> bool:
    """Whether `edits` edits lead from one sequence to the other with similar substitutes only."""
    differing = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
    if len(old) == len(new) and len(differing) <= edits:
        return all(bool(similar[pair]) for pair in differing)
    row = list(range(len(new) + 1))  # as `spending.distance`, a dissimilar substitution being no single edit
    for i, standing in enumerate(old, start=1):
        above, row = row, [i]
        for j, item in enumerate(new, start=1):
            through = above[j - 1] + (0 if item == standing else 1 if similar[standing, item] else 2)
            row.append(min(through, above[j] + 1, row[-1] + 1))
    return row[-1] <= edits
