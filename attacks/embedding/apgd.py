"""Auto-PGD on the embedded sequence: ascent with momentum and a step size that halves where a sequence stops gaining.

Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks", ICML
2020 (arXiv 2003.01690); `adaptive` has the algorithm and where released code leaves it, `objective` the three losses.

Known deviations: starts uniformly inside the ball as `pgd` does (the released code starts on its surface). The paper's
losses need a label; here it is the true next item if known, the clean top-1 otherwise, or the goal's targets. It keeps
the best point by the objective, not the first that changes the top-1: a recommender's damage is graded.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.adaptive import climb
from robust.attacks.embedding.harm import Chunk, chunks
from robust.attacks.embedding.noise import noise_control
from robust.attacks.objective import Loss
from robust.log import SequenceBatch
from robust.perturbation import Ball
from robust.threat import Budget


class APGD(EmbeddingAttack):
    """Auto-PGD; the best point per sequence over all steps and restarts.

    Attributes:
        loss: what is raised: `ce` (cross-entropy), `dlr` (the difference of logits ratio, blind to the scores' scale)
            or `margin` (by how much the best other item beats the label).
        steps: gradients per restart. restarts: each from a new random start.
    """

    name: ClassVar[str] = "apgd"
    source: ClassVar[str] = "Croce and Hein, ICML 2020 (arXiv 2003.01690), Algorithm 1"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    loss: Loss = "ce"
    steps: int = Field(default=10, ge=1)
    restarts: int = Field(default=1, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, object]] | None:
        """Noise with as many tries as this attack has evaluations."""
        return noise_control((self.steps + 1) * self.restarts)

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D], computed in chunks of users."""
        ball = Ball.of(budget)
        generator = torch.Generator(access.model.item_embeddings.device).manual_seed(int(rng.integers(2**63)))
        found = [self._climb(chunk, ball, generator).cpu() for chunk in chunks(access, sequences, goal, self.loss)]
        return torch.cat(found)

    def _climb(self, chunk: Chunk, ball: Ball, generator: torch.Generator) -> Tensor:
        def evaluate(deltas: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
            moved = (chunk.embeddings + deltas).requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                reached = chunk.harm(moved)
            slope = torch.autograd.grad(reached.sum(), moved)[0] if gradient else torch.zeros_like(moved)
            return reached.detach(), slope

        best = torch.zeros_like(chunk.embeddings)
        most = torch.full((len(best),), -torch.inf, device=best.device)
        for _ in range(self.restarts):
            start = ball.random_inside(chunk.embeddings, chunk.mask, generator)
            found, reached = climb(evaluate, start, chunk.mask, ball, steps=self.steps)
            better = reached > most
            best[better], most[better] = found[better], reached[better]
        return best
