"""The search itself: what was tried on each sequence, what of it is best, and how to make that smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.checks import edit_distance
from robust.edits import Edit, apply_edits, apply_to_rows, edits_between, filled
from robust.errors import RobustError
from robust.log import Bool, Int32, Int64, SequenceBatch
from robust.threat import Budget

Float64 = NDArray[np.float64]
BASES = 8
"""So many of the best lists of edits are gone on from."""
NEARLY = 1e-9


class Search:
    """The best edited form of each of B sequences that was seen so far.

    Attributes:
        best: int32 [B, W]. reached: float [B], its harm. spent: int64 [B], its edits. enough: see `WorstCase`.
        bases: lists of edits by their mean harm, the best first.
    """

    def __init__(
        self,
        room: Int32,
        harm: Callable[[NDArray[Any], Int32], Float64],
        enough: float,
        left: Callable[[], int],
        note: Callable[[Float64], None],
    ) -> None:
        self.room, self._harm, self.enough, self._left, self._note = room, harm, enough, left, note
        self.best = room.copy()
        self.reached = np.zeros(len(room))
        self.spent = np.zeros(len(room), np.int64)
        self.bases: list[tuple[float, tuple[Edit, ...]]] = []

    @property
    def open(self) -> Bool:
        """bool [B], where a better form is still looked for: not where one edit is enough, nor in an empty row."""
        settled = (self.reached > self.enough) & (self.spent <= 1)
        return np.asarray(~settled & (self.room != 0).any(axis=1))

    def offer(self, rows: NDArray[np.integer[Any]], items: Int32) -> Float64:
        """Ask about edited forms [R, W] of these rows, keep what is better; their harm [R]."""
        harm = self._harm(rows, items)
        spent = edit_distance(SequenceBatch(self.room[rows]), SequenceBatch(items))
        better = self._better(harm, spent, rows)
        kept = rows[better]
        self.best[kept], self.reached[kept], self.spent[kept] = items[better], harm[better], spent[better]
        return harm

    def _better(self, harm: Float64, spent: Int64, rows: NDArray[np.integer[Any]]) -> Bool:
        broken, was = harm > self.enough, self.reached[rows] > self.enough
        more = harm > self.reached[rows] + NEARLY
        fewer, as_many = spent < self.spent[rows], spent == self.spent[rows]
        as_bad = harm >= self.reached[rows] - NEARLY
        better: Bool = np.where(
            broken & was, fewer | (as_many & more), (broken & ~was) | more | (~was & as_bad & fewer)
        )
        return better

    def attempt(self, edits: tuple[Edit, ...]) -> float:
        """The same edits on every open sequence; their mean harm, 0 where nothing may be asked any more."""
        rows = np.flatnonzero(self.open)
        if len(rows) == 0 or self._left() < 1:
            return 0.0
        harm = float(self.offer(rows, apply_to_rows(self.room[rows], edits)).mean())
        self._note(self.reached)
        self.bases = sorted([*self.bases, (harm, edits)], key=lambda base: -base[0])[:BASES]
        return harm

    def shrink(self) -> None:
        """Take edits back, one at a time, as long as what is left is enough (or as harmful)."""
        scripts = {
            row: edits_between(filled(self.room[row]), filled(self.best[row]))
            for row in np.flatnonzero(self.spent).tolist()
        }
        place = 0
        while True:
            rows = np.array([row for row, edits in scripts.items() if place < len(edits) > 1], dtype=np.int64)
            if len(rows) == 0:
                return
            shorter = [scripts[row][:place] + scripts[row][place + 1 :] for row in rows.tolist()]
            tried = [_possible(filled(self.room[row]), edits) for row, edits in zip(rows, shorter, strict=True)]
            items = SequenceBatch.from_lists([t or [0] for t in tried], self.room.shape[1]).items
            harm = self._harm(rows, items)
            wanted = np.where(self.reached[rows] > self.enough, self.enough + NEARLY, self.reached[rows] - NEARLY)
            dropped = (harm >= wanted) & np.array([t is not None for t in tried])
            for index in np.flatnonzero(dropped):
                row = int(rows[index])
                scripts[row] = shorter[index]
                self.best[row], self.reached[row] = items[index], harm[index]
                self.spent[row] = len(scripts[row])
            place += 1


def _possible(sequence: list[int], edits: tuple[Edit, ...]) -> list[int] | None:
    """The edited sequence; None where an edit has lost its place."""
    try:
        return apply_edits(sequence, edits) or None
    except RobustError:
        return None


def sweep(search: Search, items: list[int], count: int) -> None:
    """Insert `count` items as the newest: half of them from the head of the list, the rest spread over its tail."""
    head = items[: count if count >= len(items) else count // 2]
    tail = items[len(head) :]
    wanted = max(count - len(head), 0)
    spread = [tail[i * len(tail) // wanted] for i in range(wanted)] if tail and wanted else []
    for item in [*head, *spread]:
        if not search.open.any():
            return
        search.attempt((Edit("insert", 1, item),))


def climb(search: Search, edits: int, items: list[int], examples: int, rng: np.random.Generator) -> None:
    """Let Hypothesis draw lists of edits, begun from the best known, and climb."""
    from hypothesis import strategies as st

    from robust.testing.strategies import edits as edit_lists
    from robust.testing.targeted import climb as climb_by_hypothesis

    longest = max((filled(row) for row in search.room), key=len)
    bases = [base for _, base in search.bases]
    by_harm = [edit.item for base in bases for edit in base if edit.item]
    order = list(dict.fromkeys([*by_harm, *items]))

    @st.composite
    def going_on(draw: st.DrawFn) -> tuple[Edit, ...]:
        base: tuple[Edit, ...] = draw(st.sampled_from([*bases, ()]))
        spare = Budget(edits=max(edits - len(base), 0))
        return (*base, *draw(edit_lists(longest, spare, n_items=len(items), items=order)))[:edits]

    climb_by_hypothesis(going_on(), search.attempt, examples, rng)
