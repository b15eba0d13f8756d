"""A block of causal self-attention, as SASRec stacks them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust.recommenders.dropout import Dropout


class Block(nn.Module):
    """Attention and a point-wise feed-forward network, each after a layer norm and beside a residual branch."""

    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dimension)
        self.query_key_value = nn.Linear(dimension, 3 * dimension)
        self.output = nn.Linear(dimension, dimension)
        self.feed_forward_norm = nn.LayerNorm(dimension)
        self.inner = nn.Linear(dimension, dimension)
        self.outer = nn.Linear(dimension, dimension)

    def forward(self, states: Tensor, dropout: Dropout) -> Tensor:
        query, key, value = self.project(states)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.feed_forward(states + dropout(self.output(attended.transpose(1, 2).flatten(2))), dropout)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B, heads, L, D / heads], of states [B, L, D]."""
        batch, length, dimension = states.shape
        mixed: Tensor = self.query_key_value(self.attention_norm(states))
        heads = mixed.view(batch, length, 3, self.heads, dimension // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        return query, key, value

    def feed_forward(self, states: Tensor, dropout: Dropout) -> Tensor:
        """States [.., D] and what the feed-forward network adds to them."""
        inner = torch.relu(self.inner(self.feed_forward_norm(states)))
        return states + dropout(self.outer(inner))
