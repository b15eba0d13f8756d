"""Projected gradient ascent on the embedded sequence.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018; on recommenders,
Anelli et al., "MSAP", FLAIRS 2021:

    δ ← Π_ε(δ + α · g/‖g‖₂)  or  Π_ε(δ + α · sign(g)),   α = 2.5 ε / steps

Known deviations: MSAP perturbs model parameters, and its code steps on the l2 sphere while it clips to the linf box,
which is up to √D larger; here both step and projection use the stated norm, per position of the *input* sequence.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.objective import Objective, objective_for
from robust.log import SequenceBatch
from robust.perturbation import ascend, chunk_rows, padding_mask, random_in_ball
from robust.threat import Budget


class PGD(EmbeddingAttack):
    """Projected gradient ascent; of several restarts, the best per sequence counts.

    Attributes:
        steps: gradients per restart. relative_step: α · steps / ε.
        random_start: begin uniformly in the ball, else at the clean point (restarts need it).
    """

    name: ClassVar[str] = "pgd"
    source: ClassVar[str] = "Madry et al., ICLR 2018 (arXiv 1706.06083); Anelli et al., FLAIRS 2021"
    tags: ClassVar[tuple[str, ...]] = ("atlas@5.6.1:AML.T0043.000", "nist-ai-100-2e2025:evasion")
    control: ClassVar[str | None] = "noise"

    steps: int = Field(default=10, ge=1)
    relative_step: float = Field(default=2.5, gt=0)
    random_start: bool = True
    restarts: int = Field(default=1, ge=1)

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D], computed in chunks of users."""
        table = access.model.item_embeddings
        generator = torch.Generator(table.device).manual_seed(int(rng.integers(2**63)))
        size = chunk_rows(sequences.width, table.shape[1], access.n_items)
        return torch.cat(
            [
                self._perturb_chunk(access, chunk, objective_for(access, chunk, goal), budget, generator).cpu()
                for chunk in sequences.chunks(size)
            ]
        )

    def _perturb_chunk(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        objective: Objective,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        epsilon = budget.epsilon or 0.0
        embeddings = access.model.embed(sequences).detach()
        mask = padding_mask(sequences).to(embeddings.device)

        def harm(moved: Tensor) -> Tensor:
            return objective(access.model.score_embeddings(moved, sequences))

        best = torch.zeros_like(embeddings)
        most = torch.full((len(sequences),), -torch.inf, device=embeddings.device)
        for _ in range(self.restarts):
            start = random_in_ball(embeddings, epsilon, budget.norm, generator) if self.random_start else None
            deltas = ascend(
                harm,
                embeddings,
                mask,
                epsilon=epsilon,
                norm=budget.norm,
                steps=self.steps,
                step_size=self.relative_step * epsilon / self.steps,
                start=start,
            )
            if self.restarts == 1:
                return deltas
            with torch.no_grad():
                reached = harm(embeddings + deltas)
            better = reached > most
            best[better], most[better] = deltas[better], reached[better]
        return best
