"""Checks of a sanitiser: it removes whole users, the most suspicious, by what they did and not by who they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import comb
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.recommenders.protocols import Fittable
from robust.testing.conformance.base import require
from robust.testing.conformance.defended import Defended, Recorder, rows_of

AGREEMENT = 0.995
"""Rank correlation of suspicions under two numberings of 80 users: one user moved by 20 places costs .005. A sanitiser
that draws may differ from itself by as much as it does under another seed, and this much more."""


def only_removes(subject: Defended) -> None:
    """Whole users, and nothing else."""
    sanitizer = subject.sanitizer()
    for log in (subject.log, subject.poisoned):
        _is_rest(sanitizer.clean(log, subject.rng()), log)


def _is_rest(cleaned: InteractionLog, log: InteractionLog) -> None:
    require(cleaned.n_items == log.n_items, "The catalogue has changed.")
    require(cleaned.n_users == log.n_users, "Users have been renumbered.")
    require(rows_of(cleaned) <= rows_of(log), "The cleaned log holds rows that were not there.")
    partly = np.flatnonzero((cleaned.lengths > 0) & (cleaned.lengths != log.lengths))
    require(not len(partly), f"User {partly[:1]} was removed in part.")


def cleans(subject: Defended) -> None:
    """What is behind it is fitted to the rest, and to nothing but that."""
    sanitizer = subject.sanitizer()
    recorder = Recorder(subject.log.n_items)
    protected: Any = sanitizer.protect(recorder, log=subject.poisoned, seed=subject.seed)
    require(not recorder.fits, "It fits what it protects before anybody asks it to.")
    cast(Fittable, protected).fit(subject.poisoned, seed=11)
    require(len(recorder.fits) == 1, f"One fit of what it protects became {len(recorder.fits)}.")
    fitted_to, seed = recorder.fits[0]
    require(seed == 11, f"The fit was asked for with seed 11 and got {seed}.")
    _is_rest(fitted_to, subject.poisoned)
    if callable(getattr(protected, "clean", None)):
        shown = rows_of(protected.clean(subject.poisoned))
        require(shown == rows_of(fitted_to), "It says that it cleans otherwise than it does before a fit.")


def share(subject: Defended) -> None:
    """No more than it states, where it states a share of the active users."""
    sanitizer = subject.sanitizer()
    stated = getattr(sanitizer, "share", None)
    if not isinstance(stated, float):
        raise NotApplicable("states no share of the users")
    for log in (subject.log, subject.poisoned):
        active = int((log.lengths > 0).sum())
        removed = active - int((sanitizer.clean(log, subject.rng()).lengths > 0).sum())
        require(removed <= stated * active + 1e-9, f"It removed {removed} of {active} users; it states {stated:.2%}.")


def suspicion(subject: Defended) -> None:
    """A number for each user, and the highest are removed."""
    sanitizer, log = subject.sanitizer(), subject.log
    found = sanitizer.suspicion(log, subject.rng())
    require(found.shape == (log.n_users,), f"Suspicion of shape {found.shape} for {log.n_users} users.")
    require(not np.isnan(found).any(), "Suspicion holds NaN.")
    suspects = sanitizer.suspects(found, log)
    require(suspects.shape == (log.n_users,) and suspects.dtype == bool, "Suspects are no mask over users.")
    kept, removed = found[~suspects & (log.lengths > 0)], found[suspects & (log.lengths > 0)]
    in_order = len(kept) == 0 or len(removed) == 0 or removed.min() >= kept.max()
    require(in_order, "A user who is kept is more suspicious than one who is removed.")


def blind(subject: Defended) -> None:
    """Fakes have the highest numbers, so who looks at a number, or remembers the clean log, knows who is fake.

    Tried on the clean log first and then on a poisoned one, in which the users are numbered anew.
    """
    sanitizer = subject.sanitizer()
    odds = 1.0
    for log in (subject.log, subject.poisoned):
        before = sanitizer.suspicion(log, subject.rng())
        usual = min(_agreement(before, _fresh(subject, log, draw), log) for draw in (1, 2))
        for draw in (1, 2, 3):
            other, renamed = subject.renumbered(log, draw)
            after = sanitizer.suspicion(other, subject.rng())
            agreement = _agreement(before, after[renamed], log)
            said = f"Users who carry other numbers are suspected differently (rank correlation {agreement:.3f}"
            require(agreement >= usual - (1 - AGREEMENT), f"{said}, {usual:.3f} under another seed).")
            odds *= _odds_of_highest(after, sanitizer.suspects(after, other), other)
    said = "Of users who are equally suspicious it removes those with the highest numbers, as fakes have."
    require(odds > 1e-3, said)
    _label(subject, lambda log: sanitizer.suspicion(log, subject.rng()))


def _fresh(subject: Defended, log: InteractionLog, draw: int) -> NDArray[np.float64]:
    return subject.sanitizer().suspicion(log, np.random.default_rng([subject.seed, draw]))


def _agreement(before: NDArray[np.float64], after: NDArray[np.float64], log: InteractionLog) -> float:
    """Rank correlation over active users; values that differ by rounding only are one value. 1 where all are equal."""
    from scipy.stats import spearmanr

    active = log.lengths > 0
    one, two = (np.round(x[active] / max(float(np.abs(x[active]).max(initial=0)), 1e-12), 6) for x in (before, after))
    if len(np.unique(one)) < 2 or len(np.unique(two)) < 2:
        return float(np.array_equal(one, two))
    return float(spearmanr(one, two).statistic)


def _odds_of_highest(found: NDArray[np.float64], suspects: NDArray[np.bool_], log: InteractionLog) -> float:
    """How likely it is by chance that of equals those with the highest numbers are removed; 1 if they are not."""
    removed = np.flatnonzero(suspects & (log.lengths > 0))
    if not len(removed):
        return 1.0
    tied = np.flatnonzero((log.lengths > 0) & (found == found[removed].min()))
    out = np.intersect1d(tied, removed)
    if len(out) == len(tied) or not np.array_equal(out, tied[len(tied) - len(out) :]):
        return 1.0
    return 1 / comb(len(tied), len(out))


def _label(subject: Defended, of: Callable[[InteractionLog], Any]) -> None:
    """A fake user has no raw id, and a poisoned log has none at all."""
    log = subject.poisoned
    ids = np.array([f"user {number}" for number in range(log.n_users)])
    same = np.array_equal(of(log), of(replace(log, user_ids=ids, name="another name", notes=("a note",))))
    require(same, "What it suspects depends on the log's name, its notes, or the users' raw ids.")
