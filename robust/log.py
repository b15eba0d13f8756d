"""Logs, edits of logs, and batches of sequences: the data that everything else passes around.

Item ids are dense, 1…n_items; 0 is padding. User ids are dense, 0…n_users − 1. Rows are sorted by
(user, timestamp, arrival); ties in time are common in real logs, and arrival order breaks them, stably.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import robust
from robust.errors import InputError

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def _frozen(values: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def _whole(ids: ArrayLike) -> NDArray[np.signedinteger[Any]]:
    """As integers; int32 is not widened, since on a log of a hundred million rows that would be gigabytes."""
    array = np.asarray(ids)
    return array if array.dtype == np.int32 else array.astype(np.int64, copy=False)


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """Sequences of item ids, left-padded with 0 so that the newest item stands last.

    Attributes:
        items: int32 [B, L].
        users: int64 [B], an identifier per row for bookkeeping only (−1 where there is none).
        timestamps: int64 [B, L] or None; 0 where `items` is 0.
    """

    items: Int32
    users: Int64
    timestamps: Int64 | None = None

    def __init__(self, items: ArrayLike, users: ArrayLike | None = None, timestamps: ArrayLike | None = None) -> None:
        array = _frozen(items, np.int32)
        if array.ndim != 2:
            raise InputError(f"A batch of sequences has shape [B, L]; got {array.shape}.")
        object.__setattr__(self, "items", array)
        object.__setattr__(self, "users", _frozen(np.full(len(array), -1) if users is None else users, np.int64))
        object.__setattr__(self, "timestamps", None if timestamps is None else _frozen(timestamps, np.int64))
        if self.users.shape != (len(array),):
            raise InputError(f"users has shape {self.users.shape}, expected ({len(array)},).")
        if self.timestamps is not None and self.timestamps.shape != array.shape:
            raise InputError(f"timestamps have shape {self.timestamps.shape}, expected {array.shape}.")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def width(self) -> int:
        """L, the padded length."""
        return int(self.items.shape[1])

    @cached_property
    def lengths(self) -> Int64:
        """[B], the number of items (non-zero entries) in each row."""
        return _frozen(np.count_nonzero(self.items, axis=1), np.int64)

    def __getitem__(self, rows: slice | NDArray[Any]) -> SequenceBatch:
        times = None if self.timestamps is None else self.timestamps[rows]
        return SequenceBatch(self.items[rows], self.users[rows], times)

    def with_items(self, items: ArrayLike) -> SequenceBatch:
        """The same rows with other items; timestamps are kept only where the shape is kept."""
        array = np.asarray(items)
        return SequenceBatch(array, self.users, self.timestamps if array.shape == self.items.shape else None)

    def truncate(self, context: int) -> SequenceBatch:
        """The newest `context` items of each row."""
        if self.width <= context:
            return self
        times = None if self.timestamps is None else self.timestamps[:, -context:]
        return SequenceBatch(self.items[:, -context:], self.users, times)

    def chunks(self, size: int) -> Iterator[SequenceBatch]:
        """Consecutive batches of at most `size` rows."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    @classmethod
    def from_lists(cls, sequences: Sequence[Sequence[int]], context: int | None = None) -> SequenceBatch:
        """Left-pad ragged lists; keeps the newest `context` items of each."""
        width = max((len(s) for s in sequences), default=0) if context is None else context
        items = np.zeros((len(sequences), max(width, 1)), dtype=np.int32)
        for row, sequence in enumerate(sequences):
            newest = list(sequence)[-width:] if width else []
            if newest:
                items[row, -len(newest) :] = newest
        return cls(items)


