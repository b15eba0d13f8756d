"""An attack under test: the small log and victim that it is tried on, what it may spend, and a meter of questions."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust.access import Access, AccessView
from robust.attack import AnyGoal, Attack, Evaded, EvasionAttack, Poisoned, PoisoningAttack
from robust.datasets.synthetic import load as synthetic
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Float32
from robust.recommenders.recurrent import GRU4Rec
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote

CONTEXT = 8
USERS = 80
AMOUNTS = (1, 2, 3, 9)
"""9 edits are more than any sequence here has items."""


@cache
def trial() -> tuple[InteractionLog, GRU4Rec]:
    """A small log with structure, and a small recurrent victim of it that offers everything."""
    whole = synthetic()
    some = whole.user < USERS
    columns = whole.user[some], whole.item[some], whole.timestamp[some]
    rows = InteractionLog.from_columns(*columns, n_users=USERS, n_items=whole.n_items, name=f"synthetic, {USERS} users")
    return rows, small_victim().fit(rows, seed=0)


def small_victim() -> GRU4Rec:
    """A recurrent recommender, not fitted, that trains for a moment."""
    return GRU4Rec(context=CONTEXT, dimension=8, max_steps=30, min_steps=30, batch_size=32)


def histories(log: InteractionLog, rows: int | None = None) -> SequenceBatch:
    """Histories of the first users, the newest 1 to `CONTEXT` items of each, so that some have padding."""
    whole = log.sequences(CONTEXT, np.arange(log.n_users if rows is None else min(rows, log.n_users)))
    kept = 1 + np.arange(len(whole)) * 5 % CONTEXT
    items = np.where(np.arange(CONTEXT) >= CONTEXT - kept[:, None], whole.items, 0)
    return SequenceBatch(items, whole.users)


class Lists:
    """The lists of a recommender, and how many were asked for; nothing else of it can be reached by accident."""

    def __init__(self, inner: GRU4Rec) -> None:
        self._inner, self.n_items, self.context, self.answered = inner, inner.n_items, inner.context, 0

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k], B questions."""
        self.answered += len(sequences)
        return self._inner.recommend(sequences, k)


class Scores(Lists):
    """Its scores too."""

    def score(self, sequences: SequenceBatch) -> Float32:
        """[B, n_items + 1], B questions."""
        self.answered += len(sequences)
        return self._inner.score(sequences)


class Gradients(Scores):
    """Its embeddings and gradients too."""

    @property
    def item_embeddings(self) -> Any:
        """[n_items + 1, D], no question."""
        return self._inner.item_embeddings

    def embed(self, sequences: SequenceBatch) -> Any:
        """[B, L, D], no question."""
        return self._inner.embed(sequences)

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        """[B, n_items + 1], B questions."""
        self.answered += len(sequences)
        return self._inner.score_embeddings(embeddings, sequences)

    def with_item_embeddings(self, table: Any) -> Any:
        """The victim with another item table, whose questions are counted here."""
        return _Retabled(self, self._inner.with_item_embeddings(table))


class _Retabled:
    """A metered victim's other self; it is differentiable, and no more is needed of it."""

    def __init__(self, meter: Gradients, inner: GRU4Rec) -> None:
        self._meter, self._inner, self.n_items = meter, inner, inner.n_items
        self.capabilities = frozenset({"gradients"})

    def embed(self, sequences: SequenceBatch) -> Any:
        """[B, L, D], no question."""
        return self._inner.embed(sequences)

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        """[B, n_items + 1], B questions."""
        self._meter.answered += len(sequences)
        return self._inner.score_embeddings(embeddings, sequences)


METERED: dict[Access, type[Lists]] = {"lists": Lists, "scores": Scores, "gradients": Gradients}


