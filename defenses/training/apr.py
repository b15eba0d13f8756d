"""Adversarial personalised ranking, on the item table of a sequential recommender.

He, He, Du and Chua, "Adversarial Personalized Ranking for Recommendation", SIGIR 2018:

    L(Θ) + λ L(Θ + Δ),   Δ = ε Γ/‖Γ‖ per row,   Γ = ∂L(Θ)/∂Θ, held constant,

with Θ the item table, which is moved where a sequence is embedded and where items are scored.

Known deviations: the loss is the recommender's own softmax, not BPR; users have no table here. ε is in units of the
median nearest-neighbour distance, measured anew at every step, where the paper has .5 in absolute size and trains at
first without (a warm start, here `resume`). Γ comes from the very pass that gives L(Θ), as in the paper's equation,
under its dropout; L(Θ + Δ) draws its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from robust.defenses.training.loop import ObjectiveDefense
from robust.defenses.training.radius import radius
from robust.perturbation import Ball

if TYPE_CHECKING:
    from robust.recommenders.objective import Step


class APR(ObjectiveDefense):
    """Trains on the item table and on the worst nearby one that one gradient finds.

    Attributes:
        epsilon: length of each row's move, in units of the current median nearest-neighbour distance.
        weight: λ, of the loss at the moved table; at 0, as at an ε of 0, training is plain.
    """

    name: ClassVar[str] = "apr"
    source: ClassVar[str] = "He et al., SIGIR 2018 (arXiv 1808.03908)"
    weaknesses: ClassVar[str] = (
        "It perturbs parameters, which no user can: a regulariser first, whose robustness to edited sequences or moved "
        "inputs is a by-product. One gradient finds the move, so several steps find worse ones. Under a full softmax "
        "every item moves, those that a batch does not hold included."
    )
    assumptions: ClassVar[str] = "The attack resembles a small, simultaneous move of all items of the table."

    epsilon: float = Field(default=0.5, ge=0)
    weight: float = Field(default=1.0, ge=0)

    def objective(self, step: Step) -> Tensor:
        """The scalar L(Θ) + λ L(Θ + Δ) of one batch."""
        clean = step.loss(step.embeddings)
        if self.weight == 0 or self.epsilon == 0:
            return clean
        return clean + self.weight * step.loss_at(step.table + self.worst(step, clean))

    def worst(self, step: Step, clean: Tensor) -> Tensor:
        """Δ [n_items + 1, D], constant; 0 for padding and for items without a gradient.

        Args:
            clean: L(Θ) of this step, whose graph is kept.
        """
        (gradient,) = torch.autograd.grad(clean, step.table, retain_graph=True)
        epsilon = radius(step, self.epsilon)
        return Ball(epsilon).steepest(gradient) * epsilon
