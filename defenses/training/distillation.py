"""Defensive distillation: a student that learns a teacher's softened answers. A baseline, known to mask gradients.

Papernot et al., "Distillation as a Defense to Adversarial Perturbations against Deep Neural Networks", S&P 2016: a
teacher is trained with a softmax at temperature T, a student of the same form on the teacher's softmax at T,

    −Σ_c p_c log q_c,   p = softmax(z_teacher / T),  q = softmax(z_student / T),

and the student is served at T = 1. Its scores are then about T times as large as usual, its softmax saturates, and the
gradient of its cross-entropy vanishes. Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P
2017: an attack on the scores themselves breaks it at once.

On flights (GRU4Rec, T = 100) NDCG@10 is .474, undefended .559. Two substitutions that climb the cross-entropy leave
.270 of it, as many random ones, best of 22 tries, .042 (undefended .012 and .069): half of the clean histories have a
cross-entropy of exactly 0 in float32, and gradients of 3e-7. That the random ones do better is what gives it away.

Known deviations: with a sampled softmax p and q are over a step's own candidates; the teacher answers without dropout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from robust.defense import TrainingDefense
from robust.defense.base import Cost
from robust.defenses.training.loop import train_by
from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.encoder import Encoder
    from robust.recommenders.objective import Objective, Step


class Distillation(TrainingDefense):
    """Trains a teacher, then a student on what the teacher answers.

    Attributes:
        temperature: T, of both softmaxes in training.
    """

    name: ClassVar[str] = "distillation"
    source: ClassVar[str] = "Papernot et al., S&P 2016 (arXiv 1511.04508); Carlini and Wagner, S&P 2017"
    weaknesses: ClassVar[str] = (
        "Masks gradients and removes nothing: attacks that follow a saturated cross-entropy stall, those that follow "
        "scores or margins, need only lists, or come from a surrogate do not."
    )
    assumptions: ClassVar[str] = "The attacker follows the gradient of the served cross-entropy, and nothing else."
    cost: ClassVar[Cost] = "several fits"

    temperature: float = Field(default=20.0, ge=1)

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit a teacher, then a student, both by the recommender's own loop.

        Raises:
            NotApplicable: its training loop does not take an objective, or it has no encoder to ask as a teacher.
        """
        teacher: Any = train_by(self.name, recommender, log, seed=seed, share=share, objective=self.hard)
        if not hasattr(teacher, "encoder"):
            raise NotApplicable(f"training defence '{self.name}' needs a recommender with an encoder")
        soft = self.soft(teacher.encoder)
        return train_by(self.name, recommender, log, seed=seed, share=share, objective=soft)

    def hard(self, step: Step) -> Tensor:
        """The teacher's objective: the true next item, at temperature T."""
        return F.cross_entropy(step.logits(step.embeddings, self.temperature), step.columns)

    def soft(self, teacher: Encoder) -> Objective:
        """The student's objective: the teacher's answers, at temperature T."""

        def objective(step: Step) -> Tensor:
            with torch.no_grad():
                asked = step.through(teacher)
                answers = asked.logits(asked.embeddings, self.temperature).softmax(dim=1)
            said = step.logits(step.embeddings, self.temperature).log_softmax(dim=1)
            # a candidate that is left out has probability 0 and log-probability −∞: it counts for nothing
            return -(answers * said.masked_fill(answers == 0, 0.0)).sum(dim=1).mean()

        return objective
