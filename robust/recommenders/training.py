"""The one training loop of all neural victims: next-item prediction at every position of every window.

A training defence changes what is minimised by passing an `Objective`; everything else (windows, schedule, early
stopping) stays the same, so that a defended and an undefended victim differ in nothing but the defence.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.errors import InputError
from robust.log import InteractionLog
from robust.recommenders.alignment import align_left
from robust.recommenders.allocator import tune_allocator
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
from robust.recommenders.windows import Batch, Holdout, batches, cut, hold_out

_FEWEST_VALIDATION_USERS = 20
_VALIDATION_BATCH = 256


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
Augment = Callable[[Batch, np.random.Generator], Batch]
"""Changes a batch of windows before it is made into a question; the log itself stays as it is."""


def plain(step: Step) -> Tensor:
    """The undefended objective."""
    return step.loss(step.embeddings)


class Progress(Protocol):
    """Told after every step where a fit stands."""

    def __call__(self, step: int, steps: int, note: str) -> None:
        """`step` of at most `steps` are done; `note` holds the latest validation, or is empty."""
        ...


@dataclass(frozen=True)
class Trained:
    """What a fit leaves behind: the encoder with the best weights, and how many steps were taken."""

    encoder: Encoder
    steps: int


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


def learning_rate(step: int, steps: int, warm_up: float) -> float:
    """The factor at this step (from 0): linear warm-up, then a cosine down to 0 just after the last step."""
    rise = max(round(warm_up * steps), 1)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def planned_steps(settings: TrainingSettings, log: InteractionLog) -> int:
    """How many steps a fit to these rows takes, unless it stops early."""
    per_epoch = len(cut(log, settings.context, np.random.default_rng(0)).first) / settings.batch_size
    wanted = max(math.ceil(per_epoch * settings.max_epochs), settings.min_steps)
    return min(wanted, settings.max_steps)


def train(
    encoder: Encoder,
    log: InteractionLog,
    settings: TrainingSettings,
    *,
    seed: int,
    steps: int | None = None,
    objective: Objective = plain,
    augment: Augment | None = None,
    replays: int = 1,
    progress: Progress | None = None,
) -> Trained:
    """Train `encoder` in place.

    Args:
        steps: None fits from scratch, with early stopping on a validation set made out of `log` alone. A number
            trains for exactly that many steps on all rows, with a fresh optimiser and a lower learning rate.
        augment: changes each batch, once, however often it is replayed.
        replays: consecutive steps on the same batch; the number of steps stays as it is.

    Raises:
        InputError: no user of the log has two rows, so there is no next item to learn from.
    """
    tune_allocator()
    if not np.any(log.lengths >= 2):
        raise InputError(f"{log.name}: no user has two interactions, so there is no next item to learn from.")
    rng = np.random.default_rng([seed, 0x7A])
    generator = torch.Generator(encoder.table.device).manual_seed(int(rng.integers(2**63)))
    resumed = steps is not None
    share = 0.0 if resumed else settings.validation_share
    held = hold_out(log, share, settings.validation_users, rng)
    stopping = _EarlyStopping(encoder, held, settings.patience, settings.context)
    if steps is None:
        steps = planned_steps(settings, held.train)
    peak = settings.learning_rate * (settings.resume_rate if resumed else 1.0)
    optimiser = new_optimiser(encoder, peak, settings.weight_decay)
    softmax = Softmax(held.train, settings, encoder.table.device)
    dropout = Dropout(settings.dropout, generator)
    stream = endless(held.train, settings, rng)
    done = 0
    batch = None
    for done in range(1, steps + 1):
        replay = (done - 1) % replays
        if batch is None or replay == 0:
            batch = next(stream) if augment is None else augment(next(stream), rng)
        for group in optimiser.param_groups:
            group["lr"] = peak * learning_rate(done - 1, steps, settings.warm_up)
        optimiser.zero_grad(set_to_none=True)
        step = make_step(encoder, batch, softmax, dropout, generator, number=done - 1, of=steps, replay=replay)
        objective(step).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        due = done * settings.validations // steps > (done - 1) * settings.validations // steps
        if due and stopping.enough_users and stopping.is_over():
            break
        if progress is not None:
            progress(done, steps, stopping.note)
    stopping.restore()
    encoder.zero_grad(set_to_none=True)
    return Trained(encoder, done)


def new_optimiser(encoder: Encoder, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    matrices = [p for p in encoder.parameters() if p.ndim > 1 and p is not encoder.table]
    others = [p for p in encoder.parameters() if p.ndim == 1 or p is encoder.table]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, fused=True)


def endless(log: InteractionLog, settings: TrainingSettings, rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield from batches(log, cut(log, settings.context, rng), settings.batch_size, rng)


class _EarlyStopping:
    """Watches NDCG@10 on held-out last items, ranked among all items, and keeps the best weights for `restore`."""

    def __init__(self, encoder: Encoder, held: Holdout, patience: int, context: int) -> None:
        self.encoder, self.patience, self.context = encoder, patience, context
        self.sequences = held.train.sequences(context, held.users)
        self.targets = torch.from_numpy(held.targets.astype(np.int64)).to(encoder.table.device)
        self.enough_users = len(held.users) >= _FEWEST_VALIDATION_USERS
        self.best, self.last = torch.full((len(held.users),), -1.0), torch.zeros(0)
        self.stale, self.note = 0, ""
        self.weights: dict[str, Tensor] | None = None

    def is_over(self) -> bool:
        """Validate once; whether patience has run out."""
        self.last = self.ndcg()
        self.note = f"validation NDCG@10 {self.last.mean():.3f}"
        if self.last.mean() > self.best.mean():
            self.best, self.stale = self.last, 0
            self.weights = copy.deepcopy(self.encoder.state_dict())
        else:
            self.stale += 1
        return self.stale >= self.patience

    @torch.no_grad()
    def ndcg(self) -> Tensor:
        """[V], NDCG@10 of each held-out item; ties count against the model."""
        gains = []
        for start in range(0, len(self.targets), _VALIDATION_BATCH):
            items = self.sequences.items[start : start + _VALIDATION_BATCH]
            columns, lengths = align_left(items, self.context)
            aligned = torch.from_numpy(np.take_along_axis(items, columns, axis=1).astype(np.int64)).to(
                self.targets.device
            )
            length = torch.from_numpy(lengths).to(self.targets.device)
            hidden = self.encoder.last_state(F.embedding(aligned, self.encoder.table), length)
            scores = hidden @ self.encoder.table[1:].T
            target = scores.gather(1, self.targets[start : start + _VALIDATION_BATCH].unsqueeze(1) - 1)
            rank = (scores >= target).sum(dim=1)  # from 1: the target itself is counted
            gains.append(torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), torch.zeros(())))
        return torch.cat(gains).cpu()

    def restore(self) -> None:
        """Put the best weights back, unless the last are as good within one standard error of the paired difference.

        The best of twenty noisy measures is partly luck, and the learning rate has fallen for the last ones: on ml-1m
        the plain maximum, found halfway, cost a tenth of NDCG@10. (Breiman et al. 1984, section 3.4.3: the 1-SE rule.)
        """
        if self.weights is None:
            return
        lost = self.best - self.last
        if lost.mean() > lost.std() / len(lost) ** 0.5:
            self.encoder.load_state_dict(self.weights)
