"""One delta for all users, at their newest positions, learnt on some and applied to others.

Cross-fitting: the users are halved at random, and the delta of each half is learnt on the other half. So every user is
held out from what is done to them, and all of them can be reported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.access import AccessView
from robust.attack import AnyGoal
from robust.attacks.embedding.adaptive import Evaluate
from robust.attacks.embedding.harm import Chunk, Population
from robust.log import SequenceBatch
from robust.perturbation import padding_mask


def spread(shared: Tensor, mask: Tensor) -> Tensor:
    """Deltas [b, L, D]: the shared [1, P, D] at the newest P positions of each user, nothing at padding [b, L, 1]."""
    return F.pad(shared, (0, 0, mask.shape[1] - shared.shape[1], 0)) * mask


def cross_fit(
    access: AccessView,
    sequences: SequenceBatch,
    goal: AnyGoal,
    positions: int,
    rng: np.random.Generator,
    learn: Callable[[Evaluate, Tensor], Tensor],
) -> Tensor:
    """Deltas [B, L, D] of all users; zero where nobody is left to learn from (a single user).

    Args:
        learn: the shared delta [1, P, D], from what evaluates one on the learning half and an example of its form.
    """

    def harm(chunk: Chunk, shared: Tensor) -> Tensor:
        return chunk.harm(chunk.embeddings + spread(shared, chunk.mask))

    table = access.model.item_embeddings
    form = torch.zeros((1, min(positions, sequences.width), table.shape[1]), device=table.device)
    deltas = torch.zeros((*sequences.items.shape, table.shape[1]))
    halves = np.array_split(rng.permutation(len(sequences)), 2)
    for known, held_out in (halves, halves[::-1]):
        if len(known) and len(held_out):
            shared = learn(Population(access, sequences[known], goal, harm), form)
            deltas[held_out] = spread(shared.cpu(), padding_mask(sequences[held_out]))
    return deltas