@dataclass(frozen=True)
class Attacked:
    """An attack under test, on the trial log and victim. seed: of its draws.

    Attributes:
        log: the genuine rows; None for the trial's. next_items: what the users take next, never granted.
    """

    attack: Attack
    seed: int = 0
    log: InteractionLog | None = None
    next_items: Int32 | None = None

    @property
    def rows(self) -> InteractionLog:
        """The genuine rows."""
        return trial()[0] if self.log is None else self.log

    @property
    def sequences(self) -> SequenceBatch:
        """What it edits or perturbs: 12 histories, the last of them empty, as a newcomer's is; its own copy."""
        some = histories(trial()[0], 12)
        return some.with_items(np.where(np.arange(12)[:, None] == 11, 0, some.items))

    @property
    def goals(self) -> list[AnyGoal]:
        """One of each kind that it pursues."""
        every: list[AnyGoal] = [Promote(items=(3, 7)), Demote(items=(1, 2)), Degrade()]
        return [goal for goal in every if goal.kind in self.attack.goals]

    def budget(self, amount: int, queries: int | None = None) -> Budget:
        """So many units of what it spends."""
        if isinstance(self.attack, PoisoningAttack):
            return Budget(users=amount, profile_length=5, rows=amount, queries=queries)
        if isinstance(self.attack, EvasionAttack):
            return Budget(edits=amount, queries=queries)
        return Budget(epsilon=0.25 * amount, queries=queries)

    def budgets(self, amount: int) -> list[Budget]:
        """So many units, in each way of stating them."""
        if isinstance(self.attack, PoisoningAttack):
            return [
                Budget(users=amount, profile_length=5, rows=0),
                Budget(users=1, profile_length=amount),
                Budget(rows=amount),
                Budget(rows=len(self.rows) - 5 + amount),  # nearly all, and more than there are
                self.budget(amount),
            ]
        if isinstance(self.attack, EvasionAttack):
            return [self.budget(amount)]
        absolute = Budget(epsilon=0.1 * amount, unit="absolute")
        whole = [self.budget(amount).model_copy(update=other) for other in ({"norm": "linf"}, {"per": "sequence"})]
        return [self.budget(amount), *whole, absolute]

    def with_next_items(self, shift: int) -> Attacked:
        """The same, other items coming next."""
        users = np.arange(self.rows.n_users)
        return replace(self, next_items=((users + shift) % self.rows.n_items + 1).astype(np.int32))

    def run(
        self, goal: AnyGoal, budget: Budget, sequences: SequenceBatch | None = None, seed: int | None = None
    ) -> tuple[Any, Lists | None]:
        """Its outcome, with exactly the knowledge that it declares; and the victim that it asked, if any."""
        level = self.attack.model_access
        victim = None if level == "none" else METERED[level](trial()[1])
        access = AccessView(
            attack=self.attack.name,
            knowledge=Knowledge(log=self.attack.needs_log, model=level),
            n_items=self.rows.n_items,
            log=self.rows,
            recommender=victim,
            next_items=self.next_items,
            queries=budget.queries,
        )
        rng = np.random.default_rng(self.seed if seed is None else seed)
        if isinstance(self.attack, PoisoningAttack):
            return self.attack(access, goal, budget, rng), victim
        given = self.sequences if sequences is None else sequences
        return cast(Any, self.attack)(access, given, goal, budget, rng), victim


def own_copy(sequences: SequenceBatch) -> SequenceBatch:
    """A batch that shares no memory with this one."""
    times = None if sequences.timestamps is None else sequences.timestamps.copy()
    return SequenceBatch(sequences.items.copy(), sequences.users.copy(), times)


def as_bytes(outcome: Any) -> bytes:
    """All that an attack hands back."""
    if isinstance(outcome, Poisoned):
        parts = [(field.name, getattr(outcome.edit, field.name)) for field in fields(outcome.edit)]
        return b"".join(f"{name} {np.shape(part)}".encode() + _bytes(part) for name, part in parts)
    if isinstance(outcome, Evaded):
        return repr(outcome.sequences.items.shape).encode() + outcome.sequences.items.tobytes()
    return bytes(outcome.deltas.numpy().tobytes())


def _bytes(part: NDArray[Any] | str | None) -> bytes:
    return part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()


def changes(outcome: Any, subject: Attacked) -> bool:
    """Whether the attack did anything at all."""
    if isinstance(outcome, Poisoned):
        log, edited = subject.rows, outcome.edit.apply(subject.rows)
        pairs = ((log.user, edited.user), (log.item, edited.item), (log.timestamp, edited.timestamp))
        return log.n_users != edited.n_users or any(not np.array_equal(a, b) for a, b in pairs)
    if isinstance(outcome, Evaded):
        return not np.array_equal(outcome.sequences.items, subject.sequences.items)
    return bool(outcome.deltas.any())
