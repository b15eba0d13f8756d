"""Checks of a recommender that learns on: from more training, or from new rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.recommenders.protocols import Incremental, Resumable
from robust.testing.conformance.base import Check, require
from robust.testing.conformance.fitting import Refitted, columns
from robust.testing.conformance.generators import moved_generators
from robust.testing.conformance.subject import Recommended

Step = Callable[[Recommended, InteractionLog, int], Any]


def _continues(refitted: Refitted, step: Step, rows: InteractionLog, what: str) -> None:
    """A step follows from model, rows and seed, gives a new model, and leaves the old one and the rows alone."""
    early = refitted.fit(refitted.log.rows(refitted.log.position < refitted.log.lengths[refitted.log.user] - 2), 5)
    before, held = np.array(early.answer), columns(rows)
    answers = []
    for where in (1, 2):
        with moved_generators(where):
            after = step(early, rows, 7)
            require(after is not early.model, f"{what} returns the recommender itself; it must return a new one.")
            answers.append(np.array(Recommended(after, early.sequences).answer))
    require(np.array_equal(answers[0], answers[1]), f"{what} with one seed gives different models.")
    same = np.array_equal(before, early.answers(early.sequences))
    require(same, f"{what} changed the recommender that it began from.")
    require(held == columns(rows), f"{what} changed the log.")
    require(not np.array_equal(before, answers[0]), f"{what} learnt nothing from {len(rows)} rows.")


def _resume(subject: Recommended) -> None:
    if "resume" not in subject.able:
        raise NotApplicable("cannot be trained further")
    refitted = Refitted.of(subject)

    def step(early: Recommended, rows: InteractionLog, seed: int) -> Any:
        return cast(Resumable, early.model).resume(rows, seed=seed, share=0.5)

    _continues(refitted, step, refitted.log, "Training further")


def _update(subject: Recommended) -> None:
    if "update" not in subject.able:
        raise NotApplicable("does not learn from new rows alone")
    refitted = Refitted.of(subject)
    log = refitted.log

    def step(early: Recommended, rows: InteractionLog, seed: int) -> Any:
        return cast(Incremental, early.model).partial_fit(rows, seed=seed)

    _continues(refitted, step, log.rows(log.position >= log.lengths[log.user] - 2), "An update")


CONTINUING: tuple[Check[Recommended], ...] = (
    Check("resume", "Trained further, it is a new model that follows from rows and seed.", _resume),
    Check("update", "Having learnt new rows, it is a new model that follows from rows and seed.", _update),
)
