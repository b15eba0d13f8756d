"""Elementary edits of many sequences at once, each known by a number, so that any share of them can be listed.

The moves of a sequence of n items in a catalogue of I are numbered kind after kind, the newest place first:

    replace   n · (I − 1)   the item of a place by each other item
    insert    (n + 1) · I   each item after a place (at last: before the oldest item)
    delete    n             not the only item
    swap      n − 1         an item with its older neighbour

A move costs what the harness counts, the Levenshtein distance to the sequence before it: 1, and 2 for a swap (of two
different items). That distance obeys the triangle inequality, so a chain of moves never costs more than their sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32, Int64

Kind = Literal["replace", "insert", "delete", "swap"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REPLACE, INSERT, DELETE, SWAP = range(4)
COSTS: dict[Kind, int] = {"replace": 1, "insert": 1, "delete": 1, "swap": 2}
Index = NDArray[np.integer[Any]]


def edited(items: Int32, kinds: Index, columns: Index, new: Index) -> Int32:
    """One move on each row of a left-padded batch.

    Args:
        items: int32 [M, W]; a row without padding loses its oldest item to an insertion.
        kinds: [M], places in `KINDS`. columns: [M]; an inserted item stands there afterwards, a swap takes it and the
            column before it. new: [M], the new item of a replacement or insertion.

    Returns:
        int32 [M, W], a copy.
    """
    here, at = np.arange(items.shape[1])[None, :], np.asarray(columns)[:, None]
    kind = np.asarray(kinds)[:, None]
    source = here + ((kind == INSERT) & (here < at)) - ((kind == DELETE) & (here <= at))
    source = source - ((kind == SWAP) & (here == at)) + ((kind == SWAP) & (here == at - 1))
    made = np.take_along_axis(items, np.maximum(source, 0), axis=1)
    made[source < 0] = 0
    written = np.flatnonzero((kinds == REPLACE) | (kinds == INSERT))
    made[written, columns[written]] = new[written]
    return made


@dataclass(frozen=True)
class Moves:
    """M moves. states: int64 [M], of which sequence. kinds, columns, items: int64 [M], see `edited`."""

    states: Int64
    kinds: Int64
    columns: Int64
    items: Int64

    def take(self, chosen: Index) -> Moves:
        """These moves only, in this order."""
        return Moves(self.states[chosen], self.kinds[chosen], self.columns[chosen], self.items[chosen])


class Space:
    """All moves of S sequences.

    Attributes:
        rows: int64 [S], the user's row that each sequence is a form of, ascending. items: int32 [S, W].
        counts: int64 [S, 4], moves of each kind. per_row: int64 [largest row + 1], moves of each user's forms.
    """

    def __init__(self, rows: Int64, items: Int32, allowed: NDArray[np.bool_], n_items: int) -> None:
        """allowed: bool [S, 4], which kinds of moves each sequence may make."""
        self.rows, self.items, self.n_items = rows, items, n_items
        length = np.count_nonzero(items, axis=1)
        every = (
            length * (n_items - 1),
            (length + 1) * n_items,
            np.where(length > 1, length, 0),
            np.maximum(length - 1, 0),
        )
        self.counts = np.stack(every, axis=1) * allowed
        self._ends = np.cumsum(self.counts.sum(axis=1))
        self.per_row = np.bincount(rows, weights=self.counts.sum(axis=1)).astype(np.int64)

    def spread(self, most: int | None, block: int, rng: np.random.Generator) -> Iterator[Moves]:
        """`most` different moves of each row (None: all of them), spread evenly over their numbers, in blocks.

        The numbers of a row are cut into `most` ranges as equal as can be, and one is drawn of each, so that every
        form, kind and place has its share.
        """
        count = self.per_row if most is None else np.minimum(self.per_row, most)
        ends, base = np.cumsum(count), np.cumsum(self.per_row) - self.per_row
        for start in range(0, int(ends[-1]) if len(ends) else 0, block):
            flat = np.arange(start, min(start + block, int(ends[-1])))
            row = np.searchsorted(ends, flat, side="right")
            place, whole, parts = flat - (ends - count)[row], self.per_row[row], count[row]
            low, high = place * whole // parts, (place + 1) * whole // parts
            number = low if most is None else rng.integers(low, high)
            yield self._moves(base[row] + number)

    def _moves(self, number: Int64) -> Moves:
        state = np.searchsorted(self._ends, number, side="right")
        counts = self.counts[state]
        local = number - (self._ends[state] - counts.sum(axis=1))
        kind = (local[:, None] >= np.cumsum(counts, axis=1)).sum(axis=1)
        local = local - np.where(np.arange(4) < kind[:, None], counts, 0).sum(axis=1)
        choices = np.array([max(self.n_items - 1, 1), self.n_items, 1, 1])[kind]
        column = self.items.shape[1] - 1 - local // choices
        standing = np.where(kind == REPLACE, self.items[state, column], 0)
        new = (standing + local % choices) % self.n_items + 1
        return Moves(state, kind, column, np.where(kind <= INSERT, new, 0))

    def apply(self, moves: Moves) -> Int32:
        """int32 [M, W], the sequences after these moves."""
        return edited(self.items[moves.states], moves.kinds, moves.columns, moves.items)
