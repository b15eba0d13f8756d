"""The strongest of a small fixed portfolio of edits, chosen on one half of the users and reported on the other.

Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks", ICML
2020, section 5 (AutoAttack): a portfolio of different attacks without parameters to tune. Which members run follows
from what the attacker knows: gradients bring in `substitution`, lists alone leave the searches that need no more.

Known deviations: AutoAttack keeps the worst outcome of each input; here the choice is made on the other half of the
users (see `robust.attacks.portfolio`), by what ranked lists show, and then holds for a whole half.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.portfolio import Member, chosen_on_the_other_half, usable
from robust.errors import NotApplicable
from robust.harm import harm_against
from robust.log import Int32, SequenceBatch
from robust.threat import Budget

MEMBERS = (
    Member(name="substitution", parameters={"tau": None}),
    Member(name="substitution", parameters={"tau": None, "gain": "sign-cosine"}),
    Member(name="greedy"),
    Member(name="random-substitution", parameters={"tries": 20}),
)


class Strongest(EvasionAttack):
    """The member that hurts most.

    Attributes:
        members: names, or names with parameters, of evasion attacks. k: how long a list is looked at when the goal does
            not say.
    """

    name: ClassVar[str] = "strongest"
    source: ClassVar[str] = "Croce and Hein, ICML 2020 (arXiv 2003.01690), section 5, for edits of sequences"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "random-substitution"

    members: tuple[Member, ...] = Field(default=MEMBERS, min_length=1)
    k: int = Field(default=10, ge=1)

    def runs(self) -> tuple[str, ...]:
        """Its members."""
        return tuple(member.name for member in self.members)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Random substitution with as many tries as `substitution` asks queries, for each member."""
        return "random-substitution", {"tries": 11 * max(budget.edits or 0, 1) * len(self.members)}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, W], W ≥ L where a member inserts; two queries a sequence on top of what the members ask."""
        members = [attack for attack in (m.build() for m in self.members) if isinstance(attack, EvasionAttack)]
        attacks = usable(members, access, goal)
        k = self.k if goal.kind == "degrade" else goal.k
        track = access.curve.track(len(sequences))
        against = harm_against(access.model.recommend(sequences, k), goal, access.next_items(sequences))
        rows = np.arange(len(sequences))
        outcomes, harms = [sequences.items], [np.zeros(len(sequences))]
        for place, attack in enumerate(attacks):
            edited = self._run(attack, access, sequences, goal, budget, rng, len(attacks) - place)
            if edited is None:
                continue
            # the recommender reads as many items as before: the newest
            lists = access.model.recommend(edited.truncate(sequences.width), k)
            outcomes.append(edited.items)
            harms.append(against(rows, lists))
            track.note(budget.edits or 0, np.max(harms, axis=0))
        chosen = chosen_on_the_other_half(np.stack(harms), rng)
        return SequenceBatch(_as_wide(outcomes)[chosen, rows], sequences.users)

    def _run(
        self,
        attack: EvasionAttack,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
        waiting: int,
    ) -> SequenceBatch | None:
        """What a member finds with its share of the queries that are left; None where it cannot run on this model."""
        left = access.queries_left(len(sequences))
        share = None if left is None else left // waiting - 1  # one to look at what it found
        if share is not None and share < 1:
            return None
        within = nullcontext() if share is None else access.counter.at_most(share * len(sequences))
        try:
            with access.curve.silent(), within:
                return attack.evade(access, sequences, goal, budget, rng)
        except NotApplicable:
            return None


def _as_wide(outcomes: list[Int32]) -> Int32:
    """int32 [members, B, W], padded on the left to the widest."""
    width = max(items.shape[1] for items in outcomes)
    return np.stack([np.pad(items, ((0, 0), (width - items.shape[1], 0))) for items in outcomes])
