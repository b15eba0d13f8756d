"""Near-ties in an order that only the service knows.

Every score gets a uniform draw from [0, η·s), s the standard deviation of the scores of its row: items whose gap is at
least η·s keep their order, closer ones may change places. The draws follow from a secret seed, what was asked and the
item (`robust.defense.noise`), so that asking again shows nothing new. Scores are served with their noise.

Source: a baseline of our own, after the randomised answers of Kariyappa and Qureshi, "Defending Against Model Stealing
Attacks with Adaptive Misinformation", CVPR 2020 (the idea only: theirs depends on how unusual a question is).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.defense import Callers, ServingDefense
from robust.defense.noise import keyed_uniform
from robust.log import Int32, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.protocols import Capability, Float32


class ShuffledTies(ServingDefense):
    """Adds noise to scores that only moves near-ties.

    Attributes:
        eta: η, the largest gap that may be turned around, in standard deviations of a row's scores.
    """

    name: ClassVar[str] = "shuffled-ties"
    source: ClassVar[str] = "own baseline; after Kariyappa and Qureshi, CVPR 2020"
    weaknesses: ClassVar[str] = (
        "An attack that moves scores by more than η passes. Each edit of a history draws anew, so a search by lists "
        "may pick a draw that suits it. Who holds the weights aims at the scores without the noise."
    )
    assumptions: ClassVar[str] = "What an attacker learns or gains lies in differences of scores below η."
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})

    eta: float = Field(default=0.1, gt=0, le=10)

    def blur(self, scores: Float32, sequences: SequenceBatch, callers: Callers, seed: int) -> Float32:
        """The scores with their noise; −∞ stays."""
        ranked = scores[:, 1:].astype(np.float64)
        finite = np.isfinite(ranked)
        count = np.maximum(finite.sum(axis=1, keepdims=True), 1)
        mean = np.where(finite, ranked, 0).sum(axis=1, keepdims=True) / count
        size = np.sqrt(((np.where(finite, ranked, mean) - mean) ** 2).sum(axis=1, keepdims=True) / count)
        noisy = scores.copy()
        draws = keyed_uniform(seed, sequences.items, ranked.shape[1])
        noisy[:, 1:] = ranked + self.eta * size * draws
        return noisy

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        """Lists by the noisy scores."""
        assert scores is not None  # it needs scores
        return top_k(self.blur(scores, sequences, callers, seed), lists.shape[1])
