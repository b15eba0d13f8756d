"""The k-core filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robust.errors import InputError
from robust.log import InteractionLog


def is_positional(log: InteractionLog) -> bool:
    """Whether timestamps are 0, 1, 2, … within every user: what readers write where a file has no times."""
    return bool(np.array_equal(log.timestamp, log.position))


def k_core(log: InteractionLog, k: int) -> InteractionLog:
    """The largest part of the log in which every user and every item has at least k rows.

    Users and items that fall out keep their ids: vocabularies stay as they are. Positions that stand in for times are
    counted anew, so that they stay positions.

    Raises:
        InputError: k is negative, or nothing is left.
    """
    if k < 0:
        raise InputError(f"A k-core needs k ≥ 0; got {k}.")
    user, item = log.user, log.item
    rows = np.arange(len(log))
    while True:
        users, items = np.bincount(user, minlength=log.n_users), np.bincount(item, minlength=log.n_items + 1)
        keep = (users[user] >= k) & (items[item] >= k)
        if keep.all():
            break
        user, item, rows = user[keep], item[keep], rows[keep]
    if not len(rows):
        raise InputError(f"{log.name}: no users and items with {k} rows each are left. Ask for a smaller core.")
    if len(rows) == len(log):
        return log
    kept = log.rows(rows)
    return replace(kept, timestamp=kept.position) if is_positional(log) else kept
