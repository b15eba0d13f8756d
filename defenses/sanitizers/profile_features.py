"""Features of implicit profiles: what a fake user's set of items looks like beside everybody else's.

A user's items count once each, N_u of them; the degree d_i of an item is how many users hold it.

    degree_mean, degree_range,   of d_i over the profile: DegreeSAD (Li et al., "Shilling attack detection in
    degree_lower_quartile        recommender systems via selecting patterns analysis", IEICE Trans. 2016)
    length                       log N_u
    length_deviation             LengthVar_u = |N_u − N̄| / Σ_v (N_v − N̄)² (Chirita et al., WIDM 2005)
    rdma, wdma                   Σ_{i ∈ u} 1/d_i and Σ_{i ∈ u} 1/d_i², over N_u (the same; Burke et al., KDD 2006);
                                 all deviations of ratings are 1, since an implicit log has none
    deg_sim                      mean cosine to the k most similar users (the same)
    popularity_entropy           Shannon entropy of the profile over tenths of the rows, items sorted by popularity
    repetition                   rows per item held

Known deviations: the released DegreeSAD (SDLib) forgets to divide its mean. Degrees, RDMA, WDMA and LengthVar are taken
as logarithms, which changes no ranking of a feature, since a forest that cuts at uniform places would not see the low
end of a heavy tail. DegSim is taken over `REFERENCES` users at most, drawn by what they hold, so that it stays fast: of
n users, about k · REFERENCES / n of the k most similar ones are then met, and the mean reaches down to less similar
users. All is equal for users who hold the same, whatever their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from robust.defense.noise import splitmix
from robust.log import InteractionLog

Float64 = NDArray[np.float64]

NAMES = (
    "degree_mean",
    "degree_range",
    "degree_lower_quartile",
    "length",
    "length_deviation",
    "rdma",
    "wdma",
    "deg_sim",
    "popularity_entropy",
    "repetition",
)
OF_LENGTH = ("length", "length_deviation")
"""Features that say nothing but how long a profile is."""

REFERENCES = 2000
"""How many users at most a user is compared with for DegSim."""
BLOCK = 1 << 22
"""Elements of one block of similarities (32 MiB)."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


def profile_keys(log: InteractionLog, seed: int) -> NDArray[np.uint64]:
    """uint64 [n_users], a random number of each user that depends on the seed and on the items held, nothing else.

    The same items, in any order and at any times, have the same number: what is drawn by it says nothing about who is
    appended last, and copies of a profile fall together.
    """
    with np.errstate(over="ignore"):
        state = log.item.astype(np.uint64) * _ODD + np.uint64(seed % 2**64)
        state = splitmix(state)
        keys = np.zeros(log.n_users, dtype=np.uint64)
        active = np.flatnonzero(log.lengths > 0)
        if len(active):
            keys[active] = np.add.reduceat(state, log.offsets[active])
        return splitmix(keys)


def profile_features(log: InteractionLog, users: NDArray[np.int64], seed: int, *, neighbours: int = 25) -> Float64:
    """float64 [len(users), len(NAMES)], finite.

    Args:
        users: those with rows. seed: draws the users that DegSim compares with. neighbours: k.
    """
    held = _held(log, users)
    degree = np.bincount(held.indices, minlength=log.n_items + 1).astype(np.float64)
    count = np.diff(held.indptr)
    starts = held.indptr[:-1]
    own = degree[held.indices]  # one per user and item held, user by user
    # user by user, ascending: the quartile is an entry
    row = np.repeat(np.arange(len(users)), count)
    ascending = own[np.lexsort((own, row))]
    deviation = np.abs(count - count.mean())
    columns = {
        "degree_mean": np.log(np.add.reduceat(own, starts) / count),
        "degree_range": np.log1p(ascending[starts + count - 1] - ascending[starts]),
        "degree_lower_quartile": np.log(ascending[starts + (count - 1) // 4]),
        "length": np.log(count),
        "length_deviation": np.log1p(deviation / max(float((deviation**2).sum()), 1e-12) * len(users)),
        "rdma": np.log(np.add.reduceat(1 / own, starts) / count),
        "wdma": np.log(np.add.reduceat(1 / own**2, starts) / count),
        "deg_sim": _degree_of_similarity(held, profile_keys(log, seed)[users], neighbours),
        "popularity_entropy": _popularity_entropy(log, held, row),
        "repetition": log.lengths[users] / count,
    }
    return np.stack([columns[name] for name in NAMES], axis=1)


def beside_length(values: Float64, length: NDArray[np.int64]) -> Float64:
    """float64 [n, columns], what is left of each column after a quadratic in log length: how unusual for a length.

    Long profiles reach further down the catalogue and have wider extremes, whoever has them.
    """
    log_length = np.log(length)
    basis = np.vander(log_length - log_length.mean(), 3)
    return np.asarray(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0])


def _held(log: InteractionLog, users: NDArray[np.int64]) -> Any:
    """csr [len(users), n_items + 1] of ones."""
    size = log.n_items + 1
    row = np.full(log.n_users, -1, dtype=np.int64)
    row[users] = np.arange(len(users))
    cells = np.unique(row[log.user] * size + log.item)
    starts = np.searchsorted(cells, np.arange(len(users) + 1) * size)
    return sparse.csr_array((np.ones(len(cells), np.float32), cells % size, starts), shape=(len(users), size))


def _popularity_entropy(log: InteractionLog, held: Any, row: NDArray[np.int64]) -> Float64:
    """In nats, over ten groups of items that hold as many rows each; items of equal popularity are in one group."""
    counts, inverse = np.unique(log.popularity, return_inverse=True)
    rows = np.cumsum(np.bincount(inverse, minlength=len(counts)) * counts)
    group = np.minimum((rows - 1) * 10 // max(len(log), 1), 9)[inverse]
    histogram = np.bincount(row * 10 + group[held.indices], minlength=held.shape[0] * 10).reshape(-1, 10)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    return np.asarray(-np.sum(share * np.log(np.where(share > 0, share, 1)), axis=1))


def _degree_of_similarity(held: Any, keys: NDArray[np.uint64], neighbours: int) -> Float64:
    """Mean cosine to the most similar reference users, oneself left out."""
    users = held.shape[0]
    references = np.argsort(keys, kind="stable")[:REFERENCES]
    k = min(neighbours, len(references) - 1)
    if k < 1:
        return np.zeros(users)
    length = np.sqrt(np.diff(held.indptr)).astype(np.float32)
    scaled = sparse.csr_array(sparse.diags_array(1 / length) @ held)
    others = sparse.csr_array(scaled[references].T)
    column = np.full(users, -1)
    column[references] = np.arange(len(references))
    similarity = np.empty(users)
    rows = max(BLOCK // len(references), 1)
    for start in range(0, users, rows):
        part = np.asarray((scaled[start : start + rows] @ others).toarray())
        self_ = column[start : start + rows]
        part[np.flatnonzero(self_ >= 0), self_[self_ >= 0]] = -1
        similarity[start : start + rows] = np.partition(part, -k, axis=1)[:, -k:].mean(axis=1, dtype=np.float64)
    return similarity
