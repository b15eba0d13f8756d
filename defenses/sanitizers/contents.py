"""A canonical order of users, so that ties need not be broken by user numbers, of which fake users have the highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robust.defense.noise import splitmix
from robust.log import InteractionLog


def contents(log: InteractionLog) -> NDArray[np.uint64]:
    """uint64 [n_users], a hash of each user's sequence of items: users who tie in it differ in number and times only.

    The sum of splitmix64 (Steele, Lea and Flood, OOPSLA 2014) of (item, position); 0 for users without rows.
    """
    mixed = log.item.astype(np.uint64) << np.uint64(32) | log.position.astype(np.uint64)
    hashed = np.zeros(log.n_users, dtype=np.uint64)
    filled = np.flatnonzero(log.lengths > 0)
    if len(filled):
        hashed[filled] = np.add.reduceat(splitmix(mixed), log.offsets[filled])
    return hashed
