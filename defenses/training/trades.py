"""TRADES: stay right on clean input, and answer alike around it.

Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML 2019:

    CE(f(e), y) + β max_{‖δ_j‖ ≤ ε} KL(f(e) ‖ f(e + δ)),

with the maximum by projected ascent on the divergence itself, from a start near 0 (at 0 it has no gradient). The label
plays no part in the second term: what is asked for is the same answer, not the right one.

Known deviations: the divergence is taken at every target position, over all items, or over a step's candidates (the
target and its negatives) where the softmax is sampled; δ is bounded per position in l2 or linf, in units of the median
nearest-neighbour distance; the ascent starts uniformly in the ball. Both sides of a divergence are under one draw of
dropout, where the paper's ascent has none: otherwise it would measure the dropout more than δ.

On flights (GRU4Rec, one seed; attacked on 800 users, the next item known) β weighs clean NDCG@10 against what PGD at
the trained ε leaves: .169 / .056 without a defence, .165 / .112 at β = 1, .153 / .140 at the paper's 6, the default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from robust.defenses.training.loop import ObjectiveDefense
from robust.defenses.training.radius import radius
from robust.perturbation import Ball, ascend
from robust.threat import Norm

if TYPE_CHECKING:
    from robust.recommenders.objective import Step

LEAST = -1e9
"""Stands for the −∞ of a candidate that is left out: its probability is 0 all the same, and no NaN comes of it."""


class TRADES(ObjectiveDefense):
    """Trains on the clean loss and on the worst nearby change of the whole answer.

    Attributes:
        epsilon: radius per position, in units of the current median nearest-neighbour distance.
        norm: of the radius, `l2` or `linf`.
        steps: ascent steps per training step. relative_step: size of one, times steps / ε.
        beta: β, of the divergence; at 0, as at an ε of 0, training is plain.
    """

    name: ClassVar[str] = "trades"
    source: ClassVar[str] = "Zhang et al., ICML 2019 (arXiv 1901.08573)"
    weaknesses: ClassVar[str] = (
        "Trained against one ε and norm, by few steps of ascent. What is kept is the clean answer, right or wrong. "
        "Over sampled candidates the rest of the catalogue may change unseen. A large β flattens all answers. Holds "
        "the scores of all target positions at once, in about (steps + 2) times the training."
    )
    assumptions: ClassVar[str] = "The attack moves each embedding by no more than ε in the norm trained against."

    epsilon: float = Field(default=0.5, ge=0)
    norm: Norm = "l2"
    steps: int = Field(default=3, ge=1)
    relative_step: float = Field(default=2.5, gt=0)
    beta: float = Field(default=6.0, ge=0)

    def objective(self, step: Step) -> Tensor:
        """The scalar CE(f(e), y) + β KL(f(e) ‖ f(e + δ)) of one batch."""
        if self.beta == 0 or self.epsilon == 0:
            return step.loss(step.embeddings)
        dropout = step.generator.get_state()

        def answers(embeddings: Tensor) -> Tensor:
            """Log-probabilities [P, C], under the same dropout at every call."""
            step.generator.set_state(dropout)
            return F.log_softmax(step.logits(embeddings).clamp_min(LEAST), dim=1)

        clean = answers(step.embeddings)
        mask = step.mask.unsqueeze(-1).to(step.embeddings.dtype)
        ball = Ball(radius(step, self.epsilon), self.norm)
        start = ball.random_inside(step.embeddings.detach(), mask, step.generator)
        onwards = step.generator.get_state()
        deltas = self.worst(step, clean.detach(), answers, ball, start)
        loss = F.nll_loss(clean, step.columns) + self.beta * divergence(clean, answers(step.embeddings + deltas))
        step.generator.set_state(onwards)
        return loss

    def worst(
        self, step: Step, clean: Tensor, answers: Callable[[Tensor], Tensor], ball: Ball, start: Tensor
    ) -> Tensor:
        """Deltas [B, L, D] in the ball at which the answers differ most from the clean ones [P, C]; constant."""
        return ascend(
            lambda embeddings: divergence(clean, answers(embeddings)),
            step.embeddings,
            step.mask.unsqueeze(-1).to(step.embeddings.dtype),
            ball,
            steps=self.steps,
            step_size=self.relative_step * ball.epsilon / self.steps,
            start=start,
        )


def divergence(clean: Tensor, moved: Tensor) -> Tensor:
    """KL(clean ‖ moved), a scalar: the mean over positions, from log-probabilities [P, C]."""
    return F.kl_div(moved, clean, reduction="batchmean", log_target=True)
