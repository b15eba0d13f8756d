"""How similar items are by who holds them: Sarwar et al., WWW 2001, the cosine over users of implicit data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from robust.log import InteractionLog


def held_items(log: InteractionLog) -> sparse.csr_array:
    """float64 [n_users, n_items + 1]: 1 where a user holds an item, however often."""
    ones = np.ones(len(log))
    held = sparse.csr_array((ones, (log.user, log.item)), shape=(log.n_users, log.n_items + 1))
    held.data[:] = 1.0
    return held


def co_occurrence(log: InteractionLog, items: NDArray[np.integer]) -> NDArray[np.float64]:
    """float64 [t, n_items + 1]: users who hold both, over the root of the product of each one's holders.

    Between 0 (nobody holds both, or nobody holds one of them) and 1 (the same users hold both).
    """
    held = held_items(log)
    both = (sparse.csc_array(held)[:, items].T @ held).toarray()
    holders = np.asarray(held.sum(axis=0), dtype=np.float64).ravel()
    return np.asarray(both / np.sqrt(np.maximum(np.outer(holders[items], holders), 1.0)), dtype=np.float64)
