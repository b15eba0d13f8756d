"""Lead-in: clicks made in somebody's name, of what real users most often take right before the target.

After the injected co-visitations of Yang et al., "Fake Co-visitation Injection Attacks to Recommender Systems", NDSS
2017, moved from the log to one open session (a browser that a page makes click). Edit by edit, for each sequence:

    lead(x) = Σ_t n(x, t) / (n(x, ·) + 1)     n(x, t): how often t follows x in the train rows, t among the targets
    append each of the `candidates` items of largest lead in turn, ask for the list, keep the most harmful form

Known deviations: the paper changes the log, this changes an input; its target follows the clicks, here nobody has to
take the target, the recommender is led to it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.errors import NotApplicable
from robust.harm import harm_against
from robust.log import InteractionLog, SequenceBatch
from robust.threat import Budget, Promote


class LeadIn(EvasionAttack):
    """Append up to `budget.edits` items that lead to the targets.

    Attributes:
        candidates: items that are tried per edit; each costs a query per sequence.
    """

    name: ClassVar[str] = "lead-in"
    source: ClassVar[str] = "after Yang et al., NDSS 2017; this form is an example"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )
    model_access: ClassVar[Literal["none", "lists", "scores", "gradients"]] = "lists"
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "full"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})
    control: ClassVar[str | None] = "random-substitution"

    candidates: int = Field(default=5, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Random substitutions, the best of as many tries as this attack asks."""
        return "random-substitution", {"tries": max((budget.edits or 0) * self.candidates, 1)}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, L + edits]: what is appended needs room. It draws nothing, so `rng` goes unused."""
        assert isinstance(goal, Promote)  # the base has refused other goals
        edits = budget.edits or 0
        leads = leading_items(access.log, goal.items)[: self._affordable(access, sequences, edits)]
        best = np.pad(sequences.items, ((0, 0), (edits, 0)))
        if len(leads) == 0:
            return SequenceBatch(best, sequences.users)
        against = harm_against(access.model.recommend(sequences, goal.k), goal)
        rows, reached = np.arange(len(sequences)), np.zeros(len(sequences))
        track = access.curve.track(len(sequences))
        for edit in range(edits):
            base = best.copy()
            for first, lead in enumerate(leads):
                tried = np.concatenate([base[:, 1:], np.full((len(rows), 1), lead, np.int32)], axis=1)
                # the recommender reads as many items as before: the newest
                harm = against(rows, access.model.recommend(SequenceBatch(tried[:, edits:], sequences.users), goal.k))
                # the likeliest lead is taken also where lists show no change
                better = (harm >= reached) if first == 0 else (harm > reached)
                best[better], reached[better] = tried[better], harm[better]
            track.note(edit + 1, reached)
        return SequenceBatch(best, sequences.users)

    def _affordable(self, access: AccessView, sequences: SequenceBatch, edits: int) -> int:
        """As many candidates as the query limit bears, after the question about the clean list."""
        left = access.queries_left(len(sequences))
        return self.candidates if left is None else max(min(self.candidates, (left - 1) // max(edits, 1)), 0)


def leading_items(log: InteractionLog, targets: tuple[int, ...]) -> NDArray[np.int32]:
    """The items that lead to the targets, the likeliest first.

    Raises:
        NotApplicable: in these train rows no target ever follows another item.
    """
    follows = log.user[1:] == log.user[:-1]
    before, after = log.item[:-1][follows], log.item[1:][follows]
    hits = np.bincount(before[np.isin(after, targets)], minlength=log.n_items + 1)
    hits[list(targets)] = 0  # clicking on the target itself is another attack
    if not hits.any():
        raise NotApplicable("no target ever follows another item in the train rows, so nothing leads to it")
    lead = hits / (np.bincount(before, minlength=log.n_items + 1) + 1)
    return np.argsort(-lead, kind="stable")[: np.count_nonzero(hits)].astype(np.int32)
