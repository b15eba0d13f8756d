"""Defences that look well and are none: one does nothing, one hides gradients, one refuses to answer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from robust.defense import Callers, Defense, ServingDefense, Stage
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Float32, Recommender


class Nothing(ServingDefense):
    """Answers as the recommender does."""

    name: ClassVar[str] = "nothing"
    source: ClassVar[str] = "made for the tests"
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        return lists


class Refuser(ServingDefense):
    """Answers only sequences whose newest item is a multiple of `every`; nobody with 31 of 30 items."""

    name: ClassVar[str] = "refuser"
    source: ClassVar[str] = "made for the tests"
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})
    every: int = 2

    def _answered(self, sequences: SequenceBatch) -> Any:
        return sequences.items[:, -1:] % self.every == 0

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        return np.where(self._answered(sequences), lists, np.int32(0))

    def blur(self, scores: Float32, sequences: SequenceBatch, callers: Callers, seed: int) -> Float32:
        return np.where(self._answered(sequences), scores, np.float32(-np.inf))


class RoundingLayer(Defense):
    """The same scores within a thousandth, rounded in the model, so that every gradient is zero."""

    name: ClassVar[str] = "rounding-layer"
    source: ClassVar[str] = "made for the tests"
    stage: ClassVar[Stage] = "serving"

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        return _Rounded(recommender)


class _Rounded:
    def __init__(self, inner: Any) -> None:
        self.inner, self.n_items, self.context = inner, inner.n_items, inner.context
        self.capabilities = frozenset({"lists", "scores", "gradients"})

    @property
    def item_embeddings(self) -> Any:
        return self.inner.item_embeddings

    def embed(self, sequences: SequenceBatch) -> Any:
        return self.inner.embed(sequences)

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        return torch.round(self.inner.score_embeddings(embeddings, sequences), decimals=3)

    def score(self, sequences: SequenceBatch) -> Any:
        with torch.no_grad():
            return self.score_embeddings(self.embed(sequences), sequences).numpy()

    def recommend(self, sequences: SequenceBatch, k: int) -> Any:
        return np.argsort(-self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k].astype(np.int32) + 1
