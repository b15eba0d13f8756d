"""Checks of a detector: each of its thresholds flags what it says, also where nobody is fake."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from robust.defense import Detector
from robust.errors import NotApplicable, RobustError
from robust.recommenders.protocols import Recommender
from robust.testing.conformance.base import require
from robust.testing.conformance.defended import Defended, Recorder

LEVEL = 0.2
DRAWS = 200


def _detector(subject: Defended) -> Detector:
    if not isinstance(subject.defense, Detector):
        raise NotApplicable("has no thresholds to choose from")
    return subject.defense


def quantile(subject: Defended) -> None:
    """Above a quantile of its suspicion lies no larger share of the active users."""
    detector, log = _detector(subject), subject.poisoned
    suspicion = detector.suspicion(log, subject.rng())
    active = int((log.lengths > 0).sum())
    for level in (0.5, 0.9):
        flagged = int(_with(detector, quantile=level).suspects(suspicion, log).sum())
        # numpy interpolates between two users, so one more may lie above
        require(flagged <= (1 - level) * active + 1, f"Above its {level:.0%} quantile lie {flagged} of {active} users.")


def false_discoveries(subject: Defended) -> None:
    """Where nobody is fake every flag is a false discovery: with probability 1 − level there is none.

    Trusted are random halves of the users, so that all are exchangeable, whatever they do.
    """
    detector, log = _detector(subject), subject.log
    suspicion = detector.suspicion(log, subject.rng())
    active = np.flatnonzero(log.lengths > 0)
    rng = np.random.default_rng([subject.seed, 0xFD])
    alarms = 0
    for _ in range(DRAWS):
        trusted = tuple(rng.choice(active, size=len(active) // 2, replace=False).tolist())
        alarms += bool(_with(detector, fdr=LEVEL, trusted=trusted).suspects(suspicion, log).any())
    beyond = binomtest(alarms, DRAWS, LEVEL, alternative="greater").pvalue
    said = f"At a false discovery rate of {LEVEL:.0%} it flagged somebody on a clean log in {alarms} of {DRAWS} draws."
    require(beyond > 1e-4, said)


def _with(detector: Detector, **threshold: object) -> Detector:
    kept = {name: getattr(detector, name) for name in type(detector).model_fields}
    return type(detector)(**{**kept, "share": None, "quantile": None, "fdr": None, "trusted": None, **threshold})


def needs(subject: Defended) -> None:
    """It refuses a recommender that lacks what it says it needs."""
    missing = subject.defense.needs - {"lists"}
    if not missing:
        raise NotApplicable("needs no more than lists")
    plain: Recommender = _ListsOnly(subject.log.n_items)
    try:
        subject.defense.protect(plain, log=subject.log, seed=subject.seed)
    except NotApplicable:
        return
    except RobustError as error:
        require(False, f"It says that it needs {', '.join(sorted(missing))}, and without raised {error!r}.")
    require(False, f"It says that it needs {', '.join(sorted(missing))}, and took a recommender with lists only.")


class _ListsOnly:
    """A recommender that can only recommend."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    recommend = Recorder.recommend
