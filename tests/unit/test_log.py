"""Logs, edits and batches: what is sorted how, what an edit does, and that nothing can be changed in place."""

from __future__ import annotations

import numpy as np
import pytest

from robust.errors import InputError
from robust.log import InteractionLog, LogEdit, SequenceBatch

LOG = InteractionLog.from_columns(
    user=[1, 0, 1, 0, 1],
    item=[4, 2, 5, 3, 1],
    timestamp=[7, 5, 7, 1, 2],
    n_users=3,
    n_items=6,
    item_ids=np.array(list("abcdef")),
)


def rows(log: InteractionLog) -> list[tuple[int, int, int]]:
    return list(zip(log.user.tolist(), log.item.tolist(), log.timestamp.tolist(), strict=True))


def test_rows_are_sorted_by_user_time_and_arrival() -> None:
    assert rows(LOG) == [(0, 3, 1), (0, 2, 5), (1, 1, 2), (1, 4, 7), (1, 5, 7)]
    assert LOG.offsets.tolist() == [0, 2, 5, 5]
    assert LOG.lengths.tolist() == [2, 3, 0]
    assert LOG.popularity.tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert LOG.position.tolist() == [0, 1, 0, 1, 2]


def test_sequences_keep_the_newest_and_pad_to_the_left() -> None:
    batch = LOG.sequences(2)
    assert batch.items.tolist() == [[3, 2], [4, 5], [0, 0]]
    assert batch.timestamps is not None
    assert batch.timestamps.tolist() == [[1, 5], [7, 7], [0, 0]]
    assert LOG.sequences(4, np.array([1])).items.tolist() == [[0, 1, 4, 5]]
    assert LOG.without_users(np.array([True, False, False])).lengths.tolist() == [0, 3, 0]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        (([0], [1, 2], [1, 2]), "differ in length: 1, 2, 2"),
        (([-1], [1], [1]), "user ids run from 0"),
        (([0], [0], [1]), "item ids run from 1"),
    ],
)
def test_columns_that_are_no_log(columns: tuple[list[int], list[int], list[int]], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        InteractionLog.from_columns(*columns)


def test_an_edit_does_each_thing_it_says() -> None:
    edit = LogEdit(
        add=np.array([[6, 1], [2, 0]], dtype=np.int32),
        times=np.array([[3, 4], [9, 0]]),
        remove=np.array([2]),
        replace_rows=np.array([0]),
        replace_items=np.array([6], dtype=np.int32),
        move_rows=np.array([1]),
        move_times=np.array([0]),
        insert_users=np.array([2], dtype=np.int32),
        insert_items=np.array([4], dtype=np.int32),
        insert_times=np.array([8]),
    )
    edited = edit.apply(LOG)
    assert rows(edited) == [(0, 2, 0), (0, 6, 1), (1, 4, 7), (1, 5, 7), (2, 4, 8), (3, 6, 3), (3, 1, 4), (4, 2, 9)]
    assert (edit.fake_users, edit.touched_rows, edited.n_users, edited.n_items) == (2, 4, 5, 6)
    assert edited.item_ids is LOG.item_ids
    assert rows(LOG)[0] == (0, 3, 1), "the log itself is untouched"


def test_an_empty_edit_is_the_identity() -> None:
    named = InteractionLog.from_columns([0, 1], [1, 2], [5, 5], user_ids=np.array(["x", "y"]))
    edited = LogEdit().apply(named)
    for field in ("user", "item", "timestamp"):
        assert getattr(edited, field).tobytes() == getattr(named, field).tobytes()
    assert edited.user_ids is named.user_ids


def test_a_fake_profile_without_times_keeps_its_order() -> None:
    edited = LogEdit(add=np.array([[6, 1, 3]], dtype=np.int32)).apply(LOG)
    assert edited.sequences(3).items[3].tolist() == [6, 1, 3]


def test_nothing_is_writeable() -> None:
    batch = SequenceBatch([[0, 1]], timestamps=[[0, 9]])
    assert batch.timestamps is not None
    for array in (LOG.user, LOG.item, LOG.timestamp, batch.items, batch.users, batch.timestamps, batch.lengths):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_batches_check_their_shapes() -> None:
    with pytest.raises(InputError, match=r"shape \[B, L\]"):
        SequenceBatch([1, 2])
    with pytest.raises(InputError, match="users has shape"):
        SequenceBatch([[1, 2]], [0, 1])
    with pytest.raises(InputError, match="timestamps have shape"):
        SequenceBatch([[1, 2]], timestamps=[[1, 2, 3]])


def test_batches_cut_and_replace() -> None:
    batch = SequenceBatch.from_lists([[1, 2, 3], [4], []])
    assert batch.items.tolist() == [[1, 2, 3], [0, 0, 4], [0, 0, 0]]
    assert batch.lengths.tolist() == [3, 1, 0]
    assert batch.truncate(2).items.tolist() == [[2, 3], [0, 4], [0, 0]]
    assert batch.truncate(9) is batch
    assert [len(chunk) for chunk in batch.chunks(2)] == [2, 1]
    timed = SequenceBatch([[1, 2]], timestamps=[[5, 6]])
    assert timed.with_items([[2, 1]]).timestamps is not None
    assert timed.with_items([[0, 2, 1]]).timestamps is None
    assert SequenceBatch.from_lists([[1, 2, 3]], context=2).items.tolist() == [[2, 3]]


def test_holders_are_users_not_rows() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 1, 2], [1, 1, 3, 1, 2], range(5), n_items=4)
    assert log.popularity.tolist() == [0, 3, 1, 1, 0]
    assert log.holders.tolist() == [0, 2, 1, 1, 0]


def test_columns_of_32_bits_are_not_shared_with_the_log() -> None:
    user, item = np.array([0, 0, 1], np.int32), np.array([1, 2, 1], np.int32)
    log = InteractionLog.from_columns(user, item, [0, 1, 0])
    user[:], item[:] = 1, 2
    assert (log.user.tolist(), log.item.tolist()) == ([0, 0, 1], [1, 2, 1])
    with pytest.raises(InputError, match="got -1"):
        InteractionLog.from_columns(np.array([-1], np.int32), item[:1], [0])
