"""Whether what an attack hands back lies within its budget, to the unit, and is well formed.

The harness does not trust an attack: it measures the outcome, never a declared cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from robust.errors import BudgetExceeded, RobustError
from robust.log import Int64, InteractionLog, LogEdit, SequenceBatch
from robust.threat import Budget

if TYPE_CHECKING:
    import torch


def check_edit(attack: str, edit: LogEdit, budget: Budget, n_items: int) -> None:
    """Budget of an edit, to the unit.

    Raises:
        BudgetExceeded: too many fake users, too long a profile, too many genuine rows.
        RobustError: arrays that do not fit together, items outside the catalogue, a gap inside a profile, times that
            do not increase.
    """
    _check_shapes(attack, edit)
    if edit.fake_users > (budget.users or 0):
        raise BudgetExceeded(attack, "fake users", budget.users or 0, edit.fake_users)
    filled = edit.add != 0
    longest = int(filled.sum(axis=1).max(initial=0))
    if edit.fake_users and longest > (budget.profile_length or 0):
        raise BudgetExceeded(attack, "profile length", budget.profile_length or 0, longest)
    if edit.touched_rows > (budget.rows or 0):
        raise BudgetExceeded(attack, "genuine rows", budget.rows or 0, edit.touched_rows)
    for items in (edit.add[filled], edit.replace_items, edit.insert_items):
        if len(items) and (items.min() < 1 or items.max() > n_items):
            raise RobustError(f"Attack '{attack}' used item {items.min()}…{items.max()} of a catalogue 1…{n_items}.")
    if np.any(~filled[:, :-1] & filled[:, 1:]):
        raise RobustError(f"Attack '{attack}' left a gap (0) inside a fake profile.")
    if edit.times is not None and np.any((np.diff(edit.times, axis=1) <= 0) & filled[:, 1:]):
        raise RobustError(f"Attack '{attack}' gave a fake profile times that do not strictly increase.")


def late_rows(edit: LogEdit, log: InteractionLog) -> int:
    """How many rows of an edit lie later than the last row of `log`, the genuine train rows.

    What happens then has not happened yet when the model is trained: a split by time has its test rows there.
    """
    if len(log) == 0:
        return 0
    last = int(log.timestamp.max())
    added = np.zeros(0, np.int64) if edit.times is None else edit.times[edit.add != 0]
    return int(sum(np.count_nonzero(times > last) for times in (added, edit.insert_times, edit.move_times)))


def _check_shapes(attack: str, edit: LogEdit) -> None:
    if edit.add.ndim != 2:
        raise RobustError(
            f"Attack '{attack}' gave fake profiles of shape {edit.add.shape}, expected [fake users, profile length]."
        )
    if edit.times is not None and edit.times.shape != edit.add.shape:
        raise RobustError(f"Attack '{attack}' gave times of shape {edit.times.shape} for profiles {edit.add.shape}.")
    together = (
        ("replace_rows", "replace_items"),
        ("move_rows", "move_times"),
        ("insert_users", "insert_items"),
        ("insert_users", "insert_times"),
    )
    for first, second in together:
        lengths = len(getattr(edit, first)), len(getattr(edit, second))
        if lengths[0] != lengths[1]:
            raise RobustError(f"Attack '{attack}' gave {lengths[0]} {first} but {lengths[1]} {second}.")


def check_sequences(attack: str, clean: SequenceBatch, edited: SequenceBatch, edits: int, n_items: int) -> None:
    """Budget of edited sequences, to the unit.

    Raises:
        BudgetExceeded: a sequence lies more than `edits` away from its clean form.
        RobustError: rows were dropped or added, an unknown item, padding inside a sequence.
    """
    if len(edited) != len(clean):
        raise RobustError(f"Attack '{attack}' returned {len(edited)} sequences for {len(clean)}.")
    if not np.array_equal(edited.users, clean.users):
        raise RobustError(f"Attack '{attack}' returned its sequences in another order.")
    if edited.items.size and (edited.items.min() < 0 or edited.items.max() > n_items):
        raise RobustError(f"Attack '{attack}' used an item outside the catalogue 1…{n_items}.")
    if np.any((edited.items[:, :-1] != 0) & (edited.items[:, 1:] == 0)):
        raise RobustError(f"Attack '{attack}' left padding inside or after a sequence; sequences are left-padded.")
    distance = edit_distance(clean, edited)
    if len(distance) and distance.max() > edits:
        raise BudgetExceeded(attack, "edits per sequence", edits, int(distance.max()))


def edit_distance(first: SequenceBatch, second: SequenceBatch) -> Int64:
    """int64 [B], Levenshtein distance of the rows without their padding (insert, delete, replace: one each).

    Rows that differ by replacements in place are settled by counting; the dynamic programme runs, for all remaining
    rows at once, only where lengths or more than one position differ.
    """
    distance = np.zeros(len(first), dtype=np.int64)
    hard = np.ones(len(first), dtype=bool)
    if first.width == second.width:
        differing = (first.items != second.items).sum(axis=1)
        same_length = first.lengths == second.lengths
        distance = np.where(same_length, differing, 0).astype(np.int64)
        hard = ~same_length | (differing > 1)
    rows = np.flatnonzero(hard)
    if len(rows):
        distance[rows] = _levenshtein(first.items[rows], second.items[rows])
    return distance


def _levenshtein(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Int64:
    """Wagner and Fischer 1974, one anti-dependence-free row at a time, over all pairs at once."""

    def left_aligned(items: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        order = np.argsort(items == 0, axis=1, kind="stable")
        return np.take_along_axis(items, order, axis=1), np.count_nonzero(items, axis=1)

    (a, length_a), (b, length_b) = left_aligned(a), left_aligned(b)
    columns = np.arange(b.shape[1] + 1)
    row = np.broadcast_to(columns, (len(a), len(columns))).astype(np.int64)
    result = np.where(length_a == 0, length_b, 0).astype(np.int64)
    for i in range(a.shape[1]):
        through = np.minimum(row[:, 1:] + 1, row[:, :-1] + (a[:, i : i + 1] != b))
        start = np.full((len(a), 1), i + 1, dtype=np.int64)
        candidate = np.concatenate([start, through], axis=1)
        # insertions along the row: min over j' ≤ j of candidate[j'] + (j − j')
        row = np.minimum.accumulate(candidate - columns, axis=1) + columns
        result = np.where(length_a == i + 1, row[np.arange(len(a)), length_b], result)
    return result


def check_deltas(attack: str, deltas: torch.Tensor, sequences: SequenceBatch, budget: Budget) -> None:
    """Budget of deltas (absolute ε).

    Raises:
        BudgetExceeded: a position or sequence lies outside the ball (beyond float32 rounding).
        RobustError: wrong shape, not finite, or padding was moved.
    """
    import torch

    if deltas.ndim != 3 or tuple(deltas.shape[:2]) != sequences.items.shape:
        raise RobustError(
            f"Attack '{attack}' returned deltas of shape {tuple(deltas.shape)}, expected "
            f"[{len(sequences)}, {sequences.width}, D]."
        )
    if not bool(torch.isfinite(deltas).all()):
        raise RobustError(f"Attack '{attack}' returned deltas that are not finite.")
    pad = torch.from_numpy(sequences.items == 0)
    if bool((deltas[pad] != 0).any()):
        raise RobustError(f"Attack '{attack}' moved padding.")
    _check_radius(attack, deltas, budget, budget.per)


def check_table(attack: str, table: torch.Tensor, shape: tuple[int, ...], budget: Budget) -> None:
    """Budget of a delta of the item table (absolute ε per row).

    Raises:
        BudgetExceeded: a row lies outside the ball.
        RobustError: not of this shape [n_items + 1, D], not finite, or row 0 (padding) was moved.
    """
    import torch

    if tuple(table.shape) != shape:
        raise RobustError(f"Attack '{attack}' returned a table of shape {tuple(table.shape)}, expected {shape}.")
    if not bool(torch.isfinite(table).all()):
        raise RobustError(f"Attack '{attack}' returned a table that is not finite.")
    if bool((table[0] != 0).any()):
        raise RobustError(f"Attack '{attack}' moved padding.")
    _check_radius(attack, table[None], budget.model_copy(update={"per": "position"}), "row")


def _check_radius(attack: str, deltas: torch.Tensor, budget: Budget, per: str) -> None:
    from robust.perturbation import Ball

    if deltas.numel() == 0:
        return
    ball = Ball.of(budget)
    largest = float(ball.size(deltas.double()).max())
    if largest > ball.epsilon * (1 + 1e-5) + 1e-12:
        raise BudgetExceeded(attack, f"{budget.norm} radius per {per}", ball.epsilon, largest)
