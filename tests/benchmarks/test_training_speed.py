"""One SASRec step as the runner's workers take it, against a plain torch loop in a process with default settings.

The shape is ml-1m's: 3,416 items, windows of 50, batches of 128, all positions, full softmax, dropout 0.2. Both sides
run on one thread, in a process of their own, taking turns; the clock counts the processor's time, so that whatever
else the machine does disturbs neither. Medians of interleaved blocks are compared.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust.log import InteractionLog

FLOOR = 1.6
ITEMS, LENGTH, BATCH, DIMENSION, BLOCKS, HEADS, DROPOUT = 3416, 50, 128, 64, 2, 2, 0.2
ROUNDS, STEPS_PER_ROUND = 15, 3


class PlainBlock(nn.Module):
    """A SASRec block as anybody would write it, with dropout where ours has it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(DIMENSION), nn.LayerNorm(DIMENSION)
        self.mix, self.out = nn.Linear(DIMENSION, 3 * DIMENSION), nn.Linear(DIMENSION, DIMENSION)
        self.inner, self.outer = nn.Linear(DIMENSION, DIMENSION), nn.Linear(DIMENSION, DIMENSION)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, states: Tensor) -> Tensor:
        batch, length, _ = states.shape
        mixed = self.mix(self.first(states)).view(batch, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2], is_causal=True)
        states = states + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        added: Tensor = self.dropout(self.outer(F.relu(self.inner(self.second(states)))))
        return states + added


class PlainSASRec(nn.Module):
    """Logits for every position."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(ITEMS + 1, DIMENSION, padding_idx=0)
        self.positions = nn.Embedding(LENGTH, DIMENSION)
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(DIMENSION)

    def forward(self, items: Tensor) -> Tensor:
        states = self.items(items) * DIMENSION**0.5 + self.positions(torch.arange(LENGTH))
        logits: Tensor = self.norm(self.blocks(self.dropout(states))) @ self.items.weight.T
        return logits


def log_of_full_windows() -> InteractionLog:
    """Users of exactly one full window each: nothing is won by skipping padding."""
    weights = 1 / np.arange(1, ITEMS + 1) ** 0.8
    item = np.random.default_rng(0).choice(ITEMS, size=BATCH * (LENGTH + 1), p=weights / weights.sum()) + 1
    user = np.repeat(np.arange(BATCH), LENGTH + 1)
    return InteractionLog.from_columns(user, item, np.arange(len(item)), n_items=ITEMS)


def plain_step() -> Callable[[], None]:
    """The textbook loop."""
    log = log_of_full_windows()
    rows = torch.from_numpy(log.item.reshape(BATCH, LENGTH + 1).astype(np.int64))
    model = PlainSASRec()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimiser.zero_grad()
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten(), ignore_index=0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def our_step() -> Callable[[], None]:
    """What `fit` does for one batch, allocator and all; cutting and gathering windows included."""
    from robust.recommenders.allocator import tune_allocator
    from robust.recommenders.dropout import Dropout
    from robust.recommenders.objective import Softmax, make_step, plain
    from robust.recommenders.sasrec import SASRec
    from robust.recommenders.training import endless, new_optimiser

    tune_allocator()
    log = log_of_full_windows()
    victim = SASRec(context=LENGTH, batch_size=BATCH, dropout=DROPOUT, loss="full", max_steps=1)
    encoder = victim.fit(log, seed=0).encoder.requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    softmax = Softmax(log, victim.settings, torch.device("cpu"))
    stream = endless(log, victim.settings, np.random.default_rng(0))
    optimiser = new_optimiser(encoder, 1e-3, 0.0)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        plain(make_step(encoder, next(stream), softmax, Dropout(DROPOUT, generator), generator)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def take_turns(make: Callable[[], Callable[[], None]], turn: Connection) -> None:
    """A process: at each signal, take some steps and say how many seconds of processor time one took."""
    torch.set_num_threads(1)
    step = make()
    for _ in range(3):
        step()
    while turn.recv():
        start = time.process_time()
        for _ in range(STEPS_PER_ROUND):
            step()
        turn.send((time.process_time() - start) / STEPS_PER_ROUND)


def test_a_step_against_a_plain_loop() -> None:
    spawn = multiprocessing.get_context("spawn")
    sides: dict[str, Connection] = {}
    processes: list[BaseProcess] = []
    for name, make in (("plain", plain_step), ("ours", our_step)):
        here, there = spawn.Pipe()
        process: BaseProcess = spawn.Process(target=take_turns, args=(make, there), daemon=True)
        process.start()
        sides[name] = here
        processes.append(process)
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            side.send(True)
            seconds[name].append(side.recv())
    for side in sides.values():
        side.send(False)
    for started in processes:
        started.join()
    plain, ours = (statistics.median(seconds[name]) for name in ("plain", "ours"))
    print(f"\none step on one thread: plain {plain * 1e3:.0f} ms, ours {ours * 1e3:.0f} ms, x{plain / ours:.2f}")
    assert plain / ours >= FLOOR
