"""Wrong times of genuine rows: jitter, rounding, a wrong clock, a bulk import.

Ours, after what happens to real logs: 32-bit times reorder MovieLens histories (RecBole, issue 2204), and ties are
common in public data (Woolridge et al., 2021). With t the time of a row drawn uniformly from the log, in the log's own
unit, and s = `seconds`:

    jitter     t + N(0, s²), rounded
    quantise   ⌊t / s⌋ · s: rows of one period tie
    shift      t + s: the rows of a clock that is wrong; s < 0 puts it back
    burst      all of them into a window of length s at a random moment, in proportion: as a bulk import writes them

A model that reads no times meets this through the order alone: a log is sorted again by (user, time). Rows of one time
stay in their order of arrival, as they were in the genuine log. So rounding *all* times reorders nothing; what does is
that some rows are rounded past others that are not. A store that loses the order of arrival breaks ties anyhow:
`ties: shuffled` puts the items of moved rows that tie in random order. How ties are broken is a part of the model: the
synthetic log rounded to days falls from NDCG@10 .484 to .415. Jitter by a day is weaker than the
control, whose rows move to when any other happened, and a flag says so.

No row moves before the first train row of the log or beyond the last, where test rows may stand. A log whose times are
positions has none to change: NOT APPLICABLE.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.tampering.operations import draw_rows
from robust.datasets.filters import is_positional
from robust.errors import NotApplicable
from robust.log import Int64, InteractionLog, LogEdit, Scope
from robust.threat import Budget

Kind = Literal["jitter", "quantise", "shift", "burst"]


class Timestamps(PoisoningAttack):
    """Rows drawn uniformly move in time.

    Attributes:
        kind: what happens to their times.
        seconds: its size, in the unit of the log's times: standard deviation, period, offset or window.
        ties: how moved rows stand whose times are equal: by `arrival`, or `shuffled`.
        scope: `history` if the test inputs are reordered too, `train` if only what is trained on.
    """

    name: ClassVar[str] = "timestamps"
    source: ClassVar[str] = "ours, after Woolridge et al., 2021, on ties in public logs; RecBole issue 2204"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0020",
        "atlas@5.6.1:AML.T0059",
        "nist-ai-100-2e2025:NISTAML.013",
        "ML02:2023",
    )
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "full"
    goals: ClassVar[frozenset[str]] = frozenset({"degrade"})
    spends: ClassVar[frozenset[str]] = frozenset({"rows"})
    needs_times: ClassVar[bool] = True
    control: ClassVar[str | None] = "random-tampering"

    kind: Kind = "jitter"
    seconds: int = 86_400
    ties: Literal["arrival", "shuffled"] = "arrival"
    scope: Scope = "history"

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if self.seconds == 0 or (self.seconds < 0 and self.kind != "shift"):
            raise ValueError(f"seconds: above 0 (or below, for a shift), got {self.seconds} for {self.kind}")
        return self

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """As many rows, moved to when any other row happened: the most that wrong times can do without a plan."""
        return "random-tampering", {"operation": "move", "scope": self.scope}

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """New times for `budget.rows` rows, or for all there are.

        Raises:
            NotApplicable: the log's times are positions within each user.
        """
        log, granted = access.log, budget.rows or 0
        if is_positional(log):
            raise NotApplicable(f"{log.name}: timestamps are positions within each user, so no time can be wrong")
        rows = draw_rows(log, granted, rng)
        times = self._moved(log, rows, rng)
        if self.ties == "arrival":
            return LogEdit(move_rows=rows, move_times=times, scope=self.scope)
        owner = log.user[rows]
        before, after = np.lexsort((rows, times, owner)), np.lexsort((rng.random(len(rows)), times, owner))
        return LogEdit(
            move_rows=rows,
            move_times=times,
            replace_rows=rows[before],
            replace_items=log.item[rows[after]],
            scope=self.scope,
        )

    def _moved(self, log: InteractionLog, rows: Int64, rng: np.random.Generator) -> Int64:
        """int64 [rows], the new times."""
        if len(rows) == 0:
            return log.timestamp[rows]
        old, first, last = log.timestamp[rows], log.timestamp.min(), log.timestamp.max()
        if self.kind == "jitter":
            new = old + np.rint(rng.normal(0.0, self.seconds, len(rows))).astype(np.int64)
        elif self.kind == "quantise":
            new = old // self.seconds * self.seconds
        elif self.kind == "shift":
            new = old + self.seconds
        else:
            width = min(self.seconds, int(last - first))
            start = first + rng.integers(0, int(last - first) - width + 1)
            new = start + np.floor((old - first) * (width / max(int(last - first), 1))).astype(np.int64)
        return np.clip(new, first, last)
