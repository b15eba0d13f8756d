"""SASRec: self-attention over a sequence's items.

Kang and McAuley 2018, "Self-Attentive Sequential Recommendation", section III: learned positions, counted from the
newest item; causal self-attention and a point-wise feed-forward network per block; scores by the item table, tied.

Deviations: layer normalisation stands before attention *and* its residual branch (pre-norm; the paper normalises only
the query); no dropout on attention weights, only on what a block adds; the loss is a softmax over items, where the
paper has binary cross-entropy with one negative (Klenitskiy and Vasilev 2023 show what that costs).
"""

from __future__ import annotations

from typing import ClassVar, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from robust.recommenders.attention import Block
from robust.recommenders.dropout import Dropout
from robust.recommenders.encoder import Encoder, chunks
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.replaced_attention import ReplacedAttention
from robust.recommenders.settings import TrainingSettings


class SASRecSettings(TrainingSettings):
    """Settings of SASRec; smaller and more steps than a recurrent cell, which would lose its speed by them.

    Attributes:
        blocks: attention blocks. heads: per block; they divide `dimension`.
    """

    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    max_steps: int = Field(default=5000, ge=1)
    blocks: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dimension % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide dimension ({self.dimension})")
        return self


class _SelfAttention(Encoder):
    tables: ClassVar[frozenset[str]] = frozenset({"table", "positions"})

    def __init__(self, n_items: int, settings: SASRecSettings) -> None:
        super().__init__()
        self.scale = settings.dimension**0.5
        self.table = nn.Parameter(torch.empty(n_items + 1, settings.dimension))
        self.positions = nn.Parameter(torch.empty(settings.context, settings.dimension))  # row 0: the newest item
        self.blocks = nn.ModuleList(Block(settings.dimension, settings.heads) for _ in range(settings.blocks))
        self.norm = nn.LayerNorm(settings.dimension)

    def forward(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        place = torch.arange(embeddings.shape[1], device=embeddings.device)
        from_newest = (lengths.unsqueeze(1) - 1 - place).clamp(min=0)
        states = dropout(embeddings * self.scale + F.embedding(from_newest, self.positions))
        for block in self.blocks:
            states = block(states, dropout)
        normed: Tensor = self.norm(states)
        return normed

    def replaced_last_states(self, embeddings: Tensor, position: int, candidates: Tensor) -> Tensor:
        """As `Encoder.replaced_last_states`; `replaced_attention` says what is left out."""
        from_newest = torch.arange(len(embeddings) - 1, -1, -1, device=embeddings.device)
        states = embeddings * self.scale + self.positions[from_newest]
        replaced = candidates * self.scale + self.positions[from_newest[position]]
        attention = ReplacedAttention(cast(list[Block], list(self.blocks)), states, position)
        parts = chunks(replaced, states[position:].numel())
        newest: Tensor = self.norm(torch.cat([attention.newest(part) for part in parts]))
        return newest


class SASRec(NeuralRecommender):
    """A two-block SASRec by default; see `SASRecSettings` for its keyword arguments."""

    settings_type: ClassVar[type[TrainingSettings]] = SASRecSettings
    settings: SASRecSettings

    def _encoder(self, n_items: int) -> Encoder:
        return _SelfAttention(n_items, self.settings)
