"""Small models and logs with known answers, which attacks and defences are tried on.

Only `LinearBag` imports torch, when it is made: tests of what judges run without (`make mutation` makes sure).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from robust.access import AccessView
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Float32, Recommender
from robust.threat import Knowledge

if TYPE_CHECKING:
    from torch import Tensor


class LinearBag:
    """Scores are linear in the embedded sequence: score_i = Σ_j w_j e_j · o_i, the last position weighing most.

    All of `lists`, `scores` and `gradients`. Linear, so that first-order gains are exact in the scores.
    """

    def __init__(self, n_items: int = 30, dimension: int = 6, width: int = 8, seed: int = 0) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)
        self.n_items = n_items
        self.table = torch.randn(n_items + 1, dimension, generator=generator)
        self.table[0] = 0
        self.output = torch.randn(n_items + 1, dimension, generator=generator)
        self.weights = 0.7 ** torch.arange(width - 1, -1, -1, dtype=torch.float32)

    @property
    def item_embeddings(self) -> Tensor:
        """[n_items + 1, D]."""
        return self.table

    def embed(self, sequences: SequenceBatch) -> Tensor:
        """[B, L, D]."""
        import torch

        return self.table[torch.from_numpy(sequences.items.astype(np.int64))]

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        """[B, n_items + 1]; padding is masked, column 0 is −inf."""
        import torch

        mask = torch.from_numpy(sequences.items != 0).unsqueeze(-1).to(embeddings.dtype)
        weights = self.weights[-sequences.width :, None]
        scores = (embeddings * mask * weights).sum(dim=1) @ self.output.T
        return torch.cat([torch.full_like(scores[:, :1], -torch.inf), scores[:, 1:]], dim=1)

    def with_item_embeddings(self, table: Tensor) -> LinearBag:
        """The same with another table on the input's side; the output's is its own."""
        moved = copy(self)
        moved.table = table
        return moved

    def score(self, sequences: SequenceBatch) -> Float32:
        """[B, n_items + 1]."""
        import torch

        with torch.no_grad():
            return np.asarray(self.score_embeddings(self.embed(sequences), sequences).numpy())

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k]."""
        return np.argsort(-self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k].astype(np.int32) + 1


class ListsOnly:
    """The lists of another recommender and nothing else."""

    def __init__(self, inner: LinearBag) -> None:
        self._inner, self.n_items = inner, inner.n_items

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k]."""
        return self._inner.recommend(sequences, k)


def random_sequences(rows: int, width: int, n_items: int, seed: int = 0, shortest: int = 1) -> SequenceBatch:
    """Left-padded random sequences of `shortest` to `width` items, with users 0…rows − 1."""
    rng = np.random.default_rng(seed)
    items = rng.integers(1, n_items + 1, size=(rows, width))
    lengths = rng.integers(shortest, width + 1, size=rows)
    items[np.arange(width)[None, :] < (width - lengths)[:, None]] = 0
    return SequenceBatch(items, np.arange(rows))


def taste_log(users: int = 300, n_items: int = 80, groups: int = 4, seed: int = 0) -> InteractionLog:
    """Genuine users of `groups` tastes: nine in ten items from the group's own part of the catalogue, head-heavy.

    Times are strictly increasing per user, with real-looking (exponential) gaps.
    """
    rng = np.random.default_rng(seed)
    user, item, time = [], [], []
    part = n_items // groups
    for u in range(users):
        length = int(rng.integers(8, 25))
        weights = np.full(n_items, 0.1 / n_items)
        weights[(u % groups) * part : (u % groups + 1) * part] += 0.9 / np.arange(1, part + 1)
        chosen = rng.choice(n_items, size=length, replace=False, p=weights / weights.sum())
        user += [u] * length
        item += (chosen + 1).tolist()
        time += (10_000 + rng.integers(0, 50_000) + np.cumsum(1 + rng.exponential(500, length)).astype(int)).tolist()
    return InteractionLog.from_columns(user, item, time, n_users=users, n_items=n_items)


def chain_log(
    users: int = 200, n_items: int = 20, length: int = 15, noise: float = 0.0, seed: int = 0
) -> InteractionLog:
    """Users who walk the circle 1 → 2 → … → n_items → 1 from a random start; a share `noise` of steps jump anywhere."""
    rng = np.random.default_rng(seed)
    items = np.empty((users, length), dtype=np.int64)
    items[:, 0] = rng.integers(1, n_items + 1, users)
    for step in range(1, length):
        jump = rng.random(users) < noise
        items[:, step] = np.where(jump, rng.integers(1, n_items + 1, users), items[:, step - 1] % n_items + 1)
    time = np.cumsum(rng.integers(1, 60, size=(users, length)), axis=1)
    return InteractionLog.from_columns(
        np.repeat(np.arange(users), length), items.ravel(), time.ravel(), n_users=users, n_items=n_items
    )


def view(
    model: Recommender | None = None,
    *,
    knowledge: Knowledge | None = None,
    log: InteractionLog | None = None,
    n_items: int | None = None,
    **more: Any,
) -> AccessView:
    """An access view that grants gradients and the full log unless told otherwise."""
    known = Knowledge(log="full", model="gradients") if knowledge is None else knowledge
    size = n_items or (model.n_items if model is not None else log.n_items if log is not None else 1)
    return AccessView(attack="toy", knowledge=known, n_items=size, log=log, recommender=model, **more)
