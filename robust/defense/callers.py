"""What a service knows of its callers: how much each has asked, what was refused, and which items it asked about.

Kept as arrays, since every user of an evaluation is a caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robust.log import Int64, SequenceBatch

ATTACKER = "attacker"
"""Who calls without an account of the log."""
_PENDING = 1_000_000
"""So many pairs of caller and item are noted before they are put in order."""


@dataclass(frozen=True)
class Caller:
    """A caller's record so far.

    Attributes:
        id: who calls. asked: sequences asked about. refused: how many of these were refused.
        distinct: different items that stood last in a sequence that was asked about. n_items: the catalogue's size.
    """

    id: str
    asked: int
    refused: int
    distinct: int
    n_items: int

    @property
    def coverage(self) -> float:
        """Share of the catalogue that this caller has asked about as a newest item."""
        return self.distinct / max(self.n_items, 1)


@dataclass(frozen=True)
class Callers:
    """Who asks, a record for each row of a batch, as of just before that row is answered.

    Attributes:
        ids: who asks, for each row. asked: int64 [B], sequences that this caller has asked about before this row, those
            higher up in the same batch included. refused: int64 [B], of these, refused in earlier batches.
    """

    ids: tuple[str, ...]
    asked: Int64
    refused: Int64

    def __len__(self) -> int:
        return len(self.asked)


@dataclass
class Ledger:
    """The records of one deployment; callers are numbered, users of the log by their own number.

    Attributes:
        keys: int64 [n], sorted: who has called so far. asked, refused: int64 [n], aligned with them.
    """

    n_items: int
    keys: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    asked: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    refused: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    _names: dict[str, int] = field(default_factory=lambda: {ATTACKER: -1})
    _pairs: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    _new: list[Int64] = field(default_factory=list)

    def keys_of(self, sequences: SequenceBatch, caller: str | None) -> Int64:
        """int64 [B], who asks: everybody the one named caller, or each user under a name of their own."""
        if caller is None:
            return np.maximum(sequences.users, -1)
        number = self._names.setdefault(caller, -1 - len(self._names))
        return np.full(len(sequences), number, dtype=np.int64)

    def before(self, keys: Int64) -> Callers:
        """The record of each row's caller."""
        self._meet(keys)
        place = np.searchsorted(self.keys, keys)
        asked = self.asked[place] + _earlier(keys)
        unique, inverse = np.unique(keys, return_inverse=True)
        names = self._named(unique)
        return Callers(tuple(names[i] for i in inverse.tolist()), asked, self.refused[place].copy())

    def note(self, keys: Int64, sequences: SequenceBatch, refused: NDArray[np.bool_]) -> None:
        """Write down that these rows were asked about, and which of them were refused."""
        place = np.searchsorted(self.keys, keys)
        np.add.at(self.asked, place, 1)
        np.add.at(self.refused, place, refused.astype(np.int64))
        if sequences.width == 0:
            return
        newest = sequences.items[:, -1].astype(np.int64)
        known = (newest >= 1) & (newest <= self.n_items)
        self._new.append(np.unique(keys[known] * (self.n_items + 1) + newest[known]))
        if sum(map(len, self._new)) > _PENDING:
            self._merge()

    def callers(self) -> list[Caller]:
        """Everybody's record, by number."""
        self._merge()
        owners, distinct = np.unique(self._pairs // (self.n_items + 1), return_counts=True)
        walked = np.zeros(len(self.keys), dtype=np.int64)
        walked[np.searchsorted(self.keys, owners)] = distinct
        records = zip(self.asked.tolist(), self.refused.tolist(), walked.tolist(), strict=True)
        return [
            Caller(name, asked, refused, distinct, self.n_items)
            for name, (asked, refused, distinct) in zip(self._named(self.keys), records, strict=True)
        ]

    def _named(self, keys: Int64) -> list[str]:
        names = {number: name for name, number in self._names.items()}
        return [names[key] if key < 0 else f"user {key}" for key in keys.tolist()]

    def _meet(self, keys: Int64) -> None:
        everybody = np.union1d(self.keys, keys)
        if len(everybody) == len(self.keys):
            return
        place = np.searchsorted(everybody, self.keys)
        for name in ("asked", "refused"):
            grown = np.zeros(len(everybody), dtype=np.int64)
            grown[place] = getattr(self, name)
            setattr(self, name, grown)
        self.keys = everybody

    def _merge(self) -> None:
        if self._new:
            self._pairs = np.unique(np.concatenate([self._pairs, *self._new]))
            self._new = []


def _earlier(keys: Int64) -> Int64:
    """int64 [B], how many rows above have the same key."""
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    first = np.searchsorted(sorted_keys, sorted_keys)
    earlier = np.empty(len(keys), dtype=np.int64)
    earlier[order] = np.arange(len(keys)) - first
    return earlier
