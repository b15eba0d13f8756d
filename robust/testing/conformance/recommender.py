"""What every recommender promises to a harness that will measure it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robust.errors import ModelFault
from robust.log import InteractionLog
from robust.testing.conformance.answers import ANSWERS
from robust.testing.conformance.base import Check, Outcome, run_suite
from robust.testing.conformance.continuing import CONTINUING
from robust.testing.conformance.fitting import FITS
from robust.testing.conformance.gradients import GRADIENTS
from robust.testing.conformance.subject import Recommended, recommended

CHECKS: tuple[Check[Recommended], ...] = (*ANSWERS, *GRADIENTS, *FITS, *CONTINUING)


def recommender_checks() -> list[Check[Recommended]]:
    """All checks of a recommender, to parametrise a test with; each takes what `recommended` returns."""
    return list(CHECKS)


def check_recommender(
    recommender: Any, log: InteractionLog | None = None, *, seed: int = 0, raises: bool = True
) -> list[Outcome]:
    """Check all that a recommender promises.

    Args:
        recommender: anything with `n_items` and `recommend` or `score`; if it is not fitted, with `fit(log, *, seed)`.
        log: genuine rows, whose histories are asked about; by default random sequences are. A recommender that can be
            fitted is fitted anew about ten times, to at most 200 users of it.

    Raises:
        NonConformity: with `raises`, if a promise is broken, naming all of them.
    """
    owner = type(recommender).__name__
    try:
        subject = recommended(recommender, log, seed=seed)
    except ModelFault as fault:  # it does not answer a first question; there is no point in more
        check: Check[Any] = Check("answers", "It answers in the form that is expected.", _raise(fault))
        return run_suite([check], None, owner, raises=raises)
    return run_suite(CHECKS, subject, owner, raises=raises)


def _raise(fault: ModelFault) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        raise fault

    return run
