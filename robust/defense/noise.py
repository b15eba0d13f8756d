"""Randomness of a served defence: keyed by a secret seed and by what was asked.

The same question has the same answer, whoever is asked with it in a batch, so that asking again averages nothing out;
and who does not hold the seed cannot predict it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32

_ODD = np.uint64(0x9E3779B97F4A7C15)


def splitmix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014, figure 16)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))


def keyed_uniform(seed: int, items: Int32, draws: int, stream: int = 0) -> NDArray[np.float64]:
    """float64 [B, draws] in [0, 1), from the seed, the stream, and the content of each row of items [B, L].

    Padding on the left does not count, so a batch may be padded to any width.
    """
    return keyed_uniform_of(seed, items, np.arange(1, draws + 1, dtype=np.int64)[None, :], stream)


def keyed_uniform_of(
    seed: int, items: Int32, numbers: NDArray[np.integer[Any]], stream: int = 0
) -> NDArray[np.float64]:
    """float64 [B, m] in [0, 1), the draws with these numbers [B, m] (or [1, m]): `keyed_uniform` counts them from 1.

    For noise that belongs to something with a number of its own, such as an item of the catalogue.
    """
    with np.errstate(over="ignore"):
        key = splitmix(np.asarray([seed % 2**64], dtype=np.uint64) + _ODD * np.uint64(stream + 1))
        state = np.broadcast_to(key, (len(items),)).copy()
        for column in items.T.astype(np.uint64):
            state = np.where(column != 0, splitmix(state * _ODD + column), state)
        bits = splitmix(state[:, None] + numbers.astype(np.uint64) * _ODD)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)
