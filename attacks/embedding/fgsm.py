"""One step along the gradient of the embedded sequence, to the edge of the ball.

Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015; in l2 as in He et al., "Adversarial
Personalized Ranking for Recommendation", SIGIR 2018:

    δ = ε · sign(g)  (linf),   δ = ε · g/‖g‖₂  (l2),   g = the objective's gradient at the clean embeddings

Known deviations: none. It is the yardstick of `pgd` and `apgd`, which must not do less; where it does more than they
do, the gradient is masked.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.harm import chunks
from robust.log import SequenceBatch
from robust.perturbation import Ball, ascend
from robust.threat import Budget


class FGSM(EmbeddingAttack):
    """The fast gradient method; one gradient per sequence."""

    name: ClassVar[str] = "fgsm"
    source: ClassVar[str] = "Goodfellow et al., ICLR 2015 (arXiv 1412.6572); He et al., SIGIR 2018 (arXiv 1808.03908)"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D]."""
        ball = Ball.of(budget)
        found = [
            ascend(chunk.harm, chunk.embeddings, chunk.mask, ball, steps=1, step_size=ball.epsilon)
            for chunk in chunks(access, sequences, goal)
        ]
        return torch.cat(found).cpu()
