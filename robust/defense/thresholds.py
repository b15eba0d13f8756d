"""From suspicion to suspects: the three thresholds that every detector offers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robust.log import Bool


def most_suspicious(suspicion: NDArray[np.float64], count: int) -> Bool:
    """bool [n], the `count` highest; of equals the first. What has −∞ is never among them."""
    flagged = np.zeros(len(suspicion), dtype=bool)
    worst = np.argsort(-suspicion, kind="stable")[:count]
    flagged[worst[suspicion[worst] > -np.inf]] = True
    return flagged


def above_quantile(suspicion: NDArray[np.float64], quantile: float) -> Bool:
    """bool [n], strictly above this quantile of the suspicion itself; nobody where all are equal."""
    return np.asarray(suspicion > np.quantile(suspicion, quantile))


def conformal_p_values(suspicion: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [n], p = (1 + #{calibration ≥ s}) / (n_calibration + 1).

    Bates, Candès, Lei, Romano and Sesia, "Testing for Outliers with Conformal p-Values", Annals of Statistics 2023,
    equation 2. Super-uniform for a user who is exchangeable with the calibration users.
    """
    below = np.searchsorted(np.sort(calibration), suspicion, side="left")
    return np.asarray((1 + len(calibration) - below) / (len(calibration) + 1))


def false_discovery_rate(suspicion: NDArray[np.float64], trusted: Bool, level: float) -> Bool:
    """bool [n], flagged by Benjamini and Hochberg's rule on conformal p-values; a trusted user never is.

    The expected share of genuine users among the flagged is at most `level` if genuine users are exchangeable with
    the trusted ones and no trusted one is fake (Bates et al. 2023, theorem 2).
    """
    from scipy.stats import false_discovery_control

    flagged = np.zeros(len(suspicion), dtype=bool)
    if trusted.all():
        return flagged
    p_values = conformal_p_values(suspicion[~trusted], suspicion[trusted])
    flagged[~trusted] = false_discovery_control(p_values) <= level
    return flagged
