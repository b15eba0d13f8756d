"""What holds for every log: reading loses nothing, ties keep their order, a core is a core, splits do not leak."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.datasets import global_time, k_core, leave_last_out, open_log, repeat_share
from robust.errors import InputError
from robust.log import InteractionLog

Row = tuple[str, str, int]
NAMES = st.text("abc0129é-", min_size=1, max_size=3).filter(lambda name: not name.startswith("-"))
# few users, items and times, so that ties, repeats and exact duplicates are common
ROWS = st.lists(st.tuples(NAMES, NAMES, st.integers(0, 3)), min_size=1, max_size=40)


def plain(rows: list[Row]) -> str:
    return "user,item,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time in rows)


def quoted(rows: list[Row]) -> str:
    return "title,ts,item,user\n" + "".join(f'"a\n""b"",",{time},"{item}","{user}"\n' for user, item, time in rows)


def movielens(rows: list[Row]) -> str:
    return "".join(f"{user}::{item}::4.5::{time}\n" for user, item, time in rows)


def recbole(rows: list[Row]) -> str:
    header = "item_id:token\tuser_id:token\ttimestamp:float\n"
    return header + "".join(f"{item}\t{user}\t{time}.0\n" for user, item, time in rows)


SPELLINGS = {"plain.csv": plain, "quoted.csv": quoted, "ratings.dat": movielens, "typed.inter": recbole}


def written(rows: list[Row], name: str) -> InteractionLog:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(SPELLINGS[name](rows), encoding="utf-8")
        return open_log(path)


def by_hand(rows: list[Row]) -> dict[str, list[str]]:
    """Each user's items, sorted by time only: Python's sort is stable, so that arrival breaks ties."""
    found: dict[str, list[str]] = defaultdict(list)
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        found[user].append(item)
    return found


@pytest.mark.parametrize("name", SPELLINGS)
@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_reading_gives_every_users_items_in_order(name: str, rows: list[Row]) -> None:
    log = written(rows, name)
    assert log.user_ids is not None
    assert log.item_ids is not None
    sequences: dict[str, list[str]] = defaultdict(list)
    for user, item in zip(log.user, log.item, strict=True):
        sequences[str(log.user_ids[user])].append(str(log.item_ids[item - 1]))
    assert sequences == by_hand(rows)
    assert log.item_ids.tolist() == sorted(set(log.item_ids.tolist()))
    assert log.user_ids.tolist() == sorted(set(log.user_ids.tolist()))


LOGS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 9)), min_size=1, max_size=60).map(
    lambda rows: InteractionLog.from_columns(*np.array(rows).T, n_users=7, n_items=8)
)


@settings(deadline=None, max_examples=60)
@given(log=LOGS, k=st.integers(0, 4))
def test_core_is_the_largest_log_in_which_everyone_has_k_rows(log: InteractionLog, k: int) -> None:
    rows = list(zip(log.user.tolist(), log.item.tolist(), strict=True))
    while True:
        users, items = Counter(user for user, _ in rows), Counter(item for _, item in rows)
        fewer = [(user, item) for user, item in rows if users[user] >= k and items[item] >= k]
        if len(fewer) == len(rows):
            break
        rows = fewer
    if not rows:
        with pytest.raises(InputError):
            k_core(log, k)
        return
    core = k_core(log, k)
    assert list(zip(core.user.tolist(), core.item.tolist(), strict=True)) == rows


@settings(deadline=None, max_examples=60)
@given(log=LOGS)
def test_leave_last_out_takes_one_row_of_everyone_who_can_spare_it(log: InteractionLog) -> None:
    if (log.lengths < 2).all():
        with pytest.raises(InputError):
            leave_last_out(log)
        return
    split = leave_last_out(log)
    together = split.histories(100)
    for row, user in enumerate(split.users):
        own = log.item[log.user == user].tolist()
        history = together.items[row][together.items[row] > 0].tolist()
        assert [*history, split.targets[row]] == own
    assert len(split.train) + len(split.users) == len(log)


@settings(deadline=None, max_examples=60)
@given(log=LOGS, share=st.floats(0.05, 0.95))
def test_global_time_never_looks_ahead(log: InteractionLog, share: float) -> None:
    try:
        split = global_time(log, share)
    except InputError:
        return
    assert len(split.train) >= share * len(log)
    cut = split.train.timestamp.max()
    for user, target in zip(split.users, split.targets, strict=True):
        later = log.item[(log.user == user) & (log.timestamp > cut)]
        assert target == later[0]
    assert (split.train.lengths[split.users] > 0).all()


@settings(deadline=None, max_examples=60)
@given(log=LOGS)
def test_repeats_are_rows_beyond_the_first_of_their_pair(log: InteractionLog) -> None:
    pairs = Counter(zip(log.user.tolist(), log.item.tolist(), strict=True))
    assert repeat_share(log) == pytest.approx(sum(count - 1 for count in pairs.values()) / len(log))
