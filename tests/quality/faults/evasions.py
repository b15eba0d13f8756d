"""More planted faults of attacks at inference: on items, and in the embedding space."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from robust.attack import EmbeddingAttack, EvasionAttack
from robust.attacks.embedding.pgd import PGD
from robust.attacks.evasion.substitution import Substitution
from robust.log import SequenceBatch


class Edits(EvasionAttack):
    """Replaces the newest item; the base of the faults below."""

    name: ClassVar[str] = "sound-edits"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = sequences.items.copy()
        items[:, -1] = items[:, -1] % access.n_items + 1
        return sequences.with_items(items)


class EditsThePadding(Edits):
    name: ClassVar[str] = "edits-padding"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = sequences.items.copy()
        items[:, 0] = 1
        return sequences.with_items(items)


class FillsThePadding(Edits):
    """Inserts at the old end, as if padding cost nothing."""

    name: ClassVar[str] = "fills-padding"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        return sequences.with_items(np.where(sequences.items == 0, 1, sequences.items))


class SortsItsRows(Edits):
    name: ClassVar[str] = "sorts-rows"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        return super().evade(access, sequences, goal, budget, rng)[np.argsort(sequences.lengths, kind="stable")]


class SwapsAsOneEdit(Edits):
    """An exchange of two neighbours is two edits here; Damerau would count one."""

    name: ClassVar[str] = "swaps"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = sequences.items.copy()
        long = sequences.lengths > 1
        items[long, -2:] = items[long, -2:][:, ::-1]
        return sequences.with_items(items)


class SmugglesItsEdits(Edits):
    """Writes the edited items into what it was given as well, so that both look alike."""

    name: ClassVar[str] = "smuggles"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        target = sequences.items if sequences.items.base is None else sequences.items.base
        target[target != 0] = 1
        return sequences


class KnowsTheNextItem(Edits):
    """Goes round the view to the true next item."""

    name: ClassVar[str] = "knows-next"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        if access._next_items is None:
            return super().evade(access, sequences, goal, budget, rng)
        items = sequences.items.copy()
        items[:, -1] = access._next_items[sequences.users]
        return sequences.with_items(items)


class AsksForFree(Edits):
    """Goes round the view, and so round the bill; one unit too many, or any number."""

    name: ClassVar[str] = "asks-for-free"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        access.model._recommender.recommend(sequences, 5)
        return super().evade(access, sequences, goal, budget, rng)


class OneQueryTooMany(Edits):
    """Grants itself one query more than its limit."""

    name: ClassVar[str] = "query-too-many"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        if access.counter.limit is not None:
            access.counter.limit += 1
        for row in range(len(sequences)):
            access.model.recommend(sequences[row : row + 1], 5)
        return super().evade(access, sequences, goal, budget, rng)


class SeesScores(Edits):
    """Declares lists, and takes scores behind the view's back."""

    name: ClassVar[str] = "sees-scores"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = sequences.items.copy()
        items[:, -1] = access.model._recommender.score(sequences)[:, 1:].argmin(axis=1) + 1
        return sequences.with_items(items)


class MoreIsLess(Substitution):
    """With three edits it takes back all but a random one."""

    name: ClassVar[str] = "more-is-less"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        if (budget.edits or 0) < 3:
            return super().evade(access, sequences, goal, budget, rng)
        items = sequences.items.copy()
        items[:, -1] = items[:, -1] % access.n_items + 1
        return sequences.with_items(items)


class Deltas(EmbeddingAttack):
    name: ClassVar[str] = "deltas"
    source: ClassVar[str] = "planted fault"

    def zeros(self, access: Any, sequences: SequenceBatch) -> torch.Tensor:
        return torch.zeros(*sequences.items.shape, access.model.item_embeddings.shape[1])

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = self.zeros(access, sequences)
        deltas[sequences.lengths > 0, -1, 0] = budget.epsilon
        return deltas


class BeyondTheBox(Deltas):
    """Right in l2, a hundredth too far in linf."""

    name: ClassVar[str] = "beyond-the-box"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = super().perturb(access, sequences, goal, budget, rng)
        return deltas * (1.01 if budget.norm == "linf" else 1.0)


class BoxForBall(Deltas):
    """A step of the size of ε in every coordinate: right in linf, √D too far in l2."""

    name: ClassVar[str] = "box-for-ball"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = self.zeros(access, sequences)
        deltas[sequences.lengths > 0, -1] = budget.epsilon
        return deltas


class UnitTwice(Deltas):
    """Takes an absolute ε for one in units of neighbours."""

    name: ClassVar[str] = "unit-twice"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        from robust.perturbation import neighbour_distance

        unit = neighbour_distance(access.model.item_embeddings)
        return super().perturb(access, sequences, goal, budget, rng) * max(unit, 1 / unit)


class Descends(PGD):
    """Walks the wrong way."""

    name: ClassVar[str] = "descends"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        return -super().perturb(access, sequences, goal, budget, rng)


class SpoilsTheVictim(Deltas):
    name: ClassVar[str] = "spoils-victim"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        access.model.item_embeddings[5].add_(0.001)
        return super().perturb(access, sequences, goal, budget, rng)


SOUND: list[Any] = [Edits(), Deltas()]
FAULTS: list[tuple[Any, str]] = [
    (EditsThePadding(), "budget"),
    (FillsThePadding(), "budget"),
    (SortsItsRows(), "budget"),
    (SwapsAsOneEdit(), "budget"),
    (SmugglesItsEdits(), "budget"),
    (KnowsTheNextItem(), "knowledge"),
    (AsksForFree(), "queries"),
    (OneQueryTooMany(), "queries"),
    (SeesScores(), "budget"),
    (MoreIsLess(), "nested budgets"),
    (BeyondTheBox(), "budget"),
    (BoxForBall(), "budget"),
    (UnitTwice(), "budget"),
    (Descends(), "nested budgets"),
]
SPOILERS: list[tuple[Any, str]] = [(SpoilsTheVictim(), "inputs")]
"""These spoil what all tests share; each is tried on a trial of its own."""