@dataclass(frozen=True, eq=False)
class InteractionLog:
    """An immutable log of (user, item, timestamp), sorted by (user, timestamp, arrival).

    Build one with `from_columns`; the plain constructor expects sorted rows.

    Attributes:
        user: int32 [n], 0…n_users − 1. item: int32 [n], 1…n_items. timestamp: int64 [n], seconds (or any order).
        n_users, n_items: sizes of the vocabularies; users or items without rows are allowed.
        user_ids, item_ids: the raw ids, `item_ids[i − 1]` for dense item i; or None where ids were dense already.
        name: where it came from, for reports.
        notes: what a reader of a report should know about how it was read (no times, exact duplicates, …).
    """

    user: Int32
    item: Int32
    timestamp: Int64
    n_users: int
    n_items: int
    user_ids: NDArray[Any] | None = field(default=None, repr=False)
    item_ids: NDArray[Any] | None = field(default=None, repr=False)
    name: str = "log"
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "user", _frozen(self.user, np.int32))
        object.__setattr__(self, "item", _frozen(self.item, np.int32))
        object.__setattr__(self, "timestamp", _frozen(self.timestamp, np.int64))

    @classmethod
    def from_columns(
        cls,
        user: ArrayLike,
        item: ArrayLike,
        timestamp: ArrayLike,
        *,
        n_users: int | None = None,
        n_items: int | None = None,
        user_ids: NDArray[Any] | None = None,
        item_ids: NDArray[Any] | None = None,
        name: str = "log",
        notes: tuple[str, ...] = (),
    ) -> InteractionLog:
        """Sort dense columns stably, so that rows with equal (user, timestamp) keep their order of arrival.

        Raises:
            InputError: ids outside 0…n_users − 1 or 1…n_items, or columns of unequal length.
        """
        users, items = _whole(user), _whole(item)
        times = np.asarray(timestamp, dtype=np.int64)
        if not len(users) == len(items) == len(times):
            raise InputError(f"Columns differ in length: {len(users)}, {len(items)}, {len(times)}.")
        n_users = int(users.max(initial=-1)) + 1 if n_users is None else n_users
        n_items = int(items.max(initial=0)) if n_items is None else n_items
        if len(users) and (users.min() < 0 or users.max() >= n_users):
            raise InputError(f"Dense user ids run from 0 to {n_users - 1}; got {users.min()}…{users.max()}.")
        if len(items) and (items.min() < 1 or items.max() > n_items):
            raise InputError(f"Dense item ids run from 1 to {n_items}; got {items.min()}…{items.max()}.")
        same_user = users[1:] == users[:-1]
        if np.any(users[1:] < users[:-1]) or np.any(same_user & (times[1:] < times[:-1])):
            order = np.lexsort((times, users))  # a stable merge sort: arrival order breaks ties
            users, items, times = users[order], items[order], times[order]
            del order
        dense = users.astype(np.int32), items.astype(np.int32)
        return cls(*dense, times, n_users, n_items, user_ids, item_ids, name, notes)

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def offsets(self) -> Int64:
        """int64 [n_users + 1]: the rows of user u are offsets[u] … offsets[u + 1] − 1."""
        return _frozen(np.searchsorted(self.user, np.arange(self.n_users + 1)), np.int64)

    @cached_property
    def lengths(self) -> Int64:
        """int64 [n_users], rows per user."""
        return _frozen(np.diff(self.offsets), np.int64)

    @cached_property
    def popularity(self) -> Int64:
        """int64 [n_items + 1], rows per item; entry 0 (padding) is 0."""
        return _frozen(np.bincount(self.item, minlength=self.n_items + 1), np.int64)

    @cached_property
    def holders(self) -> Int64:
        """int64 [n_items + 1], distinct users per item; entry 0 (padding) is 0."""
        pairs = np.unique(self.user.astype(np.int64) * (self.n_items + 1) + self.item)
        return _frozen(np.bincount(pairs % (self.n_items + 1), minlength=self.n_items + 1), np.int64)

    @cached_property
    def position(self) -> Int64:
        """int64 [n], each row's place within its user, from 0."""
        return _frozen(np.arange(len(self)) - self.offsets[self.user], np.int64)

    def rows(self, keep: Bool | NDArray[np.integer[Any]]) -> InteractionLog:
        """The log with only these rows (a mask, or increasing indices); vocabularies stay as they are."""
        return replace(self, user=self.user[keep], item=self.item[keep], timestamp=self.timestamp[keep])

    def without_users(self, drop: Bool) -> InteractionLog:
        """The log without the rows of the users marked in `drop` [n_users]; users keep their ids."""
        return self.rows(~np.asarray(drop, dtype=bool)[self.user])

    def sequences(self, context: int, users: NDArray[np.integer[Any]] | None = None) -> SequenceBatch:
        """The newest `context` items of each user (all users, or those listed), left-padded."""
        chosen = np.arange(self.n_users) if users is None else np.asarray(users)
        stop = self.offsets[chosen + 1][:, None]
        index = stop - np.arange(context, 0, -1)[None, :]
        valid = index >= self.offsets[chosen][:, None]
        if len(self) == 0:
            return SequenceBatch(np.zeros(index.shape, np.int32), chosen, np.zeros(index.shape, np.int64))
        index = np.where(valid, index, 0)
        items = np.where(valid, self.item[index], 0)
        return SequenceBatch(items, chosen, np.where(valid, self.timestamp[index], 0))


