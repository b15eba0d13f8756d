"""Exhaustive search of edits: the exact worst case, by which every other search is measured.

One edit: all replacements, insertions and deletions of each sequence. More: all chains of them, where there are few.
On a catalogue of n items a sequence of L has about 2·L·n single edits, each a question (Yue et al. 2022 and the
attacks before them search a few of these). Where scores are seen and the model can do that, all new items of one place
are asked about together, since all that stands before an edit is computed once.

Exact means: no sequence within reach is worse, of those that its kinds of edits make. With `replace`, `insert` and
`delete` these are all sequences within so many edits (a swap is two replacements).

Known deviations: a sequence keeps at least one item, as elsewhere in this harness.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal
from robust.attacks.evasion.edit_attack import EditSearch
from robust.attacks.evasion.moves import KINDS, Space
from robust.errors import NotApplicable
from robust.log import SequenceBatch
from robust.threat import Budget


class Exhaustive(EditSearch):
    """Every sequence within the budget, asked about.

    Attributes:
        most: with 2 edits or more, refuse where (single edits of the longest sequence) to the power of edits is more.
    """

    name: ClassVar[str] = "exhaustive"
    source: ClassVar[str] = "definition (brute force); the yardstick of the searches of edits"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )

    most: int = Field(default=100_000, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Random edits of the same kinds, best of 100: how many questions this one asks depends on the catalogue."""
        return "random-edits", {"tries": 100, "kinds": self.kinds, "feedback": self.feedback, "k": self.k}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """The worst forms [B, L + edits]; deterministic, so `rng` goes unused.

        Raises:
            NotApplicable: too many chains of edits.
            BudgetExceeded: a query limit below what it takes; half of a search would not be exact.
        """
        edits = budget.edits or 0
        asked = np.array([[kind in self.kinds for kind in KINDS]])
        longest = sequences.items[[int(sequences.lengths.argmax())]]
        single = int(Space(np.zeros(1, np.int64), longest, asked, access.n_items).counts.sum())
        if edits > 1 and single**edits > self.most:
            raise NotApplicable(
                f"'exhaustive' would try {single}^{edits} chains of edits on a sequence of {np.count_nonzero(longest)} "
                f"items, and its limit (`most`) is {self.most:,}. Take 1 edit, fewer `kinds`, or `beam`."
            )
        return self._searched(access, sequences, goal, edits, None, None)
