"""A recommender with another item table, for attacks on the table itself; an optional ability, and no capability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robust.errors import NotApplicable
from robust.recommenders.protocols import Differentiable, Recommender, Retabled

if TYPE_CHECKING:
    import torch


def with_item_embeddings(recommender: Recommender, table: torch.Tensor) -> Differentiable:
    """The recommender with another item table [n_items + 1, D]; itself it stays as it was.

    Raises:
        NotApplicable: it has no `with_item_embeddings`, so only its embedded sequences can be moved.
    """
    if not isinstance(recommender, Retabled):
        raise NotApplicable(
            "needs a recommender whose item table can be replaced: this one has no with_item_embeddings(table)"
        )
    return recommender.with_item_embeddings(table)
