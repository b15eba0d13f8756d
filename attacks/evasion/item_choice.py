"""Which item comes in, when an item of a sequence is replaced or another one is put beside it.

    uniform           any other item
    popular           any other item, by its number of train rows (needs `log: popularity`)
    neighbours        one of the `NEAREST` most similar to the item that it replaces or stands beside
    anti-neighbours   one of the `NEAREST` least similar

Similar means a large cosine of the victim's item embeddings where gradients are granted, else of the items that stand
next to them in the train rows, which needs `log: full`. Ties (two items that never share a neighbour) fall as drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robust.access import AccessView
from robust.log import Int32, InteractionLog

Choice = Literal["uniform", "popular", "neighbours", "anti-neighbours"]
Draw = Callable[[NDArray[np.integer[Any]], np.random.Generator], NDArray[np.integer[Any]]]
"""From the items [R] that are replaced (or stand beside), and a generator, others [R]; 0 stands for no item."""
NEAREST = 10
CHUNK = 1024
"""Items whose similarities to all others are computed at a time."""


def drawing(choice: Choice, access: AccessView, rng: np.random.Generator) -> Draw:
    """A function that draws items in this way.

    Raises:
        NotKnown: the attacker's knowledge does not grant what the choice needs.
    """
    if choice == "uniform":
        return _uniform(access.n_items)
    if choice == "popular":
        return _by_weight(access.popularity[: access.n_items + 1].astype(np.float64))
    if access.n_items < 2:  # no other item to be similar to
        return _uniform(access.n_items)
    return _of_table(similar(access, rng, most=choice == "neighbours"), _uniform(access.n_items))


def coldest(access: AccessView) -> Draw:
    """Uniformly, any of the lowest fifth of popularity that has a train row (`cold*n` of goals; at least one item)."""
    popularity = access.popularity
    trained = np.flatnonzero(popularity[: access.n_items + 1] > 0)
    by_popularity = trained[np.argsort(popularity[trained], kind="stable")]
    cold = by_popularity[: max(len(by_popularity) // 5, 1)]

    def draw(standing: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.integer[Any]]:
        drawn: NDArray[np.integer[Any]] = cold[rng.integers(len(cold), size=len(standing))]
        return drawn

    return draw


def _uniform(n_items: int) -> Draw:
    def draw(standing: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.integer[Any]]:
        # a shift around the circle of ids reaches each of the others alike
        shifted = (standing - 1 + rng.integers(1, max(n_items, 2), size=len(standing))) % n_items + 1
        return np.where(standing > 0, shifted, rng.integers(1, n_items + 1, size=len(standing)))

    return draw


def _by_weight(weights: NDArray[np.float64]) -> Draw:
    """Proportional to weights [n_items + 1], without the standing item."""
    ends = np.cumsum(weights)

    def draw(standing: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.integer[Any]]:
        own = np.where(standing > 0, weights[standing], 0.0)
        point = rng.random(len(standing)) * (ends[-1] - own)
        point += np.where((standing > 0) & (point >= ends[standing] - own), own, 0.0)  # past the standing item's share
        return np.asarray(np.clip(np.searchsorted(ends, point, side="right"), 1, len(weights) - 1))

    return draw


def _of_table(table: Int32, otherwise: Draw) -> Draw:
    """A random entry of the standing item's row of `table` [n_items + 1, m]; beside no item, `otherwise`."""

    def draw(standing: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.integer[Any]]:
        drawn = table[standing, rng.integers(table.shape[1], size=len(standing))]
        return np.where(standing > 0, drawn, otherwise(standing, rng))

    return draw


def similar(access: AccessView, rng: np.random.Generator, *, most: bool) -> Int32:
    """int32 [n_items + 1, m], the m most (or least) similar other items of each item; row 0 is not to be read."""
    white_box = access.knowledge.grants_model("gradients")
    units: Any = _embedded(access) if white_box else _beside(access.log)
    table = np.zeros((access.n_items + 1, min(NEAREST, access.n_items - 1)), np.int32)
    order = rng.permutation(access.n_items) + 1  # ties fall as drawn
    for start in range(1, access.n_items + 1, CHUNK):
        asked = np.arange(start, min(start + CHUNK, access.n_items + 1))
        cosine = units[asked] @ units[order].T
        cosine = np.asarray(cosine.todense() if hasattr(cosine, "todense") else cosine, dtype=np.float64)
        cosine = -cosine if most else cosine
        cosine[order[None, :] == asked[:, None]] = np.inf
        kept = np.argsort(cosine, axis=1, kind="stable")[:, : table.shape[1]]
        table[asked] = order[kept]
    return table


def _embedded(access: AccessView) -> NDArray[np.float32]:
    table = access.model.item_embeddings.detach().cpu().numpy()
    return np.asarray(table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _beside(log: InteractionLog) -> Any:
    """Sparse [n_items + 1, n_items + 1], rows of length 1: how often each other item stands right beside an item."""
    from scipy import sparse

    together = log.user[1:] == log.user[:-1]
    older, newer = log.item[:-1][together], log.item[1:][together]
    pairs = (np.concatenate([older, newer]), np.concatenate([newer, older]))
    size = log.n_items + 1
    counts = sparse.csr_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(size, size))
    norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1 / np.maximum(norms, 1e-12)) @ counts)
