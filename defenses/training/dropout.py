"""A higher rate of dropout than the recommender's own: the cheapest defence there is, for others to beat.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014. Nothing but a setting
of the training loop is changed, and only while training.

Known deviations: none; where a recommender drops is its own matter (here: embeddings and block outputs).
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from robust.defense import TrainingDefense
from robust.defense.base import Cost
from robust.defenses.training.loop import train_by, with_settings
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender


class Dropout(TrainingDefense):
    """Trains with this rate of dropout.

    Attributes:
        rate: share of the elements that are dropped, in steps of 1/256.
    """

    name: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Srivastava et al., JMLR 2014"
    weaknesses: ClassVar[str] = (
        "Regularises; it aims at no attack. The noise is random and gone when the model is served, so an attacker "
        "meets an ordinary model."
    )
    assumptions: ClassVar[str] = "The undefended model overfits."
    cost: ClassVar[Cost] = "negligible"

    rate: float = Field(default=0.5, gt=0, lt=1)

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` with another setting.

        Raises:
            NotApplicable: it has no such setting.
        """
        changed = with_settings(self.name, recommender, dropout=self.rate)
        return train_by(self.name, changed, log, seed=seed, share=share)
