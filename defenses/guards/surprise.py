"""A guard that drops the positions of a sequence that its neighbours make improbable.

The leave-one-out surprise −log p(x_i | x_{i−1}, x_{i+1}) of a first-order Markov model, as a geometric mean of the two
conditionals,

    s_i = −½ [log p(x_i | x_{i−1}) + log p(x_i | x_{i+1})],   one term at the ends,
    p(x | y) = (count(y, x) + α p(x)) / (count(y) + α),   p(x) = (count(x) + 1) / (rows + n_items),

against the 1 − `rate` quantile of the same number on the train rows, each row's own count left out (else the clean
quantile would be that of memorised pairs). The most surprising position above the threshold is dropped, its neighbours
close up, and so on, up to max(1, ⌊`most` · L⌋) times; sequences of fewer than three items are left alone, since of two
items that do not fit nobody can say which is wrong.

Source: a baseline of our own, after the language-model filter ONION (Qi et al., EMNLP 2021).
Known deviation: ONION scores a word by the sentence's perplexity without it; here the two neighbours suffice.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from robust.defense import InputGuard
from robust.defenses.guards.transitions import Transitions
from robust.defenses.guards.worst_first import drop_worst_first
from robust.errors import RobustError
from robust.log import Int32, InteractionLog, SequenceBatch


class Surprise(InputGuard):
    """Drops positions above the clean quantile of surprise.

    Attributes:
        rate: share of the train rows that lie above the threshold. most: largest share of a sequence dropped.
        smoothing: α, pseudo-counts of the popularity prior.
    """

    name: ClassVar[str] = "surprise"
    source: ClassVar[str] = "own baseline; after Qi et al. (ONION), EMNLP 2021"
    assumptions: ClassVar[str] = (
        "Genuine sequences mostly repeat transitions of the train rows, and an edit breaks both of its own."
    )
    weaknesses: ClassVar[str] = (
        "Knows pairs of neighbours only: a substitute that often follows and precedes its neighbours passes, and an "
        "attacker who looks through the guard finds such items. Two adjacent substitutes support each other, and pairs "
        "planted in the train rows count as normal. Rare but genuine transitions are dropped: at the stated rate where "
        "they are new, hardly ever in the very histories that were counted, so the price measured on those is too low."
    )

    rate: float = Field(default=0.01, gt=0, lt=1)
    most: float = Field(default=0.1, gt=0, lt=1)
    smoothing: float = Field(default=1.0, gt=0)

    _transitions: Transitions | None = PrivateAttr(default=None)
    _threshold: float = PrivateAttr(default=np.inf)

    @property
    def threshold(self) -> float:
        """Surprise in nats above which a position may be dropped; ∞ before `calibrate`."""
        return self._threshold

    def calibrate(self, log: InteractionLog, seed: int) -> Surprise:
        """A guard that has counted these rows; nothing is random, so `seed` goes unused."""
        guard = self.model_copy()
        guard._transitions = Transitions.count(log, self.smoothing)
        usual = guard._transitions.own_surprise(log)
        guard._threshold = float(np.quantile(usual, 1 - self.rate)) if len(usual) else np.inf
        return guard

    def surprise(self, sequences: SequenceBatch) -> NDArray[np.float64]:
        """float64 [B, L] in nats; −∞ at padding and where there is no neighbour.

        Raises:
            RobustError: the guard has not been calibrated.
        """
        if self._transitions is None:
            raise RobustError(f"Guard '{self.name}' has not seen a log: call calibrate(log, seed) first.")
        return self._transitions.surprise(sequences.items)

    def guard(self, sequences: SequenceBatch) -> Int32:
        """int32 [B, L], dropped positions 0."""
        return drop_worst_first(
            sequences.items, lambda items: self.surprise(SequenceBatch(items)), self._threshold, self.most
        )
