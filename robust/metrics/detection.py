"""How well suspicion tells fake users from genuine ones: ROC curve, area under it with its interval, TPR at a low FPR.

Area and variance: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
operating characteristic curves", Biometrics 1988 (equations 2 and 4), in the midrank form of Sun and Xu, IEEE Signal
Processing Letters 2014. A tie between a fake and a genuine user counts one half.

Known deviations: DeLong's variance is 0 where every fake user stands above every genuine one, which is no certainty. So
each limit is taken after two pseudo-users of each kind at the worst (or the best) end, as `robust.statistics` does for
every other mean; and where several seeds were run, their spread enters with its own t quantile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, NotApplicable

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
PSEUDO = 2


@dataclass(frozen=True)
class Roc:
    """An ROC curve, from (0, 0) to (1, 1), one point for each distinct suspicion.

    Attributes:
        fpr, tpr: float [p], shares of genuine and of fake users at or above each threshold.
    """

    fpr: Float
    tpr: Float

    def at(self, fpr: Float) -> Float:
        """The TPR on this grid of FPRs; between two thresholds linear, the higher end where the curve rises upright."""
        # what stands upright at one FPR is reached at that FPR
        last = np.append(np.diff(self.fpr) > 0, True)
        return np.asarray(np.interp(fpr, self.fpr[last], self.tpr[last]))

    def tpr_at(self, fpr: float) -> float:
        """The greatest TPR of a threshold whose FPR is at most this."""
        return float(self.tpr[self.fpr <= fpr + 1e-12].max(initial=0.0))


def roc(suspicion: Float, fake: Bool) -> Roc:
    """The curve of one log.

    Args:
        suspicion: float [n], higher is more suspicious; ±∞ allowed. fake: bool [n].

    Raises:
        NotApplicable: nobody is fake, or nobody genuine.
    """
    _check(suspicion, fake)
    levels, place = np.unique(-suspicion, return_inverse=True)
    caught = np.cumsum(np.bincount(place[fake], minlength=len(levels)))
    accused = np.cumsum(np.bincount(place[~fake], minlength=len(levels)))
    return Roc(np.append(0.0, accused / accused[-1]), np.append(0.0, caught / caught[-1]))


def placements(suspicion: Float, fake: Bool) -> tuple[Float, Float]:
    """DeLong's components: for each fake user the share of genuine ones below, for each genuine the share above.

    Both have the area under the curve as their mean.

    Returns:
        float [fakes] and float [genuine], in the order of `suspicion`.
    """
    _check(suspicion, fake)
    from scipy.stats import rankdata

    fakes, genuine = int(fake.sum()), int((~fake).sum())
    whole = rankdata(suspicion)
    of_fake = (whole[fake] - rankdata(suspicion[fake])) / genuine
    of_genuine = 1 - (whole[~fake] - rankdata(suspicion[~fake])) / fakes
    return np.asarray(of_fake), np.asarray(of_genuine)


def auc(suspicion: Float, fake: Bool) -> float:
    """Area under the ROC curve: the probability that a fake user is more suspicious than a genuine one, ties half."""
    return float(placements(suspicion, fake)[0].mean())


@dataclass(frozen=True)
class Area:
    """The area under the curve, mean over seeds, and its one-sided limits; None where seeds are too few to tell."""

    mean: float
    low: float | None
    high: float | None


def area(logs: Sequence[tuple[Float, Bool]], *, alpha: float = 0.05, seeds: int = 3) -> Area:
    """The mean area over several seeds' logs and its limits, each one-sided at `alpha`.

    Fake users are drawn anew under each seed, genuine ones are the same people, so their placements are averaged over
    the seeds before they vary over people. One log has DeLong's own variance, and says nothing about other seeds.

    Args:
        logs: (suspicion, fake) of each seed; the genuine users are the same, in the same order, under every seed.
        seeds: so many are needed to tell how seeds differ; with fewer but more than one there are no limits.

    Raises:
        InputError: no log, or genuine users that differ in number. NotApplicable: nobody is fake, or nobody genuine.
    """
    if not logs or len({int((~fake).sum()) for _, fake in logs}) > 1:
        raise InputError("The area under the curve needs at least one log, and the same genuine users in each.")
    mean = float(np.mean([auc(*log) for log in logs]))
    if 1 < len(logs) < seeds:
        return Area(mean, None, None)
    low = _limit([_with_pseudo(*log, side=-1) for log in logs], alpha, -1)
    high = _limit([_with_pseudo(*log, side=+1) for log in logs], alpha, +1)
    return Area(mean, max(low, 0.0), min(high, 1.0))


def _with_pseudo(suspicion: Float, fake: Bool, *, side: int) -> tuple[Float, Bool]:
    """Two more users of each kind: fake ones below everybody and genuine ones above (side −1), or the other way."""
    levels, place = np.unique(suspicion, return_inverse=True)
    below, above = np.full(PSEUDO, -1.0), np.full(PSEUDO, float(len(levels)))
    fakes, genuine = (below, above) if side < 0 else (above, below)
    kinds = np.concatenate([fake, np.ones(PSEUDO, bool), np.zeros(PSEUDO, bool)])
    return np.concatenate([place.astype(np.float64), fakes, genuine]), kinds


def _limit(logs: Sequence[tuple[Float, Bool]], alpha: float, side: int) -> float:
    from scipy.special import stdtrit

    parts = [placements(*log) for log in logs]
    areas = np.array([of_fake.mean() for of_fake, _ in parts])
    count = len(parts)
    of_genuine = np.mean([genuine for _, genuine in parts], axis=0)
    users = of_genuine.var(ddof=1) / len(of_genuine)
    users += sum(of_fake.var(ddof=1) / len(of_fake) for of_fake, _ in parts) / count**2
    fewest = min(min(map(len, part)) for part in parts)
    total = stdtrit(fewest - 1, alpha) ** 2 * users
    if count > 1:
        total += stdtrit(count - 1, alpha) ** 2 * areas.var(ddof=1) / count
    return float(areas.mean() + side * np.sqrt(total))


def _check(suspicion: Float, fake: Bool) -> None:
    if suspicion.shape != fake.shape or suspicion.ndim != 1 or np.isnan(suspicion).any():
        raise InputError(f"suspicion {suspicion.shape} and fake {fake.shape} must be [n] alike, without NaN.")
    if not fake.any() or fake.all():
        raise NotApplicable("an ROC curve needs fake and genuine users, and one of the two kinds is missing")
