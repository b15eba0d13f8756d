"""The frame of the attacks that search edits level by level (`levels.py`): chunks of users, queries, feedback."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.feedback import Feedback, Signal, questions_about_clean
from robust.attacks.evasion.levels import Propose, search_levels, spreading
from robust.attacks.evasion.moves import KINDS, Kind
from robust.log import SequenceBatch
from robust.threat import Budget

ROWS = 256
"""Sequences that are searched together."""


class EditSearch(EvasionAttack):
    """What the searches share.

    They need lists, so they work on any endpoint. Where the attacker sees scores, `feedback: scores` is the finer
    signal; `model_access` states the least, and asking for scores without `knowledge.model: scores` is an error.

    Attributes:
        kinds: which edits: `replace`, `insert`, `delete` (1 edit each), `swap` of neighbours (2, as is counted).
        feedback: `lists` looks at ranked lists, `scores` at the loss of white-box attacks.
        k: how long a list is looked at when the goal does not say.
    """

    control: ClassVar[str | None] = "random-edits"

    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    feedback: Signal = "lists"
    k: int = Field(default=10, ge=1)

    def _searched(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        edits: int,
        width: int | None,
        propose: Propose | None,
    ) -> SequenceBatch:
        """The best forms [B, L + edits] found; insertions need room."""
        found = []
        for chunk in sequences.chunks(ROWS):
            track = access.curve.track(len(chunk))
            seen = Feedback(access, chunk, goal, self.feedback, self.k)
            found.append(search_levels(seen, edits, self.kinds, access.n_items, width, propose, track))
        return SequenceBatch(np.concatenate(found), sequences.users)


class SampledSearch(EditSearch):
    """A search that asks about some forms at each level, spread evenly over all.

    Attributes:
        candidates: edited forms that are tried at each level, per sequence; all of them where there are no more.
    """

    candidates: int = Field(default=100, ge=1)

    def _kept(self) -> int:
        """How many forms of a level are gone on from."""
        return 1

    def _overhead(self, edits: int) -> int:
        """Questions per sequence besides candidates and the clean form."""
        return 0

    def queries(self, edits: int) -> int:
        """Questions per sequence, at most, besides the clean one."""
        return edits * self.candidates + self._overhead(edits)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Random edits of the same kinds, best of as many tries as this attack asks, seen in the same way."""
        same = {"kinds": self.kinds, "feedback": self.feedback, "k": self.k}
        return "random-edits", {"tries": max(self.queries(budget.edits or 0), 1), **same}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """The best forms [B, L + edits] found; the clean ones where nothing may be asked."""
        edits, candidates = budget.edits or 0, self.candidates
        allowed = access.queries_left(len(sequences))
        if allowed is not None:
            clean = questions_about_clean(self.feedback, goal, access.knowledge.next_item)
            candidates = min(candidates, (allowed - clean - self._overhead(edits)) // max(edits, 1))
        if candidates < 1:
            return sequences
        propose = self._propose(access, candidates, rng)
        return self._searched(access, sequences, goal, edits, self._kept(), propose)

    def _propose(self, access: AccessView, candidates: int, rng: np.random.Generator) -> Propose:
        """Which moves are tried at a level."""
        return spreading(candidates, rng)
