"""A guard that drops what no honest client sends: unknown ids, gaps, impossible times, items beyond any length.

    unknown ids     outside 1…n_items of the train rows
    inner padding   zeros between items are closed up
    times           an item before one that it follows; of those at the same second, more than any user had at once
    length          the newest `longest` items are kept

Where times go backwards, the longest subsequence whose times do not is kept (the fewest items are dropped), of equals
the newest. Sequences without times are not judged by them.

Source: input validation as in the OWASP Machine Learning Security Top 10 2023, ML01 (verify inputs); own rules.
Known deviations: none.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from robust.defense import Cost, InputGuard
from robust.errors import RobustError
from robust.log import Int32, Int64, InteractionLog, SequenceBatch


class Schema(InputGuard):
    """Drops items that break the form of a history.

    Attributes:
        longest: most items of a sequence; None = as many as the longest train history.
    """

    name: ClassVar[str] = "schema"
    source: ClassVar[str] = "OWASP ML Security Top 10 2023, ML01 (input validation); own rules"
    weaknesses: ClassVar[str] = (
        "Every attack here edits within the form: known items, no gaps, possible times. It stops broken clients and "
        "crude tools, and is no defence against who knows it. What poison shows in the train rows counts as normal."
    )
    assumptions: ClassVar[str] = "The log itself was validated."
    cost: ClassVar[Cost] = "every query"

    longest: int | None = Field(default=None, ge=1)

    _n_items: int | None = PrivateAttr(default=None)
    _length: int = PrivateAttr(default=0)
    _at_once: int = PrivateAttr(default=1)

    @property
    def at_once(self) -> int:
        """Most items that one user has at the same time in the train rows; 1 before `calibrate`."""
        return self._at_once

    def calibrate(self, log: InteractionLog, seed: int) -> Schema:
        """A guard that knows the catalogue and the extremes of these rows; `seed` goes unused."""
        guard = self.model_copy()
        guard._n_items = log.n_items
        guard._length = int(log.lengths.max(initial=0)) if self.longest is None else self.longest
        same = (log.user[1:] == log.user[:-1]) & (log.timestamp[1:] == log.timestamp[:-1])
        runs = np.diff(np.flatnonzero(np.concatenate([[True], ~same, [True]])))
        guard._at_once = int(runs.max(initial=1))
        return guard

    def guard(self, sequences: SequenceBatch) -> Int32:
        """int32 [B, L], dropped positions 0.

        Raises:
            RobustError: the guard has not been calibrated.
        """
        if self._n_items is None:
            raise RobustError(f"Guard '{self.name}' has not seen a log: call calibrate(log, seed) first.")
        kept = (sequences.items >= 1) & (sequences.items <= self._n_items)
        if sequences.timestamps is not None:
            kept = _in_order(kept, sequences.timestamps)
            kept &= _place_in_run(kept, sequences.timestamps) < self._at_once
        if self._length:
            newer = kept[:, ::-1].cumsum(axis=1)[:, ::-1]  # kept items from here to the newest
            kept &= newer <= self._length
        return np.where(kept, sequences.items, np.int32(0))


def _in_order(kept: NDArray[np.bool_], times: Int64) -> NDArray[np.bool_]:
    """bool [B, L], the longest subsequence of the kept positions of each row whose times never go backwards.

    A position may follow any earlier one whose time is not later; a table of the longest such chain that *begins* at
    each position is filled from the newest to the oldest.
    """
    rows, width = kept.shape
    chain = np.zeros((rows, width), dtype=np.int64)  # its length
    after = np.full((rows, width), width)  # the position that follows in it
    for here in range(width - 1, -1, -1):
        fits = kept[:, here + 1 :] & (times[:, here + 1 :] >= times[:, here, None])
        lengths = np.where(fits, chain[:, here + 1 :], 0)
        best = lengths.max(axis=1, initial=0)
        chain[:, here] = np.where(kept[:, here], best + 1, 0)
        # of equals the newest
        last = width - 1 - (lengths == best[:, None])[:, ::-1].argmax(axis=1) if lengths.shape[1] else width
        after[:, here] = np.where(best > 0, last, width)
    ordered = np.zeros((rows, width + 1), dtype=bool)
    at = np.where(kept.any(axis=1), width - 1 - chain[:, ::-1].argmax(axis=1), width) if width else np.zeros(rows, int)
    after = np.concatenate([after, np.full((rows, 1), width)], axis=1)
    every = np.arange(rows)
    for _ in range(width):
        ordered[every, at] = True
        at = after[every, at]
    return ordered[:, :width]


def _place_in_run(kept: NDArray[np.bool_], times: Int64) -> Int64:
    """int64 [B, L], how many kept positions at the same time come after this one, without another time between."""
    rows, width = kept.shape
    place = np.zeros((rows, width), dtype=np.int64)
    last, count = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for here in range(width - 1, -1, -1):
        same = kept[:, here] & (count > 0) & (times[:, here] == last)
        place[:, here] = np.where(same, count, 0)
        count = np.where(kept[:, here], np.where(same, count + 1, 1), count)
        last = np.where(kept[:, here], times[:, here], last)
    return place
