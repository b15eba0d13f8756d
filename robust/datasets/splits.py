"""Splits into train rows and one true next item per user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robust.datasets.filters import is_positional
from robust.errors import InputError
from robust.log import Int32, Int64, InteractionLog, SequenceBatch


@dataclass(frozen=True)
class Split:
    """Train rows, and for each evaluated user the item that truly came next.

    Attributes:
        train: the rows that a fit may see; its users are those of the whole log.
        users: int64 [n_eval], increasing: the users who are evaluated; each has at least one train row.
        targets: int32 [n_eval], their true next items.
        name: `leave-last-out` or `global-time`.
        notes: who is not evaluated, and what is not used.
    """

    train: InteractionLog
    users: Int64
    targets: Int32
    name: str
    notes: tuple[str, ...] = ()

    def histories(self, context: int) -> SequenceBatch:
        """The newest `context` train rows of the evaluated users, left-padded; `users` holds their ids."""
        return self.train.sequences(context, self.users)

    @property
    def unseen_target_share(self) -> float:
        """The share of true next items without a single train row: misses for any recommender that learns ids."""
        return float(np.mean(self.train.popularity[self.targets] == 0))


def leave_last_out(log: InteractionLog) -> Split:
    """Each user's last row is the test, all earlier rows are train rows.

    A user with one row keeps it in train and is not evaluated.

    Raises:
        InputError: no user has two interactions.
    """
    users = np.flatnonzero(log.lengths >= 2)
    if not len(users):
        raise InputError(f"{log.name}: no user has two interactions, so there is no next item to evaluate.")
    last = log.offsets[users + 1] - 1
    keep = np.ones(len(log), dtype=bool)
    keep[last] = False
    single = int(np.count_nonzero(log.lengths == 1))
    notes = (f"{single:,} users with one interaction are in train but not evaluated",) if single else ()
    return Split(log.rows(keep), users, log.item[last], "leave-last-out", notes)


def global_time(log: InteractionLog, share: float = 0.9) -> Split:
    """All rows up to one moment are train rows; each user's first row after it is the test.

    The moment is the time at which `share` of all rows have happened (rows of equal time stay together, in train).

    Raises:
        InputError: a share outside (0, 1); a log whose timestamps are positions; nothing after the cut to evaluate.
    """
    if not 0 < share < 1:
        raise InputError(f"The share of train rows lies between 0 and 1; got {share}.")
    if is_positional(log):
        raise InputError(
            f"{log.name}: timestamps are positions within each user, not times, so no moment cuts all users at once. "
            "Use leave-last-out."
        )
    newest_train = max(int(np.ceil(share * len(log))), 1) - 1
    cut = np.partition(log.timestamp, newest_train)[newest_train]
    train = log.rows(log.timestamp <= cut)
    later = log.lengths - train.lengths
    users = np.flatnonzero((later > 0) & (train.lengths > 0))
    if not len(users):
        raise InputError(
            f"{log.name}: nobody has rows both up to and after the cut at {cut}. Use another share, or leave-last-out."
        )
    first = log.offsets[users] + train.lengths[users]
    newcomers = int(np.count_nonzero((later > 0) & (train.lengths == 0)))
    unused = len(log) - len(train) - len(users)
    notes = (
        f"{newcomers:,} users who begin after the cut are not evaluated",
        f"{unused:,} rows after the cut are neither train nor test",
    )
    return Split(train, users, log.item[first], "global-time", notes)
