"""The situation that every attack at inference on one set of evaluated users finds itself in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robust.access import AccessView
from robust.attack import Attack
from robust.errors import RobustError
from robust.log import Bool, Int32, InteractionLog, SequenceBatch
from robust.ranking import Ranking, rank
from robust.recommenders.protocols import Recommender
from robust.seen import Seen
from robust.threat import Budget, Knowledge


@dataclass(frozen=True)
class Situation:
    """What an attack at inference meets: the same for every attack on one set of evaluated users.

    Attributes:
        sequences: [n, L] clean histories; `users` number the users of `log`. truth: int32 [n]. log: genuine train rows.
        seen: what is excluded from lists, or None. trained: bool [n_items + 1], items that have a train row.

    Raises:
        RobustError: a user who is not one of the genuine log's, such as a fake one.
    """

    sequences: SequenceBatch
    truth: Int32
    log: InteractionLog
    seen: Seen | None = None
    trained: Bool | None = None
    k: int = 10

    def __post_init__(self) -> None:
        highest = int(self.sequences.users.max(initial=-1))
        if highest >= self.log.n_users:
            raise RobustError(
                f"User {highest} is evaluated, but the genuine log has {self.log.n_users}: fake users never are."
            )

    def access(
        self, attack: Attack, planned_on: Recommender | None, budget: Budget, knowledge: Knowledge
    ) -> AccessView:
        """The view that this attack gets."""
        next_items = np.zeros(self.log.n_users, dtype=np.int32)
        next_items[self.sequences.users] = self.truth
        return AccessView(
            attack=attack.name,
            knowledge=knowledge,
            n_items=self.log.n_items,
            log=self.log,
            recommender=planned_on,
            next_items=next_items,
            queries=_allowed(budget, knowledge, planned_on, len(self.sequences)),
        )

    def rank(
        self, recommender: Recommender, sequences: SequenceBatch, targets: tuple[int, ...], demoted: bool
    ) -> Ranking:
        """Rank these users' lists from (edited) sequences; insertions push the oldest items out of what is read."""
        return rank(
            recommender,
            sequences.truncate(self.sequences.width),
            self.truth,
            seen=self.seen,
            targets=targets,
            demoted=demoted,
            trained=self.trained,
            k=self.k,
        )


def _allowed(budget: Budget, knowledge: Knowledge, planned_on: Recommender | None, callers: int) -> int | None:
    """Queries in all: the budget's, or what a service grants so many callers, if that is less.

    Who holds the weights has a copy at home, where no service counts.
    """
    each = None if knowledge.model == "gradients" else getattr(planned_on, "queries_allowed", None)
    limits = [limit for limit in (budget.queries, None if each is None else int(each) * callers) if limit is not None]
    return min(limits, default=None)
