"""The newest items of each user: all that an incremental recommender needs of the rows before an update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from robust.errors import InputError
from robust.log import Bool, Int32, InteractionLog


@dataclass(frozen=True, eq=False)
class Recent:
    """What every user did last.

    Attributes:
        items: int32 [n_users, width], left-padded with 0; user u in row u.
    """

    items: Int32

    @property
    def width(self) -> int:
        """How many items of each user are remembered."""
        return int(self.items.shape[1])

    @classmethod
    def none(cls, width: int) -> Self:
        """Nobody has done anything yet."""
        return cls(np.zeros((0, width), np.int32))

    @classmethod
    def of(cls, log: InteractionLog, width: int) -> Self:
        """The newest `width` items of each user of a log."""
        return cls(log.sequences(width).items)

    def followed_by(self, log: InteractionLog) -> tuple[InteractionLog, Bool]:
        """New rows behind the remembered ones: a log of both, and a bool [n] that marks the new.

        The new rows of a user come after the remembered, whatever their timestamps; `n_users` is the larger of both.
        """
        user, column = np.nonzero(self.items)
        when = np.concatenate([np.zeros(len(user), np.int64), np.ones(len(log), np.int64)])
        joined = InteractionLog.from_columns(
            np.concatenate([user, log.user]),
            np.concatenate([self.items[user, column], log.item]),
            when,  # equal times keep their order of arrival, which in `log` is that of its rows
            n_users=max(len(self.items), log.n_users),
            n_items=log.n_items,
            name=log.name,
        )
        return joined, joined.timestamp == 1


def same_catalogue(owner: object, n_items: int, log: InteractionLog) -> None:
    """Refuse an update that the recommender `owner` of `n_items` items (0 = unfitted) cannot take.

    Raises:
        InputError: it is not fitted, or the log has another catalogue.
    """
    if n_items == 0:
        raise InputError(f"{owner!r} is not fitted: call fit(log, seed=…) before partial_fit.")
    if log.n_items != n_items:
        raise InputError(
            f"{owner!r} was fitted to {n_items} items and cannot be updated with rows of a catalogue of {log.n_items}; "
            "fit it on all rows."
        )
