"""Substitution costs little more than the passes that its candidates take, at ml-1m's shape.

The floor: z = 2 and 10 candidates for all users in at most 3 × 10 scoring passes over them, in which 20 passes, two
gradients and two products of gradients and item table have to fit. Time per user does not depend on how many users
there are, so a part of them is measured. The two take turns, on one thread; the clock counts the processor's time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from robust.attacks.evasion.substitution import Substitution
from robust.recommenders.allocator import tune_allocator
from robust.recommenders.sasrec import SASRec
from robust.threat import Budget, Degrade
from tests.toys import chain_log, view

ITEMS, LENGTH, USERS, ROUNDS = 3416, 50, 512, 5
FLOOR = 30.0  # scoring passes
MEASURED = 1.1
"""The floor is met on a victim trained on ml-1m (28.6), and missed by 3% here (31), where 20 passes for candidates, one
for the label, 5 for two gradients and 4 for the proposals are 30 already. A tenth above it is a regression."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_two_edits_of_ten_candidates_in_thirty_scoring_passes() -> None:
    tune_allocator()
    log = chain_log(users=USERS, n_items=ITEMS, length=LENGTH)
    model = SASRec(max_steps=100, min_steps=100).fit(log, seed=0)
    sequences = log.sequences(LENGTH)
    ratios = []
    for _ in range(ROUNDS):
        start = time.process_time()
        model.score(sequences)
        one = time.process_time() - start
        start = time.process_time()
        attack = Substitution(tau=None)
        spent = attack(view(model), sequences, Degrade(), Budget(edits=2), np.random.default_rng(0)).queries
        ratios.append((time.process_time() - start) / one)
    ratio = statistics.median(ratios)
    print(f"\nsubstitution: {spent / USERS:.1f} queries a user in the time of {ratio:.1f} scoring passes")
    assert ratio < MEASURED * FLOOR
