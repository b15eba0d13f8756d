"""PCA VarSelect: fake users covary with one another's noise, not with the main directions of genuine taste.

Mehta and Nejdl, "Unsupervised Strategies for Shilling Detection and Robust Collaborative Filtering", UMUAI 2009:
z-score each user's row, take the user-by-user covariance, and flag the users whose loadings on the first three
principal components are smallest,

    suspicion_u = −Σ_{k ≤ 3} v_k[u]²,   as many users flagged as the assumed attack size says.

On implicit logs a row is 1 where the user has the item. The covariance (users²) is never formed: its eigenvectors are
the left singular vectors of the z-scored matrix, which is itself only multiplied, never filled in.

Known deviations: SDLib takes the item covariance, uncentred; here the definition. A user without rows has no profile
and is never suspect. Order and times play no part.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.defense import Detector
from robust.log import InteractionLog

SMALL = 16
"""Matrices with a side up to this are decomposed whole; ARPACK needs more rows and columns than components."""


class PCAVarSelect(Detector):
    """Suspects the users that load least on the first components.

    Attributes:
        components: how many principal components count.
    """

    name: ClassVar[str] = "pca"
    source: ClassVar[str] = "Mehta and Nejdl, UMUAI 2009 (doi 10.1007/s11257-008-9050-4)"
    assumptions: ClassVar[str] = (
        "Genuine tastes share a few main directions, fake profiles load on none of them, and their number is known."
    )
    weaknesses: ClassVar[str] = (
        "Sees only which items a profile holds, not their order or times. It removes the assumed share whether or not "
        "anybody attacks, genuine users of unusual taste first. Fakes that resemble the genuine majority (many "
        "popular items, short profiles) load like it and are missed: judge it by the adaptive search."
    )

    components: int = Field(default=3, ge=1)

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        """float64 [n_users] in −1…0; −1, the least, for users without rows."""
        suspicion = np.full(log.n_users, -1.0)
        active = np.flatnonzero(log.lengths > 0)
        if len(active):
            suspicion[active] = -loadings(log, active, self.components, rng)
        return suspicion


def loadings(
    log: InteractionLog, users: NDArray[np.int64], components: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """float64 [len(users)], Σ_k v_k[u]² over the first principal components of the users' covariance."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import LinearOperator, svds

    row = np.full(log.n_users, -1)
    row[users] = np.arange(len(users))
    held = coo_array((np.ones(len(log)), (row[log.user], log.item - 1)), shape=(len(users), log.n_items)).tocsr()
    held.sum_duplicates()
    held.data[:] = 1.0
    mean = np.asarray(held.sum(axis=1)) / log.n_items
    spread = np.sqrt(mean * (1 - mean))
    scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0.0)  # a user with every item has no variance

    def forward(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = vector.ravel()
        return np.asarray(scale * (held @ flat - mean * flat.sum()))

    def backward(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = scale * vector.ravel()
        return np.asarray(held.T @ scaled - mean @ scaled)

    if min(held.shape) <= max(SMALL, components + 1):
        dense = scale[:, None] * (held.toarray() - mean[:, None])
        left = np.linalg.svd(dense, full_matrices=False)[0][:, :components]
    else:
        operator = LinearOperator(held.shape, matvec=forward, rmatvec=backward, dtype=np.float64)
        start = rng.standard_normal(min(held.shape))
        left = svds(operator, k=components, v0=start, return_singular_vectors="u")[0]
    return np.asarray((left**2).sum(axis=1))
