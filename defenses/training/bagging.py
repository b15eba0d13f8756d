"""Bagging: several recommenders, each fitted to a sample of the users, rank as one.

Breiman, "Bagging Predictors", Machine Learning 1996 (bootstrap); Levine and Feizi, "Deep Partition Aggregation", ICLR
2021 (disjoint parts). A fake user reaches the members whose samples hold them: about 63% of the members of a
bootstrap, exactly one member of disjoint parts.

The part of a user follows from their number and the seed alone, so that further users move nobody.

Known deviations: members' scores (or ranks) are averaged, where both papers take a vote, so that nothing is certified
here: one member that is quite wrong moves a mean. The vocabulary of items is the log's, not the part's.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.defense import TrainingDefense
from robust.defense.base import Cost
from robust.defense.noise import keyed_uniform
from robust.errors import InputError
from robust.log import Int64, InteractionLog
from robust.recommenders.ensemble import Combine, Ensemble, StoredEnsemble, fitted, members_of
from robust.recommenders.protocols import Capability, Recommender


class Bagging(TrainingDefense):
    """Fits members to samples of the users and averages what they answer.

    Attributes:
        members: how many recommenders. combine: whether their `scores` are averaged, or their `ranks`.
        samples: `bootstrap`, as many users as there are, with replacement; or `disjoint` parts.
    """

    name: ClassVar[str] = "bagging"
    source: ClassVar[str] = "Breiman, Machine Learning 1996; Levine and Feizi, ICLR 2021 (arXiv 2006.14768)"
    weaknesses: ClassVar[str] = (
        "Nothing is certified: a mean is moved by one member that is quite wrong, and an attacker with enough fake "
        "users reaches every sample. Members of disjoint parts see few users each and rank worse. Changes to a "
        "sequence at inference meet members that are wrong alike."
    )
    assumptions: ClassVar[str] = "Fake users are few beside the members (disjoint), or harm by chance (bootstrap)."
    cost: ClassVar[Cost] = "several fits"
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "fit"})

    members: int = Field(default=5, ge=2)
    samples: Literal["bootstrap", "disjoint"] = "bootstrap"
    combine: Combine = "scores"

    def check_log(self, log: InteractionLog) -> None:
        """Refuse more parts than there are users to learn from.

        Raises:
            InputError: how many parts were asked for, and of how many users.
        """
        users = int((log.lengths >= 2).sum())
        if self.members > users:
            raise InputError(
                f"'{self.name}': {self.members} members cannot each have a user with a next item; there are {users}."
            )

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit every member to its sample; with a share, further from `recommender`, or member by member.

        Raises:
            InputError: a sample without anything to learn from, found before any fit.
            NotApplicable: it cannot be trained further.
        """
        self.check_log(log)
        logs = self.drawn(log, seed)
        empty = sum(not (part.lengths >= 2).any() for part in logs)
        if empty:
            raise InputError(
                f"'{self.name}': {empty} of {self.members} {self.samples} samples of {int((log.lengths > 0).sum())} "
                "users have no user with a next item; ask for fewer members."
            )
        return Ensemble.of(fitted(members_of(recommender, self.members), logs, seed=seed, share=share), self.combine)

    def restore(self, recommender: Any, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Recommender:
        """An ensemble of the recommender's type."""
        return StoredEnsemble.from_state(arrays, settings, type(recommender))

    def drawn(self, log: InteractionLog, seed: int) -> list[InteractionLog]:
        """The members' samples: logs of the same catalogue."""
        if self.samples == "disjoint":
            numbers = np.arange(1, log.n_users + 1, dtype=np.int32)[:, None]
            part = (keyed_uniform(seed, numbers, 1)[:, 0] * self.members).astype(np.int64)
            return [log.without_users(part != member) for member in range(self.members)]
        active, logs = np.flatnonzero(log.lengths > 0), []
        for member in range(self.members):
            rng = np.random.default_rng([seed, member, 0xBA])
            times = np.bincount(rng.choice(active, size=len(active)), minlength=log.n_users)
            logs.append(repeated(log, times))
        return logs


def repeated(log: InteractionLog, times: Int64) -> InteractionLog:
    """The log with each user as often as `times` [n_users] says; a first copy keeps its number, others get new ones."""
    kept = log.rows((times > 0)[log.user])
    user, item, time = [kept.user.astype(np.int64)], [kept.item], [kept.timestamp]
    n_users = log.n_users
    for copy in range(1, int(times.max(initial=0))):
        again = np.flatnonzero(times > copy)
        number = np.full(log.n_users, -1)
        number[again] = n_users + np.arange(len(again))
        rows = number[log.user] >= 0
        user.append(number[log.user[rows]])
        item.append(log.item[rows])
        time.append(log.timestamp[rows])
        n_users += len(again)
    columns = (np.concatenate(part) for part in (user, item, time))
    return InteractionLog.from_columns(*columns, n_users=n_users, n_items=log.n_items, name=log.name)
