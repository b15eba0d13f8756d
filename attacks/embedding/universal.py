"""A universal perturbation: one delta that harms users on whom it was not learnt.

Moosavi-Dezfooli et al., "Universal Adversarial Perturbations", CVPR 2017: one δ with ‖δ‖ ≤ ε for all inputs,

    δ ← argmax mean_u L(f(S_u ⊕ δ)),   δ added at the newest `positions` of every user

Each half of the users gets the δ learnt on the other half (`shared`), so all of them are held out.

Known deviations: the paper loops over inputs with DeepFool until a share 1 − ξ is fooled; here δ climbs the mean
objective over all users of a half at once, with APGD's step sizes (`adaptive`), from δ = 0. That is gradient ascent as
in Shafahi et al., "Universal Adversarial Training", AAAI 2020 (from memory), without their mini-batches and clipped
losses. Inputs here differ in length: where a user has fewer positions, δ's older part is left out for them.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.adaptive import Evaluate, climb
from robust.attacks.embedding.noise import noise_control
from robust.attacks.embedding.shared import cross_fit
from robust.log import SequenceBatch
from robust.perturbation import Ball
from robust.threat import Budget


class Universal(EmbeddingAttack):
    """One delta for all users, cross-fitted.

    Attributes:
        positions: how many of the newest positions it is added to. steps: gradients, each over half of the users.
    """

    name: ClassVar[str] = "universal"
    source: ClassVar[str] = "Moosavi-Dezfooli et al., CVPR 2017 (arXiv 1610.08401)"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    positions: int = Field(default=1, ge=1)
    steps: int = Field(default=10, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, object]] | None:
        """Noise that is shared and learnt alike: the best of as many draws, on the other half."""
        return noise_control(self.steps + 1, scope="universal", positions=self.positions)

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D], alike within each half."""
        ball = Ball.of(budget)

        def learn(evaluate: Evaluate, form: Tensor) -> Tensor:
            return climb(evaluate, torch.zeros_like(form), torch.ones_like(form), ball, steps=self.steps)[0]

        return cross_fit(access, sequences, goal, self.positions, rng, learn)
