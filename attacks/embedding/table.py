"""One delta of the item table for all users: its budget, and the harm that it does."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.attacks.embedding.harm import Chunk
from robust.errors import NotApplicable
from robust.perturbation import Ball
from robust.threat import Budget


def ball_of_rows(budget: Budget) -> Ball:
    """ε bounds each row of the table.

    Raises:
        NotApplicable: the budget bounds whole sequences, and a table is none.
    """
    if budget.per == "sequence" and budget.norm != "linf":
        raise NotApplicable("a table moves row by row: its budget says `per: position`, which bounds each item")
    return Ball(budget.epsilon or 0.0, budget.norm)


def rows_to_move(table: Tensor) -> tuple[Tensor, Tensor]:
    """A delta of zero [1, n_items + 1, D], and its mask [1, n_items + 1, 1], 0 at padding."""
    mask = torch.ones_like(table[None, :, :1])
    mask[:, 0] = 0
    return torch.zeros_like(table[None]), mask


def harm_of_table(chunk: Chunk, delta: Tensor) -> Tensor:
    """[b], what a delta [1, n_items + 1, D] does to these users, from the input's side and, if tied, the output's."""
    moved = chunk.model.with_item_embeddings(chunk.model.item_embeddings + delta[0])
    return chunk.objective(moved.score_embeddings(moved.embed(chunk.sequences), chunk.sequences))
