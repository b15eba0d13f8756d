"""A defence under test: the logs that it is tried on, a recommender that records what it is fitted to, and helpers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.defense import Defense, InputGuard, Sanitizer
from robust.errors import NotApplicable
from robust.log import Int32, InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.recurrent import GRU4Rec
from robust.testing.conformance.attacked import small_victim, trial


@dataclass(frozen=True)
class Defended:
    """A defence under test, on the trial log and victim, or on a log of the user's."""

    defense: Defense
    log: InteractionLog
    seed: int = 0

    def sanitizer(self) -> Sanitizer:
        """It, if it cleans logs."""
        if not isinstance(self.defense, Sanitizer):
            raise NotApplicable("does not clean logs")
        return self.defense

    def guard(self, log: InteractionLog | None = None) -> InputGuard:
        """It, calibrated, if it cleans sequences."""
        if not isinstance(self.defense, InputGuard):
            raise NotApplicable("does not clean sequences")
        guard = self.defense.looking_at(self.victim)
        return guard.calibrate(self.log if log is None else log, self.seed)

    @cached_property
    def victim(self) -> GRU4Rec:
        """A small recurrent recommender of the log's catalogue, to protect."""
        log, model = trial()
        return model if self.log is log else small_victim().fit(self.log, seed=0)

    def rng(self) -> np.random.Generator:
        """The same draws every time."""
        return np.random.default_rng(self.seed)

    @cached_property
    def poisoned(self) -> InteractionLog:
        """The log with a twentieth as many fake users, who come last: random items, at times like anybody's."""
        rng = np.random.default_rng([self.seed, 0xBAD])
        fakes, length = max(self.log.n_users // 20, 2), max(int(np.median(self.log.lengths)), 1)
        starts = rng.choice(self.log.timestamp, size=(fakes, 1))
        items = rng.integers(1, self.log.n_items + 1, size=(fakes, length)).astype(np.int32)
        return LogEdit(add=items, times=starts + np.arange(length) * 60).apply(self.log)

    def renumbered(self, log: InteractionLog, draw: int) -> tuple[InteractionLog, NDArray[np.int64]]:
        """The log with its users in another order, and int64 [n_users], the new number of each."""
        renamed = np.random.default_rng([self.seed, draw]).permutation(log.n_users)
        user = renamed[log.user]
        other = InteractionLog.from_columns(user, log.item, log.timestamp, n_users=log.n_users, n_items=log.n_items)
        return other, renamed


@dataclass
class Recorder:
    """A recommender that only notes what it is fitted to."""

    n_items: int
    fits: list[tuple[InteractionLog, int]] = field(default_factory=list)

    def fit(self, log: InteractionLog, *, seed: int) -> Recorder:
        """Itself."""
        self.fits.append((log, seed))
        return self

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k], the first k items."""
        return np.tile(np.arange(1, k + 1, dtype=np.int32), (len(sequences), 1))


def rows_of(log: InteractionLog) -> set[tuple[int, int, int, int]]:
    """(user, item, time, how many equal ones before it) of each row."""
    seen: dict[tuple[int, int, int], int] = {}
    found = set()
    for row in zip(log.user.tolist(), log.item.tolist(), log.timestamp.tolist(), strict=True):
        seen[row] = seen.get(row, 0) + 1
        found.add((*row, seen[row]))
    return found


def everything(model: Any) -> dict[str, Any]:
    """What a recommender of ours is made of: its arrays and settings, its plain attributes, and its own methods."""
    arrays, settings = model.state()
    made = {name: (array.shape, array.tobytes()) for name, array in arrays.items()}
    return {**made, "settings": repr(settings), "attributes": sorted(vars(model))}
