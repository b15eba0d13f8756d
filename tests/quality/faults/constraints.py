"""Planted faults of attacks that reach across the split, or substitute what is not similar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from robust.attacks.evasion.substitution import Substitution
from robust.log import LogEdit, SequenceBatch
from tests.quality.faults.poisons import Sound


class LandsInTheTestPeriod(Sound):
    """Fake users who act the day after the last train row."""

    name: ClassVar[str] = "lands-in-test"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        edit = super().poison(access, goal, budget, rng)
        return replace(edit, times=np.full(edit.add.shape, int(access.log.timestamp.max()) + 86_400))


class RunsPastTheEnd(Sound):
    """Starts where a genuine user starts, and takes no heed of where the log ends."""

    name: ClassVar[str] = "runs-past"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        log, users = access.log, budget.users or 0
        starts = log.timestamp[rng.integers(len(log), size=users)][:, None]
        return LogEdit(add=np.full((users, 2), goal.items[0], np.int32), times=starts + np.array([0, 30_000_000]))


class PositionsFromAHundred(Sound):
    """Right beside real times, in the future of a log whose times are positions."""

    name: ClassVar[str] = "from-a-hundred"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        edit = super().poison(access, goal, budget, rng)
        start = max(int(access.log.timestamp.min()), 100)
        return replace(edit, times=np.full(edit.add.shape, start))


class BeforeTheBeginning(Sound):
    """States a time before anybody acted."""

    name: ClassVar[str] = "before-beginning"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        edit = super().poison(access, goal, budget, rng)
        return replace(edit, times=np.full(edit.add.shape, int(access.log.timestamp.min()) - 1))


class MovesBeyondTheEnd(Sound):
    """Genuine rows move into the test period."""

    name: ClassVar[str] = "moves-beyond"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        rows = np.arange(budget.rows or 0)
        return LogEdit(move_rows=rows, move_times=np.full(len(rows), int(access.log.timestamp.max()) + 1))


class InsertsAfterTheEnd(Sound):
    """Genuine users are made to take the target after their test rows."""

    name: ClassVar[str] = "inserts-after"
    log_access: ClassVar[Any] = "full"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        users = np.arange(budget.rows or 0, dtype=np.int32)
        times = np.full(len(users), int(access.log.timestamp.max()) + 1)
        return LogEdit(
            insert_users=users, insert_items=np.full(len(users), goal.items[0], np.int32), insert_times=times
        )


class IgnoresTau(Substitution):
    """The parameter is there, and does nothing."""

    name: ClassVar[str] = "ignores-tau"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        free = Substitution(tau=None, gain=self.gain, candidates=self.candidates)
        return free.evade(access, sequences, goal, budget, rng)


class FallsBack(Substitution):
    """Where no similar item is left it takes any: the released code's fault, which multiplies the rest by 0."""

    name: ClassVar[str] = "falls-back"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = super().evade(access, sequences, goal, budget, rng).items.copy()
        alone = (items == sequences.items).all(axis=1) & (sequences.lengths > 0)
        items[alone, -1] = items[alone, -1] % access.n_items + 1
        return sequences.with_items(items)


class SimilarToItsNeighbour(Substitution):
    """Looks at the item before the one that it replaces: off by one place."""

    name: ClassVar[str] = "off-by-one"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        table = torch.nn.functional.normalize(access.model.item_embeddings.detach(), dim=1)
        items = sequences.items.copy()
        long = sequences.lengths > 1
        cosine = table[torch.from_numpy(items[long, -2].astype(np.int64))] @ table.T
        cosine[:, 0] = -torch.inf
        items[long, -1] = cosine.argmax(dim=1).numpy()
        return sequences.with_items(items)


class SimilarToTheLastSubstitute(Substitution):
    """Each substitute is similar to the one before it at the same place: step by step it drifts away."""

    name: ClassVar[str] = "drifts"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        table = torch.nn.functional.normalize(access.model.item_embeddings.detach(), dim=1)
        cosine = (table @ table.T).numpy()
        items, tau = sequences.items.copy(), 0.0 if self.tau is None else self.tau
        for _ in range(4):
            for row in np.flatnonzero(items[:, -1]):
                near = np.flatnonzero(cosine[items[row, -1]] >= tau)
                near = near[(near != 0) & (near != sequences.items[row, -1])]
                if len(near):
                    items[row, -1] = near[cosine[sequences.items[row, -1], near].argmin()]
        return sequences.with_items(items)


FAULTS: list[tuple[Any, str]] = [
    (LandsInTheTestPeriod(), "split"),
    (RunsPastTheEnd(), "split"),
    (PositionsFromAHundred(), "split"),
    (BeforeTheBeginning(), "split"),
    (MovesBeyondTheEnd(), "split"),
    (InsertsAfterTheEnd(), "split"),
    (IgnoresTau(), "similarity"),
    (FallsBack(), "similarity"),
    (SimilarToItsNeighbour(), "similarity"),
    (SimilarToTheLastSubstitute(), "similarity"),
]
