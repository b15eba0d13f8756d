"""How often each item followed each other one: whole counts, which later rows can be added to without an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from scipy import sparse

from robust.log import Bool, InteractionLog
from robust.recommenders.recent import Recent

Table: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"  # in quotes: scipy's arrays became generic late


@dataclass(frozen=True, eq=False)
class Successors:
    """Pairs of a user's rows, `gap` = 1 … G places apart.

    Attributes:
        counts: int64 [G · (n_items + 1), n_items + 1]; row (gap − 1) · (n_items + 1) + i counts what came `gap` places
            after item i.
        recent: the newest G items of each user, which the next rows will follow.
    """

    counts: Table
    recent: Recent

    @classmethod
    def none(cls, gaps: int) -> Self:
        """Nothing counted yet, on an empty catalogue."""
        return cls(sparse.csr_array((gaps, 1), dtype=np.int64), Recent.none(gaps))

    @classmethod
    def of(cls, log: InteractionLog, gaps: int) -> Self:
        """Counted on a whole log."""
        return cls(_pairs(log, gaps, None), Recent.of(log, gaps))

    def followed_by(self, log: InteractionLog) -> Self:
        """With the rows of `log` behind those counted so far: the same as counting all of them at once."""
        joined, new = self.recent.followed_by(log)
        more = _pairs(joined, self.recent.width, new)
        return type(self)(sparse.csr_array(self.counts + more), Recent.of(joined, self.recent.width))

    def shares(self) -> Table:
        """[n_items + 1, n_items + 1]: what followed each item, as shares of a row, a count at `gap` weighing 1/gap."""
        size = self.counts.shape[1]
        weighted: Table = sparse.csr_array((size, size), dtype=np.float64)
        for gap in range(1, self.recent.width + 1):
            part = self.counts if self.recent.width == 1 else self.counts[(gap - 1) * size : gap * size]
            # summed one by one, as a table of floating-point weights would be: the same bits
            steps = np.full(int(part.data.max(initial=0)) + 1, 1 / gap)
            steps[0] = 0.0
            weights = np.cumsum(steps)[part.data]
            weighted = weighted + sparse.csr_array((weights, part.indices, part.indptr), shape=(size, size))
        totals = np.asarray(weighted.sum(axis=1), dtype=np.float64).ravel()
        return sparse.csr_array(sparse.diags_array(1 / np.maximum(totals, 1e-12)) @ weighted)


def _pairs(log: InteractionLog, gaps: int, new: Bool | None) -> Table:
    """The counts of a log; of pairs whose later row is `new` only, where that is given."""
    size, rows, columns = log.n_items + 1, [], []
    for gap in range(1, gaps + 1):
        counted = log.user[gap:] == log.user[:-gap]
        if new is not None:
            counted &= new[gap:]
        rows.append(log.item[:-gap][counted] + (gap - 1) * size)
        columns.append(log.item[gap:][counted])
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.ones(len(row), np.int64), (row, column)), shape=(gaps * size, size))
