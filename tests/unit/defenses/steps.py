"""Real training steps of small victims, and what an objective was asked on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.log import InteractionLog
from robust.recommenders.dropout import OFF, Dropout
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.objective import Softmax, Step, make_step
from robust.recommenders.recurrent import GRU4Rec
from robust.recommenders.windows import batches, cut
from tests.toys import chain_log

SMALL: dict[str, Any] = {"context": 8, "dimension": 8, "max_steps": 3, "min_steps": 3, "batch_size": 8}
FULL = chain_log(users=14, n_items=15, length=9, noise=0.3)
RAGGED = FULL.rows(FULL.position < 3 + FULL.user % 6)


def a_step(
    kind: type[NeuralRecommender] = GRU4Rec, *, replay: int = 0, dropout: float = 0.0, **settings: Any
) -> tuple[NeuralRecommender, Step]:
    """A victim trained a little, whose weights ask for gradients, and one step on windows of unequal length."""
    model = kind(**SMALL | settings).fit(FULL, seed=1)
    model.encoder.requires_grad_(True)
    return model, step_of(model, replay=replay, dropout=dropout)


def step_of(model: NeuralRecommender, *, replay: int = 0, dropout: float = 0.0, seed: int = 0) -> Step:
    rng = np.random.default_rng(0)
    (batch,) = batches(RAGGED, cut(RAGGED, 8, rng), 100, rng)
    generator = torch.Generator().manual_seed(seed)
    off = Dropout(dropout, generator) if dropout else OFF
    softmax = Softmax(RAGGED, model.settings, torch.device("cpu"))
    return make_step(model.encoder, batch, softmax, off, generator, replay=replay)


def watched(step: Step) -> tuple[Step, list[Tensor]]:
    """The step, and all embeddings that anything was asked about."""
    seen: list[Tensor] = []

    def watch(inner: Callable[..., Tensor]) -> Any:
        def asked(embeddings: Tensor, *more: Any, **named: Any) -> Tensor:
            seen.append(embeddings.detach())
            return inner(embeddings, *more, **named)

        return asked

    return replace(step, loss=watch(step.loss), losses=watch(step.losses), logits=watch(step.logits)), seen


def plain_loss(model: NeuralRecommender, step: Step, embeddings: Tensor, table: Tensor | None = None) -> Tensor:
    """The textbook loss of a causal victim, window by window."""
    table = model.encoder.table if table is None else table
    total, first = torch.zeros(()), 0
    for window, mask in zip(embeddings, step.mask, strict=True):
        length = int(mask.sum())
        hidden = model.encoder(window[None, :length], torch.tensor([length]), OFF)[0]
        targets = step.targets[first : first + length] - 1
        total = total + F.cross_entropy(hidden @ table[1:].T, targets, reduction="sum")
        first += length
    return total / len(step.targets)


def unit(gradient: Tensor) -> Tensor:
    direction: Tensor = gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(1e-20)
    return direction


def columns_of(log: InteractionLog) -> bytes:
    return log.user.tobytes() + log.item.tobytes() + log.timestamp.tobytes()
