"""What one training step asks of an encoder: what it is shown, and what it has to predict from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robust.recommenders.dropout import Dropout
from robust.recommenders.windows import Batch


@dataclass(frozen=True)
class Task:
    """One batch of windows, made into a question.

    Attributes:
        items: int64 [B, L], what is shown, aligned to the left; 0 where no item is.
        targets: int64 [P], the items to predict, counted from 0. rows: int64 [P], the window that each belongs to.
        states: from the embedded items [B, L, D] and dropout to the states [P, D] that predict them.
    """

    items: Tensor
    targets: Tensor
    rows: Tensor
    states: Callable[[Tensor, Dropout], Tensor]


def next_items(encoder: Callable[[Tensor, Tensor, Dropout], Tensor], batch: Batch, device: torch.device) -> Task:
    """The next item at every position of every window, for an encoder whose states are causal."""
    items = torch.from_numpy(batch.items.astype(np.int64)).to(device)
    lengths = torch.from_numpy(batch.lengths).to(device)
    positions = (items != 0).flatten().nonzero().squeeze(1)
    targets = torch.from_numpy(batch.targets.astype(np.int64)).to(device).flatten()[positions] - 1

    def states(embeddings: Tensor, dropout: Dropout) -> Tensor:
        hidden = encoder(embeddings, lengths, dropout).flatten(0, 1)
        return hidden if len(positions) == len(hidden) else hidden[positions]

    return Task(items, targets, positions // items.shape[1], states)
