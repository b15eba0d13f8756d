"""Planted faults of a recommender: what it answers, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.baselines import Markov, Popularity
from robust.recommenders.recurrent import GRU4Rec
from tests.toys import LinearBag

N_ITEMS = 20
SMALL: dict[str, Any] = {"context": 6, "dimension": 8, "max_steps": 15, "min_steps": 15, "batch_size": 64}


class Sound:
    """Scores by the last item's neighbours on the circle; the base of the faults below."""

    n_items = N_ITEMS

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        last = sequences.items[:, -1].astype(np.int64)
        away = (np.arange(1, N_ITEMS + 1)[None, :] - last[:, None]) % N_ITEMS
        older = np.where(sequences.items == 7, 1, 0).sum(axis=1)
        scores = -(away.astype(np.float32)) + 0.01 * older[:, None] * np.arange(N_ITEMS)
        return np.concatenate([np.full((len(last), 1), -np.inf), scores], axis=1).astype(np.float32)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        order = np.argsort(-self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k] + 1
        return order.astype(np.int32)


class LooksAtPadding(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        return np.asarray(super().score(sequences) * (1 + 0.1 * (sequences.items == 0).sum(axis=1, keepdims=True)))


class AveragesWithPadding(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        average = sequences.items.mean(axis=1, keepdims=True)
        return np.asarray(super().score(sequences) + average * np.arange(N_ITEMS + 1))


class NormalisesOverTheBatch(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        scores[:, 1:] -= 2 * scores[:, 1:].mean(axis=0, keepdims=True)
        return scores


class RemembersTheRowBefore(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        scores[1:] += 0.3 * scores[:-1]
        return scores


class KnowsItsUsers(Sound):
    """Peeks: it has memorised which item each test user takes next."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        known = sequences.users >= 0
        scores[known, 1 + sequences.users[known] % N_ITEMS] = 99
        return scores


class DropsOut(Sound):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        return (scores * (self.rng.random(scores.shape) > 0.2)).astype(np.float32)


class WritesIntoItsInput(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        if sequences.items.flags.writeable:
            sequences.items[:, 0] = 1
        return super().score(sequences)


class ReadsBeyondItsContext(Sound):
    context = 3


class ShiftsIds(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.asarray(super().recommend(sequences, k) - 1, dtype=np.int32)


class RepeatsItself(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        lists[:, -1] = lists[:, 0]
        return lists


class RanksUpsideDown(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.asarray(super().recommend(sequences, k)[:, ::-1], dtype=np.int32)


class ListsAreAnothers(Sound):
    """Lists in the order of other scores than it shows."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        order = np.argsort(self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k] + 1
        return order.astype(np.int32)


class FailsOnNothing(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        if not sequences.items.any():
            raise ValueError("nothing to go by")
        return super().score(sequences)


class ReversesTheSequence(LinearBag):
    """An off-by-one in positions that shows only where the padding changes."""

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        return super().score_embeddings(embeddings.roll(1, dims=1), sequences)


class ReadsThePadding(LinearBag):
    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        return super().score_embeddings(embeddings, sequences) + embeddings.sum(dim=(1, 2))[:, None] * torch.arange(
            self.n_items + 1
        )


class GradientOfSomethingElse(LinearBag):
    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        flipped = 2 * embeddings.detach() - embeddings
        return super().score_embeddings(flipped, sequences)


class EmbedsAnotherItem(LinearBag):
    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        shifted = np.where(sequences.items != 0, sequences.items % self.n_items + 1, 0)
        return super().embed(sequences.with_items(shifted))

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(self.score_embeddings(LinearBag.embed(self, sequences), sequences).numpy())


class LooksAhead(GRU4Rec):
    """Its loss sees the next item: the embedded sequence is moved one to the left."""

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: torch.Tensor | None = None) -> torch.Tensor:
        embedded = self.embed(sequences) if embeddings is None else embeddings
        return super().loss(sequences, targets, embedded.roll(-1, dims=1))


class FitIsUnseeded(Popularity):
    def fit(self, log: InteractionLog, *, seed: int) -> Any:
        fitted = super().fit(log, seed=seed)
        fitted._popularity = np.random.default_rng().permutation(fitted._popularity)
        return fitted


class ForgetsHalf(Markov):
    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, settings = super().state()
        name = max(arrays, key=lambda key: arrays[key].size)
        arrays[name] = np.where(np.arange(arrays[name].size).reshape(arrays[name].shape) % 2, 0, arrays[name])
        return arrays, settings


FAULTS: list[tuple[Any, str]] = [
    (LooksAtPadding(), "padding"),
    (AveragesWithPadding(), "padding"),
    (NormalisesOverTheBatch(), "batch size"),
    (RemembersTheRowBefore(), "batch order"),
    (KnowsItsUsers(), "user numbers"),
    (DropsOut(), "determinism"),
    (WritesIntoItsInput(), "inputs"),
    (ReadsBeyondItsContext(), "context"),
    (ShiftsIds(), "lists"),
    (RepeatsItself(), "lists"),
    (RanksUpsideDown(), "prefix"),
    (ListsAreAnothers(), "scores"),
    (FailsOnNothing(), "empty sequences"),
    (ReversesTheSequence(width=64), "padding"),
    (ReadsThePadding(width=64), "embeddings"),
    (GradientOfSomethingElse(width=64), "gradient"),
    (EmbedsAnotherItem(width=64), "embeddings"),
    (LooksAhead(**SMALL), "future"),
    (FitIsUnseeded(), "fit"),
    (ForgetsHalf(), "persistence"),
]
