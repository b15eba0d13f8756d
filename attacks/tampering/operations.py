"""What may be done to genuine rows, and how a budget of rows is shared out: common to all that tampers.

    deletion      the row goes
    replacement   the row shows another item
    insertion     the same user takes another item at the same time, after all that stands there
    move          the row happens when another row of the log, drawn at random, happened

A row that is inserted counts as one row, and so does a row that is changed in two ways (`LogEdit.touched_rows`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32, Int64, InteractionLog, LogEdit, Scope

Operation = Literal["deletion", "replacement", "insertion"]
ItemChoice = Literal["unpopular", "uniform"]
"""`unpopular`: the item with the fewest train rows (at least one), the next but one where it stands there already."""


def draw_rows(log: InteractionLog, count: int, rng: np.random.Generator) -> Int64:
    """int64 [count], rows drawn uniformly without replacement; of one seed, a larger draw begins with a smaller."""
    return rng.permutation(len(log))[:count]


def share_out(log: InteractionLog, each: int, keep: int, rows: int, rng: np.random.Generator) -> Int64:
    """int64 [n_users], how many rows each user loses, `rows` in all at most.

    Users come in random order; each loses `each` rows, but for the newest reached, who loses what is left of the
    budget, and for those too short, who keep `keep`.
    """
    order = rng.permutation(log.n_users)
    wanted = np.clip(log.lengths[order] - keep, 0, each)
    lost = np.zeros(log.n_users, dtype=np.int64)
    lost[order] = np.clip(rows - (np.cumsum(wanted) - wanted), 0, wanted)
    return lost


def draw_rows_of_users(log: InteractionLog, lost: NDArray[np.integer], rng: np.random.Generator) -> Int64:
    """Increasing row indices: of each user, `lost` [n_users] rows drawn uniformly."""
    shuffled = np.lexsort((rng.random(len(log)), log.user))
    # the users' rows stand together in both orders, so a place in one is a place in the other
    return np.sort(shuffled[log.position < lost[log.user]])


def tamper(
    log: InteractionLog,
    rows: Int64,
    operation: Operation | Literal["move"],
    item: ItemChoice,
    scope: Scope,
    rng: np.random.Generator,
) -> LogEdit:
    """The edit that does this to each of these rows."""
    if operation == "deletion":
        return LogEdit(remove=rows, scope=scope)
    if operation == "move":
        times = log.timestamp[rng.integers(len(log), size=len(rows))] if len(rows) else log.timestamp[:0]
        return LogEdit(move_rows=rows, move_times=times, scope=scope)
    items = _other_items(log, rows, item, rng)
    if operation == "replacement":
        return LogEdit(replace_rows=rows, replace_items=items, scope=scope)
    return LogEdit(insert_users=log.user[rows], insert_items=items, insert_times=log.timestamp[rows], scope=scope)


def _other_items(log: InteractionLog, rows: Int64, item: ItemChoice, rng: np.random.Generator) -> Int32:
    """int32 [rows], an item for each row, another one than stands there if the log has two."""
    standing = log.item[rows]
    if item == "uniform":
        # a shift by 1 … n_items − 1 around the circle of ids
        shift = rng.integers(1, max(log.n_items, 2), size=len(rows))
        return ((standing - 1 + shift) % log.n_items + 1).astype(np.int32)
    trained = np.flatnonzero(log.popularity)
    rarest = trained[np.argsort(log.popularity[trained], kind="stable")[:2]]
    return np.where(standing == rarest[:1], rarest[-1:], rarest[:1]).astype(np.int32)
