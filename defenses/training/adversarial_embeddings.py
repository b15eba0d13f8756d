"""Adversarial training in the embedding space, with projected gradient ascent inside.

Miyato et al., "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017; Madry et al.,
ICLR 2018. Each step of training minimises

    (1 − w) L(e) + w L(e + δ),   δ = argmax_{‖δ_j‖ ≤ ε} L(e + δ) by `steps` steps of 2.5 ε / steps, held constant.

ε is given in units of the median distance of an item to its nearest neighbour and measured anew at every step: with a
fixed ε the model escapes by inflating its embeddings (Miyato normalises them for the same reason).

Known deviations: Miyato bounds ‖δ‖₂ over the whole sequence and takes one step; here per position, and several. Not
Gaussian noise, which a model tolerates far better than it tolerates this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from robust.defense import TrainingDefense
from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.perturbation import Ball, ascend, neighbour_distance
from robust.recommenders.protocols import Recommender
from robust.threat import Norm

if TYPE_CHECKING:
    from robust.recommenders.training import Step

SAMPLE = 256
"""Items whose nearest neighbours are measured at each step; the median over them is within a few per cent of all."""


class AdversarialEmbeddings(TrainingDefense):
    """Trains on the worst nearby embeddings that projected gradient ascent finds.

    Attributes:
        epsilon: radius per position, in units of the current median nearest-neighbour distance; in l2 or linf.
        steps: ascent steps per training step. weight: w, of the adversarial loss.
    """

    name: ClassVar[str] = "adversarial-embeddings"
    source: ClassVar[str] = "Miyato et al., ICLR 2017 (arXiv 1605.07725); Madry et al., ICLR 2018"
    weaknesses: ClassVar[str] = (
        "Trained against one ε and norm: beyond it nothing is promised, and stronger attacks (more steps, restarts) "
        "may find what these few steps missed. Makes no claim for edits of items, whose embeddings lie further apart "
        "than ε: test those with substitution. Costs some quality on clean data and (steps + 2) times the training."
    )

    epsilon: float = Field(default=0.5, ge=0)
    norm: Norm = "l2"
    steps: int = Field(default=3, ge=1)
    weight: float = Field(default=0.5, ge=0, le=1)

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, with this objective.

        Raises:
            NotApplicable: its training loop does not take an objective.
        """
        if not hasattr(recommender, "train"):
            raise NotApplicable(f"training defence '{self.name}' needs a recommender with train(log, objective=…)")
        trained: Recommender = recommender.train(log, seed=seed, share=share, objective=self.objective)
        return trained

    def objective(self, step: Step) -> Tensor:
        """The scalar (1 − w) L(e) + w L(e + δ) of one batch."""
        embeddings = step.embeddings
        deltas = self.worst(step)
        clean = step.loss(embeddings) * (1 - self.weight) if self.weight < 1 else 0.0
        return clean + self.weight * step.loss(embeddings + deltas)

    def worst(self, step: Step) -> Tensor:
        """Deltas [B, L, D] within ε, from a random start; constant, so that only the losses are differentiated."""
        mask = step.mask.unsqueeze(-1).to(step.embeddings.dtype)
        some = torch.randint(1, len(step.table), (SAMPLE,), generator=step.generator, device=step.generator.device)
        epsilon = self.epsilon * neighbour_distance(step.table, of=some)
        if epsilon == 0:
            return torch.zeros_like(step.embeddings)
        ball = Ball(epsilon, self.norm)
        return ascend(
            step.loss,
            step.embeddings,
            mask,
            ball,
            steps=self.steps,
            step_size=2.5 * epsilon / self.steps,
            start=ball.random_inside(step.embeddings.detach(), mask, step.generator),
        )
