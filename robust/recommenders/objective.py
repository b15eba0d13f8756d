"""One batch of windows as a training objective sees it: what a training defence minimises is a function of a `Step`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.log import InteractionLog
from robust.recommenders.cross_entropy import (
    Negatives,
    candidate_logits,
    cross_entropy,
    position_losses,
    sampled_cross_entropy,
)
from robust.recommenders.dropout import Dropout
from robust.recommenders.encoder import Encoder
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.windows import Batch


class Loss(Protocol):
    """The scalar mean loss over all target positions, from embeddings [B, L, D], with dropout on.

    A weighted mean where constant `weights` [P] are given: one per target position, see `Step.rows`.
    """

    def __call__(self, embeddings: Tensor, weights: Tensor | None = None) -> Tensor:
        """A scalar with a gradient."""
        ...


class Logits(Protocol):
    """Scores of the candidates at every target position, from embeddings [B, L, D], with dropout on."""

    def __call__(self, embeddings: Tensor, temperature: float = 1.0) -> Tensor:
        """[P, C], divided by the temperature before a sampled softmax's correction is added; with a gradient."""
        ...


@dataclass(frozen=True)
class Step:
    """One batch of windows, as a training objective sees it. Windows are aligned to the left; padding follows them.

    Attributes:
        embeddings: [B, L, D], the embedded items; gradients flow to the item table.
        items: int64 [B, L], what is shown, 0 where no item is (padding, or hidden by a cloze task).
        mask: bool [B, L], True at items.
        table: [n_items + 1, D], the item table.
        users: int64 [B], whose windows they are: dense numbers of the log that is fitted to.
        rows: int64 [P], the window of each target position. targets: int64 [P], the items to predict, counted from 1.
        generator: for an objective's own randomness.
        loss: the mean loss from embeddings.
        losses: the loss of each target position [P] from embeddings, without a gradient.
        logits: from embeddings to [P, C], with a gradient: scores of all items, or with a sampled softmax of the
            target first and the negatives after it. The same columns in every call within a step.
        columns: int64 [P], where each position's target stands among the logits.
        loss_at: the mean loss with another item table [n_items + 1, D], on the input's and the output's side.
        through: this batch, its task and its negatives through another encoder of the same kind (a teacher).
        number, of: this is step `number` (from 0) of at most `of`. replay: how often this batch came before.
    """

    embeddings: Tensor
    items: Tensor
    mask: Tensor
    table: Tensor
    users: Tensor
    rows: Tensor
    targets: Tensor
    generator: torch.Generator
    loss: Loss
    losses: Callable[[Tensor], Tensor]
    logits: Logits
    columns: Tensor
    loss_at: Callable[[Tensor], Tensor]
    through: Callable[[Encoder], Step]
    number: int = 0
    of: int = 1
    replay: int = 0


Objective = Callable[[Step], Tensor]


def plain(step: Step) -> Tensor:
    """The undefended objective."""
    return step.loss(step.embeddings)


class Softmax:
    """The output layer's loss: full, or sampled with negatives that one step shares.

    Negatives are drawn by popularity to the power of 3/4, plus one for items without rows: they are negatives too.
    """

    def __init__(self, log: InteractionLog, settings: TrainingSettings, device: torch.device) -> None:
        few = log.n_items <= settings.full_softmax_items
        self.full = settings.loss == "full" or (settings.loss == "auto" and few)
        self.count = settings.negatives
        self.weights = torch.from_numpy((log.popularity[1:] + 1.0) ** 0.75).to(device)

    def draw(self, generator: torch.Generator) -> Negatives | None:
        """Negatives for one step; None for the full softmax."""
        return None if self.full else Negatives.draw(self.weights, self.count, generator)

    def __call__(
        self,
        hidden: Tensor,
        items: Tensor,
        targets: Tensor,
        negatives: Negatives | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        if negatives is None:
            return cross_entropy(hidden, items, targets, weights)
        return sampled_cross_entropy(hidden, items, targets, negatives, weights)


def make_step(
    encoder: Encoder,
    batch: Batch,
    softmax: Softmax,
    dropout: Dropout,
    generator: torch.Generator,
    *,
    number: int = 0,
    of: int = 1,
    replay: int = 0,
) -> Step:
    """One batch as an objective sees it; negatives are drawn once, dropout anew with every call of `loss`."""
    drawn_from = generator.get_state()
    task = encoder.task(batch, generator)
    negatives = softmax.draw(generator)
    items = encoder.table[1:]

    def loss(embeddings: Tensor, weights: Tensor | None = None) -> Tensor:
        return softmax(task.states(embeddings, dropout), items, task.targets, negatives, weights)

    def losses(embeddings: Tensor) -> Tensor:
        with torch.no_grad():
            return position_losses(task.states(embeddings, dropout), items, task.targets, negatives)

    def logits(embeddings: Tensor, temperature: float = 1.0) -> Tensor:
        states = task.states(embeddings, dropout)
        return candidate_logits(states if temperature == 1 else states / temperature, items, task.targets, negatives)

    def loss_at(table: Tensor) -> Tensor:
        embeddings = F.embedding(task.items, table, padding_idx=0)
        return softmax(task.states(embeddings, dropout), table[1:], task.targets, negatives)

    def through(other: Encoder) -> Step:
        again = torch.Generator(generator.device)
        again.set_state(drawn_from)
        return make_step(other, batch, softmax, Dropout(0.0, again), again, number=number, of=of, replay=replay)

    return Step(
        embeddings=F.embedding(task.items, encoder.table, padding_idx=0),
        items=task.items,
        mask=task.items != 0,
        table=encoder.table,
        users=torch.from_numpy(batch.users).to(encoder.table.device),
        rows=task.rows,
        targets=task.targets + 1,
        generator=generator,
        loss=loss,
        losses=losses,
        logits=logits,
        columns=task.targets if negatives is None else torch.zeros_like(task.targets),
        loss_at=loss_at,
        through=through,
        number=number,
        of=of,
        replay=replay,
    )
