"""Planted faults of an attack: the first dozen."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.log import LogEdit, SequenceBatch


class OneFakeTooMany(PoisoningAttack):
    name: ClassVar[str] = "one-too-many"
    source: ClassVar[str] = "planted fault"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        users = budget.users + 1 if budget.users else 0
        return LogEdit(add=np.full((users, 1), goal.items[0], np.int32))


class ProfileTooLong(OneFakeTooMany):
    name: ClassVar[str] = "too-long"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=rng.integers(1, 9, (budget.users, budget.profile_length + 1)).astype(np.int32))


class TouchesGenuineRows(OneFakeTooMany):
    name: ClassVar[str] = "touches-rows"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(remove=np.arange(1))


class DoesNothing(OneFakeTooMany):
    name: ClassVar[str] = "does-nothing"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit()


class PeeksAtTheLog(OneFakeTooMany):
    """Takes the train rows though it declares to need popularity only."""

    name: ClassVar[str] = "peeks"
    log_access: ClassVar[Any] = "popularity"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=access.log.item[: budget.users, None].copy())


class Unseeded(OneFakeTooMany):
    name: ClassVar[str] = "unseeded"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=np.random.default_rng().integers(1, 99, (budget.users, 5)).astype(np.int32))


class DrawsGlobally(OneFakeTooMany):
    name: ClassVar[str] = "draws-globally"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        torch.rand(1)
        return LogEdit(add=np.full((budget.users, 1), goal.items[0], np.int32))


class OneEditTooMany(EvasionAttack):
    name: ClassVar[str] = "edit-too-many"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = sequences.items.copy()
        items[:, -(budget.edits + 1) :] = 1
        return sequences.with_items(np.where(sequences.items == 0, 0, items))


class AsksWithoutCounting(EvasionAttack):
    """Goes round the view that counts queries; its access is right, its bill is not."""

    name: ClassVar[str] = "does-not-count"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        access.model.recommend(sequences, 5)
        access.counter.limit = None
        access.model.recommend(sequences, 5)
        return sequences.with_items(np.where(sequences.items[:, ::1] == 5, 6, sequences.items))


class WritesIntoSequences(EvasionAttack):
    name: ClassVar[str] = "writes"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        sequences.items[:, -1] = 3
        return sequences


class BeyondItsEpsilon(EmbeddingAttack):
    name: ClassVar[str] = "beyond-epsilon"
    source: ClassVar[str] = "planted fault"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = torch.zeros(*sequences.items.shape, access.model.item_embeddings.shape[1])
        deltas[sequences.lengths > 0, -1, 0] = 1.01 * budget.epsilon
        return deltas


class PerturbsPadding(BeyondItsEpsilon):
    name: ClassVar[str] = "perturbs-padding"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = torch.zeros(*sequences.items.shape, access.model.item_embeddings.shape[1])
        deltas[:, 0, 0] = 0.5 * budget.epsilon
        return deltas * 1.0 + (deltas == 0) * 0.0


class Anonymous(OneFakeTooMany):
    name: ClassVar[str] = "anonymous"
    source: ClassVar[str] = ""

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=np.full((budget.users, 1), goal.items[0], np.int32))


FAULTS: list[tuple[Any, str]] = [
    (OneFakeTooMany(), "budget"),
    (ProfileTooLong(), "budget"),
    (TouchesGenuineRows(), "budget"),
    (DoesNothing(), "effect"),
    (PeeksAtTheLog(), "budget"),
    (Unseeded(), "repeatable"),
    (DrawsGlobally(), "repeatable"),
    (OneEditTooMany(), "budget"),
    (AsksWithoutCounting(), "queries"),
    (WritesIntoSequences(), "budget"),
    (BeyondItsEpsilon(), "budget"),
    (Anonymous(), "metadata"),
]
