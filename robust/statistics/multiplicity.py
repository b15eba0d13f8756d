"""Which failures stand when many cells are judged.

PASS is never corrected: "no attack goes beyond the bound" is an intersection-union claim, each part of which holds at
α (Berger, 1982). FAIL is: with 36 cells exactly at their bounds a false alarm would be near certain. Each attack ×
victim is a chain of budgets, tested largest first and only as long as it rejects (fixed sequence), and chains share α
by Holm's rule. Together this is a graphical procedure (Bretz et al., Statistics in Medicine 2009): of m chains each
starts with α/m; a rejection hands its α to the next smaller budget; a chain rejected to its end hands its α, in equal
parts, to the chains left. The error rate over all false failures is at most α, whatever depends on what.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from robust.errors import InputError

Key = TypeVar("Key", bound=Hashable)


def adjusted_p(chains: Mapping[Key, Sequence[float]]) -> dict[Key, list[float]]:
    """For each hypothesis the least α at which the procedure rejects it, in the order given.

    Args:
        chains: for each attack × victim the p-values of "the bound is kept", largest budget first.

    Raises:
        InputError: a p-value is not in [0, 1].
    """
    alien = [p for chain in chains.values() for p in chain if not 0 <= p <= 1]
    if alien:
        raise InputError(f"p-values lie in [0, 1]; got {alien[0]}.")
    # Within a chain a hypothesis is reached only if all larger budgets are rejected.
    reached = {
        key: np.maximum.accumulate(np.asarray(chain, dtype=float)) for key, chain in chains.items() if len(chain)
    }
    result: dict[Key, list[float]] = {key: [] for key in chains}
    for key, own in reached.items():
        others = sorted(float(chain[-1]) for other, chain in reached.items() if other != key)
        result[key] = [min(1.0, _least_alpha(float(p), others)) for p in own]
    return result


def _least_alpha(p: float, others: list[float]) -> float:
    """The least α that rejects p once some number of the other chains have handed theirs on.

    `others` are the p-values of the other chains' ends, ascending. With r of m chains finished each of the rest has
    α/(m − r), so finishing the first r costs max over l < r of (m − l)·others[l].
    """
    m = len(others) + 1
    best, cost = m * p, 0.0
    for r, end in enumerate(others, start=1):
        cost = max(cost, (m - r + 1) * end)
        best = min(best, max(cost, (m - r) * p))
    return best


def correct_failures(chains: Mapping[Key, Sequence[float]], alpha: float = 0.05) -> dict[Key, list[bool]]:
    """Which failures stand at `alpha` over all chains together.

    Args:
        chains: for each attack × victim its `p_fail` values, largest budget first.
    """
    return {key: [p <= alpha for p in ps] for key, ps in adjusted_p(chains).items()}
