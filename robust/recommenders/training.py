"""The one training loop of all neural victims: next-item prediction at every position of every window.

A training defence changes what is minimised by passing an `Objective`; everything else (windows, schedule, early
stopping) stays the same, so that a defended and an undefended victim differ in nothing but the defence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from robust.errors import InputError
from robust.log import InteractionLog
from robust.recommenders.allocator import tune_allocator
from robust.recommenders.dropout import Dropout
from robust.recommenders.early_stopping import EarlyStopping
from robust.recommenders.encoder import Encoder
from robust.recommenders.objective import Objective, Softmax, make_step, plain
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.windows import Batch, batches, cut, hold_out

Augment = Callable[[Batch, np.random.Generator], Batch]
"""Changes a batch of windows before it is made into a question; the log itself stays as it is."""


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
    stopping = EarlyStopping(encoder, held, settings.patience, settings.context)
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
    """AdamW; biases, gains and the item table do not decay."""
    matrices = [p for p in encoder.parameters() if p.ndim > 1 and p is not encoder.table]
    others = [p for p in encoder.parameters() if p.ndim == 1 or p is encoder.table]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, fused=True)


def endless(log: InteractionLog, settings: TrainingSettings, rng: np.random.Generator) -> Iterator[Batch]:
    """Epoch after epoch, each with windows cut anew."""
    while True:
        yield from batches(log, cut(log, settings.context, rng), settings.batch_size, rng)
