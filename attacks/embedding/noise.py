"""Random noise of the same size: the control of every embedding attack.

He et al., "Adversarial Personalized Ranking for Recommendation", SIGIR 2018: random perturbations of the
size that ruins a model when it is adversarial hardly move it. A random direction per position, of size exactly ε.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.log import SequenceBatch
from robust.perturbation import padding_mask, random_on_sphere
from robust.threat import Budget


class Noise(EmbeddingAttack):
    """One random draw on the sphere of radius ε (l2), or a random corner of the box (linf); asks no query."""

    name: ClassVar[str] = "noise"
    source: ClassVar[str] = "He et al., SIGIR 2018 (arXiv 1808.03908)"
    tags: ClassVar[tuple[str, ...]] = ("control",)

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D]; the goal makes no difference."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        like = torch.empty((*sequences.items.shape, access.model.item_embeddings.shape[1]))
        return random_on_sphere(like, budget.epsilon or 0.0, budget.norm, generator) * padding_mask(sequences)
