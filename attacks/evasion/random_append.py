"""Appended at random: the target alternating with random items, the control of `append`.

RandAlter of Yue et al., RecSys 2021, figure 5. The newest item is a random one, as the newest of `append` is never the
target (the release of the paper has no code for this control of the pollution attack, so which of the two comes last
is our choice). Several targets take turns. To demote or degrade, all items are random, the demoted ones left out.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.feedback import Signal
from robust.attacks.evasion.tries import best_draw
from robust.errors import NotApplicable
from robust.log import Int32, SequenceBatch
from robust.threat import Budget


class RandomAppend(EvasionAttack):
    """Best of `tries` random draws of `budget.edits` items at the end of each sequence.

    Attributes:
        tries: draws per sequence; one asks nothing.
        feedback: by what the best draw is known: `lists`, or `scores` (needs `model: scores`).
        k: how long a list is looked at when the goal does not say.
    """

    name: ClassVar[str] = "random-append"
    source: ClassVar[str] = "Yue et al., RecSys 2021 (arXiv 2109.01165), RandAlter in figure 5"
    tags: ClassVar[tuple[str, ...]] = (
        "control",
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )

    tries: int = Field(default=1, ge=1)
    feedback: Signal = "lists"
    k: int = Field(default=10, ge=1)

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, L + edits]; `tries` queries a sequence, and one or two more for the clean one."""
        shape = (len(sequences), budget.edits or 0)

        def draw() -> Int32:
            return np.concatenate([sequences.items, draw_appended(shape, goal, access.n_items, rng)], axis=1)

        return best_draw(
            draw,
            access,
            sequences,
            goal,
            edits=shape[1],
            tries=self.tries,
            feedback=self.feedback,
            k=self.k,
        )


def draw_appended(shape: tuple[int, int], goal: AnyGoal, n_items: int, rng: np.random.Generator) -> Int32:
    """int32 [B, z]: random items that are no targets, and to promote, targets in every second place from the newest.

    Raises:
        NotApplicable: every item is a target.
    """
    others = np.setdiff1d(np.arange(1, n_items + 1), goal.items)
    if len(others) == 0:
        raise NotApplicable("every item of the catalogue is a target, so there is none to append")
    drawn = others[rng.integers(len(others), size=shape)]
    if goal.kind == "promote":
        places = np.arange(shape[1] - 2, -1, -2)
        drawn[:, places] = np.asarray(goal.items)[np.arange(len(places)) % len(goal.items)]
    return np.asarray(drawn, dtype=np.int32)
