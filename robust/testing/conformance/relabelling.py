"""Is a model as good when it is fitted under other item numbers? Compared in distribution, since a fit draws weights.

The two numberings are those that make a dependence on numbers show: by falling and by rising popularity. A sampler that
takes low numbers for popular items, a vocabulary that is cut off, a prior on numbers: each helps under one and hurts
under the other. Quality is the depth of the users' last items in full rankings, log2 of the rank, over the same users:
it moves where a hit ratio does, and also below the top of the list, so that fewer users are needed.

First one fit each. Within `GATE` standard errors of the paired difference over users, nothing more is asked: these do
not contain the fits' own luck, so this lets pass too little rather than too much. Beyond, `MORE` more pairs of fits are
drawn, and a paired t-test over *those* decides at level `ALPHA`: a model whose quality does not depend on numbers is
accused with probability ALPHA at most, whatever its noise. Differences below `FLOOR` are no finding: without draws
there is no noise to compare with, and sums taken in another order flip a near-tie here and there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.metrics.exposure import log_rank
from robust.metrics.full_ranking import rank_of_truth
from robust.recommenders.protocols import Recommender, Scorer, capabilities
from robust.testing.conformance.base import require

GATE = 2.0
MORE = 5
ALPHA = 1e-3
FLOOR = 0.02

Fit = Callable[[InteractionLog, int], Recommender]


def relabelling_after_fit(log: InteractionLog, fit: Fit, seed: int) -> None:
    """Compare fits under two numberings of the items.

    Raises:
        NonConformity: quality depends on the numbers.
        NotApplicable: the model has no scores.
    """
    numberings = by_popularity(log)

    def difference(run: int) -> NDArray[np.float64]:
        first, second = (depths(log, numbers, fit, seed + run) for numbers in numberings)
        return first - second

    once = difference(0)
    error = once.std(ddof=1) / len(once) ** 0.5
    if abs(once.mean()) <= max(GATE * error, FLOOR):
        return
    means = np.array([difference(1 + run).mean() for run in range(MORE)])
    if abs(means.mean()) <= FLOOR:
        return
    spread = max(float(means.std(ddof=1)) / MORE**0.5, 1e-12)
    chance = float(2 * stats.t.sf(abs(means.mean()) / spread, MORE - 1))
    where = "low" if means.mean() > 0 else "high"
    said = f"True items stand {2 ** abs(means.mean()):.2f} times as deep where popular items have {where} numbers"
    require(chance > ALPHA, f"{said} ({MORE} pairs of fits, p = {chance:.1g}).")


def by_popularity(log: InteractionLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two int64 [n_items + 1]: numbers by falling and by rising popularity; 0 stays."""
    order = np.argsort(-log.popularity[1:], kind="stable")
    falling = np.zeros(log.n_items + 1, np.int64)
    falling[order + 1] = np.arange(1, log.n_items + 1)
    rising = np.where(falling > 0, log.n_items + 1 - falling, 0)
    return falling, rising


def depths(log: InteractionLog, renamed: NDArray[np.int64], fit: Fit, seed: int) -> NDArray[np.float64]:
    """float64 [n_users], log2 of the ranks of the last items by a model fitted to all others, renumbered."""
    last = log.offsets[1:] - 1
    keep = np.ones(len(log), dtype=bool)
    keep[last] = False
    renumbered = InteractionLog.from_columns(
        log.user, renamed[log.item], log.timestamp, n_users=log.n_users, n_items=log.n_items
    )
    train, truth = renumbered.rows(keep), renumbered.item[last]
    model = fit(train, seed)
    if "scores" not in capabilities(model):
        raise NotApplicable("without scores, ties by number cannot be told from a dependence on numbers")
    sequences = train.sequences(int(getattr(model, "context", 0) or 50))
    ranks = rank_of_truth(np.asarray(cast(Scorer, model).score(sequences)), truth)
    return np.asarray(log_rank(ranks, log.n_items))
