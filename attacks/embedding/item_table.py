"""A perturbed item table: every item's embedding moves by at most ε, once for all users.

He et al., "Adversarial Personalized Ranking for Recommendation", SIGIR 2018, section 3: row by row, with Γ the gradient
of the loss by the table,

    Δ_i = ε · Γ_i / ‖Γ_i‖₂

which is `steps: 1` here. More steps climb further (Anelli et al., "MSAP", FLAIRS 2021), with APGD's step sizes
(`adaptive`). It is a worst case of parameters: what rounding, compression or a careless update of a table could do,
were it an adversary. Where the table is tied to the output, scores move from both sides.

Known deviations: the papers perturb user factors too, which a sequential recommender does not have; the loss is ours
(`objective`) in place of BPR's; MSAP's code clips to the box of linf after steps on the l2 sphere, which is up to √D
larger: here norm and projection are one. One table is fitted to, and reported on, all users.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.adaptive import climb
from robust.attacks.embedding.harm import Population
from robust.attacks.embedding.noise import noise_control
from robust.attacks.embedding.table import ball_of_rows, harm_of_table, rows_to_move
from robust.log import SequenceBatch
from robust.threat import Budget


class ItemTable(EmbeddingAttack):
    """One perturbed table for all users; needs a recommender that can be given another table.

    Attributes:
        steps: gradients, each over all users.
    """

    name: ClassVar[str] = "item-table"
    source: ClassVar[str] = "He et al., SIGIR 2018 (arXiv 1808.03908), section 3; Anelli et al., FLAIRS 2021"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    steps: int = Field(default=10, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, object]] | None:
        """A random table of the same size, the best of as many draws."""
        return noise_control(self.steps + 1, scope="item-table")

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """A delta of the table [n_items + 1, D], row 0 (padding) zero."""
        ball, (start, mask) = ball_of_rows(budget), rows_to_move(access.model.item_embeddings)
        best, _ = climb(Population(access, sequences, goal, harm_of_table), start, mask, ball, steps=self.steps)
        return best[0].cpu()
