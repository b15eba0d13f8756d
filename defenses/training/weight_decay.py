"""Weight decay, decoupled from the gradient: a cheap defence for others to beat.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2 (AdamW): after each step the
matrices shrink by the factor 1 − η λ, η the learning rate. Nothing but a setting of the training loop is changed.

Known deviations: the item table, biases and norms are not decayed, as in the training loop that it is set in: an item
that is rarely trained on would fade.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from robust.defense import TrainingDefense
from robust.defense.base import Cost
from robust.defenses.training.loop import train_by, with_settings
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender


class WeightDecay(TrainingDefense):
    """Trains with this weight decay.

    Attributes:
        decay: λ, of the matrices other than the item table.
    """

    name: ClassVar[str] = "weight-decay"
    source: ClassVar[str] = "Loshchilov and Hutter, ICLR 2019 (arXiv 1711.05101)"
    weaknesses: ClassVar[str] = (
        "Regularises; it aims at no attack. Smaller matrices make a smoother model, but the item table, which is what "
        "an attacker of embeddings moves in, may grow in their stead."
    )
    assumptions: ClassVar[str] = "The undefended model overfits, or its matrices are larger than they need be."
    cost: ClassVar[Cost] = "negligible"

    decay: float = Field(default=0.1, gt=0)

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` with another setting.

        Raises:
            NotApplicable: it has no such setting.
        """
        changed = with_settings(self.name, recommender, weight_decay=self.decay)
        return train_by(self.name, changed, log, seed=seed, share=share)
