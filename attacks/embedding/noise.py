"""Random noise of the same size: the control of every embedding attack.

He et al., "Adversarial Personalized Ranking for Recommendation", SIGIR 2018: random perturbations of the size that
ruins a model when it is adversarial hardly move it. A random direction of size exactly ε, per position or sequence as
the budget says; of several `tries` the one with the largest objective, so that a control asks as much as its attack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.adaptive import Evaluate
from robust.attacks.embedding.harm import Population, chunks
from robust.attacks.embedding.shared import cross_fit
from robust.attacks.embedding.table import ball_of_rows, harm_of_table, rows_to_move
from robust.log import SequenceBatch
from robust.perturbation import Ball, padding_mask
from robust.threat import Budget


def noise_control(tries: int, **scope: Any) -> tuple[str, dict[str, Any]]:
    """The control of an attack that evaluates so many perturbations of each sequence."""
    return "noise", {"tries": tries, **scope}


class Noise(EmbeddingAttack):
    """Random draws on the sphere of radius ε (l2), or random corners of the box (linf); a single try asks no query.

    Attributes:
        scope: what one draw is for: a `sequence`, all users (`universal`, chosen on one half and applied to the other),
            or the whole `item-table`.
        tries: draws, of which the worst counts. positions: how many of the newest a universal draw is added to.
    """

    name: ClassVar[str] = "noise"
    source: ClassVar[str] = "He et al., SIGIR 2018 (arXiv 1808.03908)"
    tags: ClassVar[tuple[str, ...]] = (
        "control",
        "atlas@5.6.1:AML.T0043",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )

    scope: Literal["sequence", "universal", "item-table"] = "sequence"
    tries: int = Field(default=1, ge=1)
    positions: int = Field(default=1, ge=1)

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D], or of the table [n_items + 1, D]; the goal matters only where there are several tries."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        if self.scope == "universal":
            ball = Ball.of(budget)

            def learn(evaluate: Evaluate, form: Tensor) -> Tensor:
                return self._worst(ball, form, torch.ones_like(form), generator, lambda d: evaluate(d, False)[0])

            return cross_fit(access, sequences, goal, self.positions, rng, learn)
        table = access.model.item_embeddings
        if self.scope == "item-table":
            population = Population(access, sequences, goal, harm_of_table)
            start, mask = rows_to_move(table)
            return self._worst(ball_of_rows(budget), start, mask, generator, lambda d: population(d, False)[0])[0]
        like = torch.empty((*sequences.items.shape, table.shape[1]))
        parts = list(chunks(access, sequences, goal)) if self.tries > 1 else []

        def reached(deltas: Tensor) -> Tensor:
            split = torch.split(deltas, [len(part.sequences) for part in parts])
            with torch.no_grad():
                return torch.cat([p.harm(p.embeddings + d.to(p.mask)) for p, d in zip(parts, split, strict=True)])

        return self._worst(Ball.of(budget), like, padding_mask(sequences), generator, reached)

    def _worst(
        self,
        ball: Ball,
        like: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        reached: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Of as many draws as there are tries, the one that reached most, row by row; drawn and kept on the CPU."""
        device, like, mask = like.device, like.cpu(), mask.cpu()
        best = ball.random_on_surface(like, mask, generator)
        if self.tries == 1:
            return best
        most = reached(best.to(device)).cpu()
        for _ in range(self.tries - 1):
            drawn = ball.random_on_surface(like, mask, generator)
            value = reached(drawn.to(device)).cpu()
            better = value > most
            best[better], most[better] = drawn[better], value[better]
        return best
