"""Edits of one sequence, as a person would list them: replace, insert, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from robust.errors import InputError

EditKind = Literal["replace", "insert", "delete"]


@dataclass(frozen=True)
class Edit:
    """One edit; a place counts back from the newest item, so that it means the same whatever the padding.

    Attributes:
        kind: `replace` and `delete` act on the item at `back`; `insert` puts another right after it, on its newer side.
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


def apply_edits(sequence: Sequence[int], edits: Iterable[Edit]) -> list[int]:
    """The sequence (oldest first, without padding) after these edits, each applied to the outcome of the one before.

    Its edit distance to `sequence` is at most the number of edits.

    Raises:
        InputError: a place that the sequence does not have.
    """
    edited = list(sequence)
    for edit in edits:
        if not 1 <= edit.back <= len(edited):
            raise InputError(f"'{edit}': the sequence has {len(edited)} items.")
        at = len(edited) - edit.back
        if edit.kind == "replace":
            edited[at] = edit.item
        elif edit.kind == "delete":
            del edited[at]
        else:
            edited.insert(at + 1, edit.item)
    return edited
