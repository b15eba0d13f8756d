"""A guard that drops the items of a sequence that lie apart from their neighbours in the recommender's own space.

    c_i = cos(E[x_i], mean of E[x_j], 0 < |i − j| ≤ `window`),   dropped if c_i < τ,

E the item embeddings of the recommender that it protects, and τ the `rate` quantile of c over the train rows. The
lowest goes first, its neighbours close up, and so on (`worst_first`).

Source: a baseline of our own; the similarity is that which Yue et al., "Defending Substitution-Based Profile Pollution
Attacks on Sequential Recommenders", RecSys 2022, hold a substitute to.
Known deviation: they compare a substitute with what it replaces, which a guard does not know; here with its neighbours.
"""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from robust.defense import InputGuard
from robust.defenses.guards.worst_first import drop_worst_first
from robust.errors import NotApplicable, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Differentiable, Recommender, capabilities

Float64 = NDArray[np.float64]
ROWS = 16_384
"""Train rows whose neighbourhoods are looked at together."""


class NeighbourCosine(InputGuard):
    """Drops positions whose cosine to their neighbours lies below the clean quantile.

    Attributes:
        rate: share of the train rows that lie below the threshold. most: largest share of a sequence dropped.
        window: how many neighbours count, on each side.
    """

    name: ClassVar[str] = "neighbour-cosine"
    source: ClassVar[str] = "own baseline; the similarity of Yue et al., RecSys 2022 (arXiv 2207.11237)"
    weaknesses: ClassVar[str] = (
        "A substitute that is similar to its neighbours passes, and an attacker who holds the embeddings picks among "
        "such items. Where embeddings do not cluster (few dimensions, a model that learns order rather than taste), "
        "cosines of genuine and strange items overlap, and it drops by chance. The threshold is a quantile of rows "
        "that the model was fitted to, whose cosines are higher than those of new ones."
    )
    assumptions: ClassVar[str] = "Genuine neighbours are similar in the recommender's own space."
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "gradients"})

    rate: float = Field(default=0.01, gt=0, lt=1)
    most: float = Field(default=0.1, gt=0, lt=1)
    window: int = Field(default=2, ge=1)

    _table: NDArray[np.float32] | None = PrivateAttr(default=None)
    _threshold: float = PrivateAttr(default=-np.inf)

    @property
    def threshold(self) -> float:
        """The cosine below which a position may be dropped; −∞ before `calibrate`."""
        return self._threshold

    def looking_at(self, recommender: Recommender) -> NeighbourCosine:
        """A guard that goes by this recommender's item embeddings.

        Raises:
            NotApplicable: it has none.
        """
        if "gradients" not in capabilities(recommender):
            raise NotApplicable(f"guard '{self.name}' needs a recommender that shows its item embeddings")
        guard = self.model_copy()
        table = cast(Differentiable, recommender).item_embeddings.detach().cpu().numpy().astype(np.float32)
        size = np.linalg.norm(table, axis=1, keepdims=True)
        guard._table = np.where(np.arange(len(table))[:, None] > 0, table, 0) / np.maximum(size.max(), 1e-30)
        return guard

    def calibrate(self, log: InteractionLog, seed: int) -> NeighbourCosine:
        """A guard with the clean quantile of these rows; nothing is random, so `seed` goes unused."""
        guard = self.model_copy()
        usual = self._own_cosines(log)
        guard._threshold = float(np.quantile(usual, self.rate)) if len(usual) else -np.inf
        return guard

    def cosines(self, items: Int32) -> Float64:
        """float64 [B, L] for left-padded items [B, L]; +∞ at padding and where there is no neighbour.

        Raises:
            RobustError: the guard knows no embeddings.
        """
        if self._table is None:
            raise RobustError(
                f"Guard '{self.name}' knows no item embeddings: call protect(recommender, log=…), or "
                "looking_at(recommender) before calibrate."
            )
        own = self._table[items]
        beside = np.zeros_like(own)
        for step in range(1, min(self.window, items.shape[1] - 1) + 1):
            beside[:, step:] += own[:, :-step]
            beside[:, :-step] += own[:, step:]
        product = (own * beside).sum(axis=2, dtype=np.float64)
        sizes = np.linalg.norm(own, axis=2).astype(np.float64) * np.linalg.norm(beside, axis=2)
        return np.where(sizes > 0, product / np.where(sizes > 0, sizes, 1), np.inf)

    def _own_cosines(self, log: InteractionLog) -> Float64:
        """float64 [m], the cosine of every row that has a neighbour."""
        # one long line with a gap between users, cut into pieces that overlap by a window on both sides
        places = np.arange(len(log)) + log.user.astype(np.int64) * self.window
        line = np.zeros(len(log) + log.n_users * self.window, dtype=np.int32)
        line[places] = log.item
        found = []
        for start in range(0, len(line), ROWS):
            left = max(start - self.window, 0)
            piece = self.cosines(line[None, left : start + ROWS + self.window])[0]
            found.append(piece[start - left : start - left + ROWS])
        cosines = np.concatenate(found) if found else np.zeros(0)
        return np.asarray(cosines[np.isfinite(cosines)])

    def guard(self, sequences: SequenceBatch) -> Int32:
        """int32 [B, L], dropped positions 0."""
        known = (sequences.items >= 0) & (sequences.items < len(self._table)) if self._table is not None else True
        items = np.where(known, sequences.items, np.int32(0))
        return drop_worst_first(items, lambda rows: -self.cosines(rows), -self._threshold, self.most)
