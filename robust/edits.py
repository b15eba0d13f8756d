"""Edits of one sequence, as a person would list them: replace, insert, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from robust.errors import InputError
from robust.log import Int32

EditKind = Literal["replace", "insert", "delete"]


@dataclass(frozen=True)
class Edit:
    """One edit; a place counts back from the newest item, so that it means the same whatever the padding.

    Attributes:
        kind: `replace` and `delete` act on the item at `back`; `insert` puts another right after it, on its newer side
            (with `back` one beyond the oldest item: before that).
        back: place from the end; 1 = the newest. item: the new item; 0 for a deletion.
    """

    kind: EditKind
    back: int
    item: int = 0

    def __str__(self) -> str:
        place = "the newest item" if self.back == 1 else f"item {self.back} from the end"
        if self.kind == "delete":
            return f"delete {place}"
        return f"replace {place} by {self.item}" if self.kind == "replace" else f"insert {self.item} after {place}"


def filled(row: Int32) -> list[int]:
    """The items of one row of a batch, without its padding."""
    return [int(item) for item in row[row != 0]]


def apply_edits(sequence: Sequence[int], edits: Iterable[Edit]) -> list[int]:
    """The sequence (oldest first, without padding) after these edits, each applied to the outcome of the one before.

    Its edit distance to `sequence` is at most the number of edits.

    Raises:
        InputError: a place that the sequence does not have.
    """
    edited = list(sequence)
    for edit in edits:
        if not 1 <= edit.back <= len(edited) + (edit.kind == "insert"):
            raise InputError(f"'{edit}': the sequence has {len(edited)} items.")
        at = len(edited) - edit.back
        if edit.kind == "replace":
            edited[at] = edit.item
        elif edit.kind == "delete":
            del edited[at]
        else:
            edited.insert(at + 1, edit.item)
    return edited


def apply_to_rows(items: Int32, edits: Iterable[Edit]) -> Int32:
    """The same edits on every row of a left-padded batch; a place that a row does not have is passed over.

    A row keeps at least one item, and insertions use up the padding on its left.

    Args:
        items: int32 [B, W]; a row without padding loses its oldest item to an insertion.

    Returns:
        int32 [B, W], a copy.
    """
    edited = np.array(items, dtype=np.int32)
    width = edited.shape[1]
    for edit in edits:
        if edit.back > width:
            continue
        at, lengths = width - edit.back, np.count_nonzero(edited, axis=1)
        rows = lengths >= edit.back
        if edit.kind == "replace":
            edited[rows, at] = edit.item
        elif edit.kind == "delete":
            rows &= lengths > 1
            edited[rows, 1 : at + 1] = edited[rows, :at]
            edited[rows, 0] = 0
        else:
            edited[rows, :at] = edited[rows, 1 : at + 1]
            edited[rows, at] = edit.item
    return edited


def edits_between(before: Sequence[int], after: Sequence[int]) -> tuple[Edit, ...]:
    """A shortest list of edits that makes `before` into `after` (both oldest first, without padding).

    As many as the Levenshtein distance (Wagner and Fischer 1974), newer places first, so that
    `apply_edits(before, edits_between(before, after)) == after`.
    """
    shared = _shared(before, after)
    old, new = before[: len(before) - shared], after[: len(after) - shared]
    distance = _distances(old, new)
    row, column, found = len(old), len(new), []
    while row or column:
        # what is newer than here has its final form already, and places count back over it
        back, here = shared + len(new) - column + 1, distance[row][column]
        if row and column and here == distance[row - 1][column - 1] + (old[row - 1] != new[column - 1]):
            row, column = row - 1, column - 1
            if old[row] != new[column]:
                found.append(Edit("replace", back, int(new[column])))
        elif column and here == distance[row][column - 1] + 1:
            column -= 1
            found.append(Edit("insert", back, int(new[column])))
        else:
            row -= 1
            found.append(Edit("delete", back))
    return tuple(found)


def _shared(before: Sequence[int], after: Sequence[int]) -> int:
    """How many of the newest items are the same."""
    count = 0
    while count < min(len(before), len(after)) and before[-1 - count] == after[-1 - count]:
        count += 1
    return count


def _distances(old: Sequence[int], new: Sequence[int]) -> list[list[int]]:
    """Levenshtein distances of all beginnings of `old` and `new`."""
    table = [list(range(len(new) + 1))]
    for row, standing in enumerate(old, start=1):
        above, line = table[-1], [row]
        for column, item in enumerate(new, start=1):
            line.append(min(above[column - 1] + (standing != item), above[column] + 1, line[-1] + 1))
        table.append(line)
    return table
