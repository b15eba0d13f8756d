"""A protected recommender as two attackers see it: one who can only ask, and one who holds the weights.

Who asks is answered by the defence as it is deployed, within what it grants a caller. Who holds the weights need not
ask: on a copy at home there is no record of callers and no limit, and what is random is averaged over draws of their
own, since the seed that is served with is no weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Capability, Float32, Recommender, capabilities

if TYPE_CHECKING:
    import torch


class Attacked:
    """What an attacker plans on; see `SeenThrough`.

    Lists and scores are those of `asked`, embeddings and gradients those of `held`. An access view whose knowledge is
    `gradients` takes `with_weights()`, where lists and scores are of `held` too.
    """

    def __init__(self, asked: Any, held: Any) -> None:
        self.asked, self.held, self.n_items = asked, held, int(asked.n_items)
        self.capabilities: frozenset[Capability] = capabilities(asked) | (capabilities(held) & {"gradients"})

    @property
    def queries_allowed(self) -> int | None:
        """How many lists one caller may ask for; None = any number."""
        allowed: int | None = getattr(self.asked, "queries_allowed", None)
        return allowed

    @property
    def context(self) -> int:
        """How many of the newest items are read; 0 where it is not said."""
        return int(getattr(self.asked, "context", 0) or 0)

    def with_weights(self) -> Recommender:
        """For who holds the weights: everything from their own copy."""
        held: Recommender = self.held
        return held

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], as served."""
        lists: Int32 = self.asked.recommend(sequences, k)
        return lists

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], as served, where scores are."""
        scores: Float32 = self.asked.score(sequences)
        return scores

    @property
    def item_embeddings(self) -> torch.Tensor:
        """[n_items + 1, D]."""
        table: torch.Tensor = self.held.item_embeddings
        return table

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """[B, L, D]."""
        embedded: torch.Tensor = self.held.embed(sequences)
        return embedded

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """[B, n_items + 1], with a gradient."""
        scores: torch.Tensor = self.held.score_embeddings(embeddings, sequences)
        return scores
