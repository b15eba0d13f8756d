"""Random edits: the control of the searches of edits, and a question of its own.

With one try nothing is asked: how does a recommender react to edits that happen by themselves (an item clicked twice,
two in the other order, the oldest forgotten)? With more, of several draws the one that hurts most is kept, seen by the
same signal as the search that it is compared with.

The edits are those of Oh et al. (CIKM 2022: deletion, replacement, insertion) and Betello et al. (ECIR 2024:
truncation) and the usual ones beside them; `edit_family.py` says what each costs.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.edit_family import NaturalKind, draw_edits
from robust.attacks.evasion.feedback import Signal
from robust.attacks.evasion.item_choice import Choice, coldest, drawing
from robust.attacks.evasion.tries import best_draw
from robust.log import Int32, SequenceBatch
from robust.threat import Budget


class RandomEdits(EvasionAttack):
    """Best of `tries` random draws of edits that cost `budget.edits` together.

    Attributes:
        kinds: which edits: `replace`, `insert`, `delete`, `swap`, `duplicate`, `insert-cold` (needs `log: popularity`),
            `truncate`, `shuffle` of `window` neighbours, `reverse`; each as likely as the others.
        choice: which items come in: `uniform`, `popular` (needs `log: popularity`), `neighbours`, `anti-neighbours`
            (need `model: gradients` or `log: full`).
        window: items of a shuffle. tries: draws per sequence.
        feedback: by what the worst draw is known: `lists`, or `scores` (needs `model: scores`).
        k: how long a list is looked at when the goal does not say.
    """

    name: ClassVar[str] = "random-edits"
    source: ClassVar[str] = "Oh et al., CIKM 2022 (arXiv 2201.12686); Betello et al., ECIR 2024; drawn at random"
    tags: ClassVar[tuple[str, ...]] = (
        "control",
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )

    kinds: tuple[NaturalKind, ...] = Field(default=("replace", "insert", "delete", "swap"), min_length=1)
    choice: Choice = "uniform"
    window: int = Field(default=3, ge=2)
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
        """The most harmful draw [B, L + edits]; `tries` queries a sequence, and one or two more for the clean one."""
        edits = budget.edits or 0
        item = drawing(self.choice, access, rng)
        cold = coldest(access) if "insert-cold" in self.kinds else None
        room = np.pad(sequences.items, ((0, 0), (edits, 0)))

        def draw() -> Int32:
            return draw_edits(room, edits, self.kinds, self.window, item, cold, rng)

        return best_draw(
            draw,
            access,
            sequences,
            goal,
            edits=edits,
            tries=self.tries,
            feedback=self.feedback,
            k=self.k,
        )
