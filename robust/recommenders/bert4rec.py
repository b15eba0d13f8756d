"""BERT4Rec: attention in both directions over a sequence, some of whose items are hidden.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer", CIKM
2019. In training a share of a window's items is replaced by a mask and predicted from all that is left, before and
after (the cloze task); in some windows only the newest is. To rank, a mask is appended to the sequence. A block is
attention and a feed-forward layer with GELU, each followed by dropout, a residual branch and layer normalisation. The
output is one more layer with GELU, and the item table, tied.

The mask is a parameter of its own and has no item number: no sequence can hold it, and an attacker who perturbs
embeddings does not reach it. Only masks are asked in the last block, since nothing else is predicted.

Known deviations: feed-forward layers of D units; the paper's 4 D learnt ml-1m more slowly, in steps and in time; no
dropout on attention weights, no bias per item; positions are counted from the newest item; masks are drawn anew for
every window of every epoch, where the release draws ten copies of the log once. States at all positions (`forward`)
are those of a mask after each prefix, so that they know the past only; training needs none.
Petrov and Macdonald, "A Systematic Review and Replicability Study of BERT4Rec", RecSys 2022: the release's default
settings miss the published figures, which need up to 30 times as much training. A fit here is far shorter than either.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from robust.recommenders.dropout import OFF, Dropout
from robust.recommenders.encoder import Encoder
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.task import Task
from robust.recommenders.windows import Batch


class BERT4RecSettings(TrainingSettings):
    """Settings of BERT4Rec.

    Attributes:
        blocks: attention blocks. heads: per block; they divide `dimension`.
        mask_share: share of a window's items that are hidden, at least one and never all.
        last_share: share of the windows of which only the newest item is hidden, as when ranking.
    """

    batch_size: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    max_epochs: int = Field(default=30, ge=1)
    max_steps: int = Field(default=16_000, ge=1)
    blocks: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    mask_share: float = Field(default=0.4, gt=0, lt=1)
    last_share: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dimension % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide dimension ({self.dimension})")
        return self


class _Block(nn.Module):
    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dimension, dimension)
        self.key_value = nn.Linear(dimension, 2 * dimension)
        self.output = nn.Linear(dimension, dimension)
        self.attention_norm = nn.LayerNorm(dimension)
        self.inner = nn.Linear(dimension, dimension)
        self.outer = nn.Linear(dimension, dimension)
        self.feed_forward_norm = nn.LayerNorm(dimension)

    def forward(self, asking: Tensor, states: Tensor, seen: Tensor | None, dropout: Dropout) -> Tensor:
        """[B, Q, D], new states of `asking` [B, Q, D], which attend to `states` [B, S, D] where `seen` [B, 1, 1, S]."""
        query = self._split(self.query(asking))
        key, value = self._split(self.key_value(states)).chunk(2, dim=3)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        states = self.attention_norm(asking + dropout(self.output(attended.transpose(1, 2).flatten(2))))
        normed: Tensor = self.feed_forward_norm(states + dropout(self.outer(F.gelu(self.inner(states)))))
        return normed

    def _split(self, mixed: Tensor) -> Tensor:
        return mixed.view(*mixed.shape[:2], self.heads, -1).transpose(1, 2)  # [B, heads, S, …]


class _Bidirectional(Encoder):
    tables: ClassVar[frozenset[str]] = frozenset({"table", "positions", "mask"})

    def __init__(self, n_items: int, settings: BERT4RecSettings) -> None:
        super().__init__()
        dimension = settings.dimension
        self.scale, self.settings = dimension**0.5, settings
        self.table = nn.Parameter(torch.empty(n_items + 1, dimension))
        self.mask = nn.Parameter(torch.empty(dimension))
        self.positions = nn.Parameter(torch.empty(settings.context + 1, dimension))  # row 0: the newest
        self.norm = nn.LayerNorm(dimension)
        self.blocks = nn.ModuleList(_Block(dimension, settings.heads) for _ in range(settings.blocks))
        self.output = nn.Linear(dimension, dimension)
        self.output_norm = nn.LayerNorm(dimension)

    def fill(self, embeddings: Tensor, lengths: Tensor, places: Tensor, dropout: Dropout) -> Tensor:
        """[B, Q, D], what stands at the masks, from embeddings [B, S, D] aligned to the left.

        Args:
            lengths: int64 [B], masks included. places: int64 [B, Q], where the masks are; one may be named twice.
        """
        place = torch.arange(embeddings.shape[1], device=embeddings.device)
        from_newest = (lengths.unsqueeze(1) - 1 - place).clamp(min=0)
        masked = torch.zeros_like(from_newest, dtype=torch.bool).scatter_(1, places, True).unsqueeze(2)
        shown = torch.where(masked, self.mask, embeddings) + F.embedding(from_newest, self.positions)
        states = dropout(self.norm(shown * self.scale))
        seen = (place < lengths.unsqueeze(1)).view(len(lengths), 1, 1, -1)
        seen_or_all = None if bool(seen.all()) else seen
        *inner, last = self.blocks
        for block in inner:
            states = block(states, states, seen_or_all, dropout)
        asking = states.gather(1, places.unsqueeze(2).expand(-1, -1, states.shape[2]))
        hidden: Tensor = self.output_norm(F.gelu(self.output(last(asking, states, seen_or_all, dropout))))
        return hidden

    def last_state(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """[B, D], the state of a mask after the newest item, without dropout; zero where a row is empty."""
        return self._next(embeddings, lengths, OFF) * (lengths > 0).unsqueeze(1)

    def _next(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        """[B, D], the state of a mask after the last item of each row."""
        return self.fill(F.pad(embeddings, (0, 0, 0, 1)), lengths + 1, lengths.unsqueeze(1), dropout).squeeze(1)

    def forward(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        """[B, L, D], the state of a mask after each prefix: L sequences for one."""
        batch, length, _ = embeddings.shape
        prefixes = embeddings.repeat_interleave(length, dim=0)
        ends = torch.arange(1, length + 1, device=embeddings.device).repeat(batch)
        return self._next(prefixes, ends, dropout).view(batch, length, -1)

    def task(self, batch: Batch, generator: torch.Generator) -> Task:
        """The cloze task on each window and its last target."""
        items, targets = (
            torch.from_numpy(part).to(self.table.device, torch.int64) for part in (batch.items, batch.targets)
        )
        ends = torch.from_numpy(batch.lengths).to(self.table.device).unsqueeze(1)
        whole = F.pad(items, (0, 1)).scatter(1, ends, targets.gather(1, ends - 1))
        lengths = ends.squeeze(1) + 1
        places, wanted = self._hide(lengths, generator)

        def states(embeddings: Tensor, dropout: Dropout) -> Tensor:
            return self.fill(embeddings, lengths, places, dropout)[wanted]

        rows = wanted.nonzero()[:, 0]
        return Task(whole.scatter(1, places, 0), whole.gather(1, places)[wanted] - 1, rows, states)

    def _hide(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The places to hide, int64 [B, Q], and bool [B, Q], False where a row has fewer and its first is repeated."""
        shape = (len(lengths), int(lengths.max()))
        only_last = torch.rand(shape[0], generator=generator, device=generator.device) < self.settings.last_share
        count = (lengths * self.settings.mask_share).round().long().clamp(min=1).minimum(lengths - 1)
        count = torch.where(only_last, 1, count)
        place = torch.arange(shape[1], device=lengths.device)
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        drawn[only_last] = (lengths[only_last].unsqueeze(1) - 1 - place).abs().to(drawn)  # the newest comes first
        order = drawn.masked_fill(place >= lengths.unsqueeze(1), torch.inf).argsort(dim=1)[:, : int(count.max())]
        wanted = torch.arange(order.shape[1], device=lengths.device) < count.unsqueeze(1)
        return torch.where(wanted, order, order[:, :1]), wanted


class BERT4Rec(NeuralRecommender):
    """A two-block BERT4Rec by default; see `BERT4RecSettings` for its keyword arguments."""

    settings_type: ClassVar[type[TrainingSettings]] = BERT4RecSettings
    settings: BERT4RecSettings

    def _encoder(self, n_items: int) -> Encoder:
        return _Bidirectional(n_items, self.settings)