Scope = Literal["train", "history"]


@dataclass(frozen=True, eq=False)
class LogEdit:
    """What a poisoning attack does to a log; the harness applies it, so an attack never touches the log itself.

    Attributes:
        add: int32 [fake users, profile length], items of fake users in order, 0 only at the end of a profile.
        times: int64 of the same shape, strictly increasing within a profile; None means "positions".
        remove: indices of genuine rows to delete.
        replace_rows, replace_items: genuine rows whose item changes, and the new items.
        move_rows, move_times: genuine rows that move in time, and their new timestamps.
        insert_users, insert_items, insert_times: rows inserted into genuine users' sequences.
        scope: `train` if only the fit sees it, `history` if the inputs at test time do too.
    """

    add: Int32 = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    times: Int64 | None = None
    remove: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    replace_rows: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    replace_items: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    move_rows: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    move_times: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    insert_users: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    insert_items: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    insert_times: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    scope: Scope = "train"

    @property
    def fake_users(self) -> int:
        """How many fake users are added."""
        return len(self.add)

    @property
    def touched_rows(self) -> int:
        """How many genuine rows are removed, replaced, moved or inserted; a row touched twice counts once."""
        touched = np.concatenate([self.remove, self.replace_rows, self.move_rows])
        return len(np.unique(touched)) + len(self.insert_users)

    def apply(self, log: InteractionLog) -> InteractionLog:
        """The edited log. Fake users come after the genuine ones: n_users … n_users + fake_users − 1."""
        item, timestamp = log.item.copy(), log.timestamp.copy()
        item[self.replace_rows] = self.replace_items
        timestamp[self.move_rows] = self.move_times
        keep = np.ones(len(log), dtype=bool)
        keep[self.remove] = False
        filled = self.add != 0
        times = np.broadcast_to(np.arange(self.add.shape[1]), self.add.shape) if self.times is None else self.times
        fake = np.repeat(np.arange(self.fake_users) + log.n_users, filled.sum(axis=1))
        return InteractionLog.from_columns(
            np.concatenate([log.user[keep], self.insert_users, fake]),
            np.concatenate([item[keep], self.insert_items, self.add[filled]]),
            np.concatenate([timestamp[keep], self.insert_times, times[filled]]),
            n_users=log.n_users + self.fake_users,
            n_items=log.n_items,
            user_ids=None if self.fake_users else log.user_ids,  # a fake user has no id, and would stand out by it
            item_ids=log.item_ids,
            name=log.name,
            notes=log.notes,
        )


for _call in robust.when_log_is_imported:
    _call()
