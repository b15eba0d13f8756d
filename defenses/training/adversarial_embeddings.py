"""Adversarial training in the embedding space, with projected gradient ascent inside.

Miyato et al., "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017; Madry et al.,
ICLR 2018. Each step of training minimises

    (1 − w) L(e) + w L(e + δ),   δ = argmax_{‖δ_j‖ ≤ ε} L(e + δ) by `steps` steps of 2.5 ε / steps, held constant.

ε is given in units of the median distance of an item to its nearest neighbour and measured anew at every step: with a
fixed ε the model escapes by inflating its embeddings (Miyato normalises them for the same reason). One step is the fast
gradient method (Goodfellow et al., ICLR 2015): `steps: 1, start: zero, relative_step: 1` is that of Miyato; from a
random start it is that of Wong et al. (ICLR 2020).

Known deviations: Miyato bounds ‖δ‖₂ over the whole sequence and takes one step; here per position, and several. Not
Gaussian noise, which a model tolerates far better than it tolerates this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robust.defenses.training.loop import ObjectiveDefense
from robust.defenses.training.radius import radius
from robust.perturbation import Ball, ascend
from robust.threat import Norm

if TYPE_CHECKING:
    from robust.recommenders.objective import Step


class AdversarialEmbeddings(ObjectiveDefense):
    """Trains on the worst nearby embeddings that projected gradient ascent finds.

    Attributes:
        epsilon: radius per position, in units of the current median nearest-neighbour distance.
        norm: of the radius, `l2` or `linf`.
        steps: ascent steps per training step; 1 is the fast gradient method.
        relative_step: size of an ascent step, times steps / ε.
        start: where the ascent begins, uniformly in the ball or at 0.
        weight: w, of the adversarial loss; at 0, as at an ε of 0, training is plain.
    """

    name: ClassVar[str] = "adversarial-embeddings"
    source: ClassVar[str] = "Miyato et al., ICLR 2017 (arXiv 1605.07725); Madry et al., ICLR 2018"
    weaknesses: ClassVar[str] = (
        "Trained against one ε and norm: beyond it nothing is promised, and stronger attacks (more steps, restarts) "
        "may find what these few steps missed. Makes no claim for edits of items, whose embeddings lie further apart "
        "than ε: test those with substitution. Costs some quality on clean data and (steps + 2) times the training."
    )
    assumptions: ClassVar[str] = (
        "The attack moves each embedding by no more than ε in the norm trained against, and the clean loss has slack: "
        "a model that barely fits its log has none to trade."
    )

    epsilon: float = Field(default=0.5, ge=0)
    norm: Norm = "l2"
    steps: int = Field(default=3, ge=1)
    relative_step: float = Field(default=2.5, gt=0)
    start: Literal["random", "zero"] = "random"
    weight: float = Field(default=0.5, ge=0, le=1)

    def objective(self, step: Step) -> Tensor:
        """The scalar (1 − w) L(e) + w L(e + δ) of one batch."""
        embeddings = step.embeddings
        if self.weight == 0 or self.epsilon == 0:
            return step.loss(embeddings)
        deltas = self.worst(step)
        clean = step.loss(embeddings) * (1 - self.weight) if self.weight < 1 else 0.0
        return clean + self.weight * step.loss(embeddings + deltas)

    def worst(self, step: Step) -> Tensor:
        """Deltas [B, L, D] within ε; constant, so that only the losses are differentiated."""
        mask = step.mask.unsqueeze(-1).to(step.embeddings.dtype)
        epsilon = radius(step, self.epsilon)
        if epsilon == 0:
            return torch.zeros_like(step.embeddings)
        ball = Ball(epsilon, self.norm)
        drawn = self.start == "random"
        return ascend(
            step.loss,
            step.embeddings,
            mask,
            ball,
            steps=self.steps,
            step_size=self.relative_step * epsilon / self.steps,
            start=ball.random_inside(step.embeddings.detach(), mask, step.generator) if drawn else None,
        )
