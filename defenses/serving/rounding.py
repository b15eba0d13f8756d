"""Scores rounded to some decimals, lists in the order of the rounded scores.

Tramèr et al., "Stealing Machine Learning Models via Prediction APIs", USENIX Security 2016, section 7.2: rounding of
confidences makes extraction dearer. Lists follow the rounded scores, equal ones by item id, so that what is served
shows nothing finer than the stated decimals.

Known deviations: scores of a ranking have no scale of their own, so what a decimal means is for the owner to judge;
the paper rounds probabilities.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.defense import Callers, ServingDefense
from robust.log import Int32, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.protocols import Capability, Float32


class Rounding(ServingDefense):
    """Serves scores of so many decimals, and lists in their order.

    Attributes:
        decimals: of a served score.
    """

    name: ClassVar[str] = "rounding"
    source: ClassVar[str] = "Tramèr et al., USENIX Security 2016, section 7.2"
    weaknesses: ClassVar[str] = (
        "Takes nothing from an attack that needs lists only, and only the slope of the scores from one that follows "
        "gradients: these are straight-through, or those of the unrounded scores, for who holds the weights. Where "
        "many scores round to one value, lists lose quality for everybody."
    )
    assumptions: ClassVar[str] = "An attacker depends on small differences of scores that only the service can give."
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})

    decimals: int = Field(default=1, ge=0, le=7)

    def blur(self, scores: Float32, sequences: SequenceBatch, callers: Callers, seed: int) -> Float32:
        """The rounded scores."""
        return np.round(scores, self.decimals)

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        """Lists by the rounded scores, of equal ones the lower id first."""
        assert scores is not None  # it needs scores
        return top_k(np.round(scores, self.decimals), lists.shape[1])
