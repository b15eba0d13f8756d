"""Projected gradient ascent on the embedded sequence.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018; on recommenders,
Anelli et al., "MSAP", FLAIRS 2021:

    δ ← Π_ε(δ + α · g/‖g‖₂)  or  Π_ε(δ + α · sign(g)),   α = 2.5 ε / steps

Known deviations: MSAP perturbs model parameters, and its code steps on the l2 sphere while it clips to the linf box,
which is up to √D larger; here both step and projection use the stated norm, on the *input* sequence.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.harm import Chunk, chunks
from robust.attacks.embedding.noise import noise_control
from robust.log import SequenceBatch
from robust.perturbation import Ball, ascend
from robust.threat import Budget


class PGD(EmbeddingAttack):
    """Projected gradient ascent; of several restarts, the best per sequence counts.

    Attributes:
        steps: gradients per restart. relative_step: α · steps / ε.
        random_start: begin uniformly in the ball, else at the clean point (restarts need it).
        restarts: runs, of which the best counts, sequence by sequence.
    """

    name: ClassVar[str] = "pgd"
    source: ClassVar[str] = "Madry et al., ICLR 2018 (arXiv 1706.06083); Anelli et al., FLAIRS 2021"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    steps: int = Field(default=10, ge=1)
    relative_step: float = Field(default=2.5, gt=0)
    random_start: bool = True
    restarts: int = Field(default=1, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, object]] | None:
        """Noise with as many tries as this attack has gradients."""
        return noise_control(self.steps * self.restarts)

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
        return torch.cat([self._climb(chunk, ball, generator).cpu() for chunk in chunks(access, sequences, goal)])

    def _climb(self, chunk: Chunk, ball: Ball, generator: torch.Generator) -> Tensor:
        best = torch.zeros_like(chunk.embeddings)
        most = torch.full((len(best),), -torch.inf, device=best.device)
        for _ in range(self.restarts):
            start = ball.random_inside(chunk.embeddings, chunk.mask, generator) if self.random_start else None
            deltas = ascend(
                chunk.harm,
                chunk.embeddings,
                chunk.mask,
                ball,
                steps=self.steps,
                step_size=self.relative_step * ball.epsilon / self.steps,
                start=start,
            )
            if self.restarts == 1:
                return deltas
            with torch.no_grad():
                reached = chunk.harm(chunk.embeddings + deltas)
            better = reached > most
            best[better], most[better] = deltas[better], reached[better]
        return best
