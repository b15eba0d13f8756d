"""Checks of a fit, and of being written down: what a model is follows from log and seed.

Fits are repeated on a small log: up to 200 users of the log that was given, their newest 20 rows, and a catalogue of
what occurs there; one of our neural victims takes 60 small steps. What is promised of a fit holds for any.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust.errors import NotApplicable
from robust.frozen import Frozen
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.fingerprint import is_fitted
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.protocols import Fittable, Persistent
from robust.testing.conformance.base import Check, require
from robust.testing.conformance.generators import moved_generators
from robust.testing.conformance.relabelling import relabelling_after_fit
from robust.testing.conformance.subject import Recommended

USERS, ROWS = 200, 20
BRIEF = {"max_steps": 60, "min_steps": 60, "batch_size": 16}
FAKES = 5


def small(log: InteractionLog, seed: int) -> InteractionLog:
    """Up to `USERS` users with at least 3 rows, their newest `ROWS` rows, and only items that occur; all renumbered.

    Raises:
        NotApplicable: fewer than 20 such users.
    """
    eligible = np.flatnonzero(log.lengths >= 3)
    if len(eligible) < 20:
        raise NotApplicable(f"a fit is tried on users with at least 3 rows; this log has {len(eligible)} of 20")
    rng = np.random.default_rng([seed, 0xF1])
    users = np.sort(rng.choice(eligible, size=min(USERS, len(eligible)), replace=False))
    chosen = np.full(log.n_users, -1)
    chosen[users] = np.arange(len(users))
    keep = (chosen[log.user] >= 0) & (log.position >= log.lengths[log.user] - ROWS)
    items, item = np.unique(log.item[keep], return_inverse=True)
    return InteractionLog.from_columns(
        chosen[log.user[keep]], item + 1, log.timestamp[keep], n_users=len(users), n_items=len(items), name="small log"
    )


@dataclass(frozen=True)
class Refitted:
    """What is fitted anew: `blank` to `log`."""

    blank: Fittable
    log: InteractionLog

    @classmethod
    def of(cls, subject: Recommended) -> Refitted:
        """The subject, unfitted, and a small log.

        Raises:
            NotApplicable: there is nothing to fit, or no log.
        """
        if subject.unfitted is None or subject.log is None:
            raise NotApplicable("no recommender that can be fitted and log to fit it to were given")
        return cls(cast(Fittable, adapt(brief(subject.unfitted))), small(subject.log, subject.seed))

    @cached_property
    def asked(self) -> SequenceBatch:
        """Histories of the small log, and an empty one."""
        whole = self.log.sequences(
            min(ROWS, int(getattr(self.blank, "context", 0) or ROWS)), np.arange(32).clip(max=19)
        )
        return SequenceBatch(np.concatenate([whole.items, np.zeros((1, whole.width), np.int32)]))

    def fit(self, log: InteractionLog, seed: int) -> Recommended:
        """Fitted to a log of this catalogue."""
        return Recommended(adapt(self.blank.fit(log, seed=seed)), self.asked)


def brief(recommender: Any) -> Any:
    """The same, except that one of our neural victims trains for a few steps only."""
    if not isinstance(recommender, NeuralRecommender):
        return recommender
    settings = recommender.settings.model_dump(exclude_unset=True)
    return type(recommender)(**settings | {k: min(v, settings.get(k, v)) for k, v in BRIEF.items()})


def columns(log: InteractionLog) -> tuple[bytes, ...]:
    """All that a log holds."""
    arrays = log.user, log.item, log.timestamp, log.offsets, log.popularity, log.lengths
    return tuple(array.tobytes() for array in arrays)


def _fit(subject: Recommended) -> None:
    refitted = Refitted.of(subject)
    log, before, victim = refitted.log, columns(refitted.log), subject.answer
    fitted_before = is_fitted(refitted.blank)
    old = np.array(refitted.fit(log, 1).answer) if not fitted_before else None
    with moved_generators(1):
        first = refitted.fit(log, 5)
        answer = np.array(first.answer)
    ids = np.array([f"user {number}" for number in range(log.n_users)])
    with moved_generators(2):
        second = refitted.fit(log, 5)
        require(np.array_equal(answer, second.answer), "Two fits with one seed answer differently.")
    labelled = refitted.fit(replace(log, user_ids=ids, name="another name", notes=("a note",)), 5)
    same = np.array_equal(answer, labelled.answer)
    require(same, "A fit depends on the log's name, its notes, or the users' raw ids, which no poisoned log has.")
    require(first.model is not second.model, "A fit returns the recommender itself; it must return a new one.")
    refitted.fit(log.rows(np.arange(len(log)) % 2 == 0), 6)
    require(
        np.array_equal(answer, first.answers(first.sequences)), "A later fit changed a model that was fitted before."
    )
    require(before == columns(log), "The log has changed.")
    require(fitted_before == is_fitted(refitted.blank), "A fit changed the recommender that was fitted, not a new one.")
    require(np.array_equal(subject.answers(subject.sequences), victim), "A fit changed a fitted model.")
    if old is not None:
        require(np.array_equal(old, refitted.fit(log, 1).answer), "A fit depends on the fits before it.")


def _seed(subject: Recommended) -> None:
    """A fit that is the same for two seeds draws nothing; then it treats items alike, whatever numbers they carry.

    So one that draws the same whatever the seed is told from one that draws nothing, without knowing the model. What
    goes by numbers without drawing anything is caught by this as well.
    """
    refitted = Refitted.of(subject)
    first, other = refitted.fit(refitted.log, 5), refitted.fit(refitted.log, 6)
    if not np.array_equal(first.answer, other.answer):
        return
    if "scores" not in first.able:
        raise NotApplicable("without scores, ties by number cannot be told from draws")
    renamed = renaming(refitted.log.n_items, subject.seed)
    there = refitted.fit(renumbered(refitted.log, renamed), 5)
    items: Int32 = renamed[first.sequences.items].astype(np.int32)
    scores = there.answers(SequenceBatch(items))[:, renamed[1:] - 1]
    how = "under other item numbers, though not under another seed: it ignores its seed, or goes by numbers"
    first.same(first.answer, scores, how)


def renaming(n_items: int, seed: int) -> NDArray[np.int64]:
    """int64 [n_items + 1], other numbers for the items; 0 stays."""
    return np.concatenate([[0], np.random.default_rng([seed, 0x4E]).permutation(n_items) + 1])


def renumbered(log: InteractionLog, renamed: NDArray[np.int64]) -> InteractionLog:
    """The same log, its items under other numbers."""
    return replace(log, item=renamed[log.item].astype(np.int32))


def _reads_rows(subject: Recommended) -> None:
    """Fake users have the highest numbers: a fit that passes over those would look robust."""
    refitted = Refitted.of(subject)
    log, whole = refitted.log, refitted.fit(refitted.log, 5)
    tenth = max(log.n_users // 10, 1)
    for part, which in ((slice(-tenth, None), "last"), (slice(0, tenth), "first")):
        gone = np.zeros(log.n_users, dtype=bool)
        gone[part] = True
        without = refitted.fit(log.without_users(gone), 5)
        theirs = log.sequences(subject.reads, np.flatnonzero(gone))  # what they taught shows first where they stood
        same = np.array_equal(whole.answer, without.answer)
        same &= np.array_equal(whole.answers(theirs), without.answers(theirs))
        require(not same, f"Without the {which} tenth of the users it is the same model: their rows are not read.")


def _oracle(subject: Recommended) -> None:
    """Fake users come last and keep their numbers; a perfect sanitiser has removed their rows, and no others."""
    refitted = Refitted.of(subject)
    log = refitted.log
    cleaned = replace(log, n_users=log.n_users + FAKES)
    clean, sanitised = refitted.fit(log, 5), refitted.fit(cleaned, 5)
    same = np.array_equal(clean.answer, sanitised.answer)
    require(same, f"With {FAKES} more user numbers that have no row, the same rows and seed give another model.")


def _relabelled_fit(subject: Recommended) -> None:
    refitted = Refitted.of(subject)
    relabelling_after_fit(refitted.log, lambda log, seed: adapt(refitted.blank.fit(log, seed=seed)), subject.seed)


def _persistence(subject: Recommended) -> None:
    model = subject.model
    if not isinstance(model, Persistent):
        raise NotApplicable("cannot be written down")
    arrays, settings = model.state()
    written = {name: np.array(array) for name, array in arrays.items()}
    read = type(model).from_state(written, json.loads(json.dumps(settings)))
    again = Recommended(cast(Any, read), subject.sequences)
    require(np.array_equal(again.answer, subject.answer), "Written down and read back, it answers differently.")
    empty = SequenceBatch(np.zeros((1, 2), np.int32))
    require(np.array_equal(again.answers(empty), subject.answers(empty)), "Read back, it answers nothing differently.")
    require(again.able == subject.able, "Read back, it offers something else.")
    arrays_again, settings_again = read.state()
    require(arrays_again.keys() == arrays.keys(), "Read back, it writes down other arrays.")
    same = all(np.array_equal(arrays[name], arrays_again[name]) for name in arrays)
    require(same, "Read back, it writes down other values.")
    require(json.dumps(settings_again) == json.dumps(settings), "Read back, it writes down other settings.")
    for name, value in vars(model).items():
        if not name.startswith("_") and isinstance(value, (bool, int, float, str, tuple, Frozen)):
            there = getattr(read, name, None)
            require(there == value, f"Its {name} is {there!r} when it is read back, and was {value!r}.")


def _relabelling(subject: Recommended) -> None:
    model = subject.model
    arrays, settings = model.state() if isinstance(model, Persistent) else ({}, {})
    if not {"table", "popularity"} <= arrays.keys():
        raise NotApplicable("has no table of items to relabel")
    renamed = renaming(int(model.n_items), subject.seed)
    moved = {name: array.copy() for name, array in arrays.items()}
    for name in ("table", "popularity"):
        moved[name][renamed] = arrays[name]
    other = cast(Any, type(model)).from_state(moved, settings)
    items: Int32 = renamed[subject.sequences.items].astype(np.int32)
    there = np.asarray(other.score(SequenceBatch(items)))[:, renamed[1:]]
    subject.same(subject.answer, there, "when items carry other numbers")


FITS: tuple[Check[Recommended], ...] = (
    Check("fit", "A fit follows from log and seed, and leaves the log and other models alone.", _fit),
    Check("seed", "What a fit draws, it draws from its seed.", _seed),
    Check("rows", "A fit reads the rows of all users.", _reads_rows),
    Check("oracle", "Behind a perfect sanitiser a fit is clean training, to the bit.", _oracle),
    Check("persistence", "Written down and read back, it is the same.", _persistence),
    Check("relabelling", "Which number an item carries makes no difference.", _relabelling),
    Check("relabelled fit", "Fitted under other item numbers, it is as good.", _relabelled_fit),
)
