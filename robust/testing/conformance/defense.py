"""What every defence promises: a sanitiser only removes and is blind to who is fake; a guard only drops, and rarely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from robust.defense import Defense, InputGuard, Sanitizer, TrainingDefense
from robust.errors import NotApplicable
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.protocols import Fittable, capabilities
from robust.testing.conformance.attack import CONTEXT, histories, trial
from robust.testing.conformance.base import Check, Outcome, require, run_suite


@dataclass(frozen=True)
class Defended:
    """A defence under test, on the trial log and victim, or on a log of the user's."""

    defense: Defense
    log: InteractionLog
    seed: int = 0

    def sanitizer(self) -> Sanitizer:
        """It, if it cleans logs."""
        if not isinstance(self.defense, Sanitizer):
            raise NotApplicable("does not clean logs")
        return self.defense

    def guard(self) -> InputGuard:
        """It, calibrated, if it cleans sequences."""
        if not isinstance(self.defense, InputGuard):
            raise NotApplicable("does not clean sequences")
        return self.defense.calibrate(self.log, self.seed)

    def rng(self) -> np.random.Generator:
        """The same draws every time."""
        return np.random.default_rng(self.seed)


def rows_of(log: InteractionLog) -> set[tuple[int, int, int, int]]:
    """(user, item, time, how many equal ones before it) of each row."""
    seen: dict[tuple[int, int, int], int] = {}
    found = set()
    for row in zip(log.user.tolist(), log.item.tolist(), log.timestamp.tolist(), strict=True):
        seen[row] = seen.get(row, 0) + 1
        found.add((*row, seen[row]))
    return found


def _metadata(subject: Defended) -> None:
    kind = type(subject.defense)
    require(getattr(kind, "name", ""), "It has no name.")
    require(len(getattr(kind, "source", "")) > 5, "It names no source.")
    require(len(kind.weaknesses) > 20, "It states no weaknesses: every defence has some.")
    require(
        kind(**subject.defense.model_dump()) == subject.defense, "Its parameters do not survive being written down."
    )


def _only_removes(subject: Defended) -> None:
    cleaned = subject.sanitizer().clean(subject.log, subject.rng())
    require(cleaned.n_items == subject.log.n_items, "The catalogue has changed.")
    require(cleaned.n_users == subject.log.n_users, "Users have been renumbered.")
    require(rows_of(cleaned) <= rows_of(subject.log), "The cleaned log holds rows that were not there.")
    for user in np.flatnonzero(cleaned.lengths):
        require(cleaned.lengths[user] == subject.log.lengths[user], f"User {user} was removed in part.")


def _blind(subject: Defended) -> None:
    """Fakes have the highest numbers, so who looks at a user's number knows who is fake."""
    sanitizer, log = subject.sanitizer(), subject.log
    before = sanitizer.suspicion(log, subject.rng())
    renamed = np.random.default_rng([subject.seed, 1]).permutation(log.n_users)
    other = InteractionLog.from_columns(
        renamed[log.user], log.item, log.timestamp, n_users=log.n_users, n_items=log.n_items
    )
    after = sanitizer.suspicion(other, subject.rng())[renamed]
    from scipy.stats import spearmanr

    active = log.lengths > 0
    if len(np.unique(before[active])) < 2:
        return
    agreement = float(spearmanr(before[active], after[active]).statistic)
    require(
        agreement > 0.98, f"Users who carry other numbers are suspected differently (rank correlation {agreement:.2f})."
    )


def _suspicion(subject: Defended) -> None:
    sanitizer, log = subject.sanitizer(), subject.log
    suspicion = sanitizer.suspicion(log, subject.rng())
    require(suspicion.shape == (log.n_users,), f"Suspicion of shape {suspicion.shape} for {log.n_users} users.")
    require(not np.isnan(suspicion).any(), "Suspicion holds NaN.")
    suspects = sanitizer.suspects(suspicion, log)
    require(suspects.shape == (log.n_users,) and suspects.dtype == bool, "Suspects are no mask over users.")
    kept, removed = suspicion[~suspects & (log.lengths > 0)], suspicion[suspects & (log.lengths > 0)]
    in_order = len(kept) == 0 or len(removed) == 0 or removed.min() >= kept.max()
    require(in_order, "A user who is kept is more suspicious than one who is removed.")


def _repeatable(subject: Defended) -> None:
    if isinstance(subject.defense, Sanitizer):
        first, second = (subject.defense.clean(subject.log, subject.rng()) for _ in range(2))
        require(rows_of(first) == rows_of(second), "The same seed cleaned differently.")
    elif isinstance(subject.defense, InputGuard):
        sequences = histories(subject.log)
        one, two = (np.asarray(subject.guard().guard(sequences)) for _ in range(2))
        require(np.array_equal(one, two), "The same seed guarded differently.")
    else:
        raise NotApplicable("is checked by its fit")


def _inputs(subject: Defended) -> None:
    log = subject.log
    before = log.user.tobytes(), log.item.tobytes(), log.timestamp.tobytes()
    if isinstance(subject.defense, Sanitizer):
        subject.defense.clean(log, subject.rng())
    elif isinstance(subject.defense, InputGuard):
        sequences = histories(log)
        items = sequences.items.tobytes()
        subject.guard().guard(sequences)
        require(items == sequences.items.tobytes(), "The sequences have changed.")
    else:
        subject.defense.protect(trial()[1], log=log, seed=subject.seed)
    require(before == (log.user.tobytes(), log.item.tobytes(), log.timestamp.tobytes()), "The log has changed.")


def _only_drops(subject: Defended) -> None:
    guard, sequences = subject.guard(), histories(subject.log)
    guarded = np.asarray(guard.guard(sequences))
    require(guarded.shape == sequences.items.shape, f"Shape {guarded.shape} for {sequences.items.shape}.")
    changed = (guarded != 0) & (guarded != sequences.items)
    require(not changed.any(), "It put in or moved items; it may only drop them (0 in place).")


def _row_by_row(subject: Defended) -> None:
    guard, sequences = subject.guard(), histories(subject.log, 16)
    together = np.asarray(guard.guard(sequences))
    alone = np.concatenate([np.asarray(guard.guard(sequences[i : i + 1])) for i in range(len(sequences))])
    require(np.array_equal(together, alone), "What it drops from a sequence depends on the other sequences.")
    anonymous = np.asarray(guard.guard(SequenceBatch(sequences.items)))
    require(np.array_equal(together, anonymous), "What it drops depends on the number of the user.")


def _leaves_clean_alone(subject: Defended) -> None:
    guard = subject.guard()
    rate = getattr(guard, "rate", None)
    if rate is None:
        raise NotApplicable("states no rate at which it drops clean positions")
    half = subject.log.rows(subject.log.user % 2 == 0)
    fresh = subject.log.sequences(CONTEXT, np.flatnonzero(np.arange(subject.log.n_users) % 2 == 1))
    calibrated = cast(InputGuard, subject.defense).calibrate(half, subject.seed)
    guarded = np.asarray(calibrated.guard(fresh))
    positions = int((fresh.items != 0).sum())
    dropped = int(((fresh.items != 0) & (guarded == 0)).sum())
    from scipy.stats import binomtest

    beyond = binomtest(dropped, positions, rate, alternative="greater").pvalue
    require(
        beyond > 1e-4, f"It dropped {dropped / positions:.2%} of positions that nobody touched; it states {rate:.2%}."
    )


def _protects(subject: Defended) -> None:
    model = trial()[1]
    protected = subject.defense.protect(model, log=subject.log, seed=subject.seed)
    extra = capabilities(protected) - capabilities(model)
    require(not extra, f"Behind it the recommender claims more than without: {', '.join(sorted(extra))}.")
    sequences = histories(subject.log, 8)
    subject_model: Any = protected
    if isinstance(subject.defense, (Sanitizer, TrainingDefense)):
        subject_model = cast(Fittable, protected).fit(subject.log, seed=subject.seed)
    lists = np.asarray(subject_model.recommend(sequences, 5))
    require(lists.shape == (len(sequences), 5), f"Behind it lists have shape {lists.shape}.")


CHECKS: tuple[Check[Defended], ...] = (
    Check(
        "metadata", "A defence says what it is and what breaks it, with parameters that can be written down.", _metadata
    ),
    Check("only removes", "A sanitiser removes whole users and does nothing else.", _only_removes),
    Check("suspicion", "A sanitiser removes the most suspicious users.", _suspicion),
    Check("blind", "A sanitiser looks at what users do, not at their numbers.", _blind),
    Check("only drops", "A guard drops items and does nothing else.", _only_drops),
    Check("row by row", "A guard treats a sequence by its items alone.", _row_by_row),
    Check("clean rate", "A guard leaves clean sequences alone, up to its stated rate.", _leaves_clean_alone),
    Check("repeatable", "The same seed does the same.", _repeatable),
    Check("inputs", "It leaves log and sequences alone.", _inputs),
    Check("protects", "What it protects still recommends, and claims nothing that it did not offer before.", _protects),
)


def defense_checks() -> list[Check[Defended]]:
    """All checks of a defence, to parametrise a test with; each takes `Defended(defense, log)`."""
    return list(CHECKS)


def check_defense(
    defense: Defense, log: InteractionLog | None = None, *, seed: int = 0, raises: bool = True
) -> list[Outcome]:
    """Check all that a defence promises; on a small log unless one is given.

    Raises:
        NonConformity: with `raises`, if a promise is broken, naming all of them.
    """
    return run_suite(CHECKS, Defended(defense, trial()[0] if log is None else log, seed), defense.name, raises=raises)
