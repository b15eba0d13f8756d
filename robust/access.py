"""The views through which an attack sees log and model.

A view offers what the attack's `Knowledge` grants and counts every query; the rest raises `NotKnown`. It guards against
mistakes, not malice: Python hides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from robust.curve import Curve
from robust.errors import BudgetExceeded, NotApplicable, NotKnown, RobustError
from robust.log import Bool, Int32, Int64, InteractionLog, SequenceBatch
from robust.recommenders.item_table import with_item_embeddings
from robust.recommenders.protocols import Capability, Float32, Recommender, capabilities
from robust.recommenders.replacements import evaluate_replacements
from robust.threat import Knowledge

if TYPE_CHECKING:
    import torch

Access = Literal["none", "lists", "scores", "gradients"]
ACCESS: tuple[Access, ...] = ("none", "lists", "scores", "gradients")
"""What of a model an attack may see, from nothing to everything."""

TimePolicy = Callable[[InteractionLog, np.random.Generator, tuple[int, int]], Int64]
"""From a log without its items, when a fake profile acts: see `AccessView.timeline`."""

_CAPABILITY: dict[str, Capability] = {"lists": "lists", "scores": "scores", "gradients": "gradients"}


class QueryCounter:
    """Counts lists asked for, against a limit. One query = one sequence answered, with or without a gradient.

    Attributes:
        sees: the most of the model that was really looked at, whatever the attack declares and its knowledge grants.
    """

    def __init__(self, attack: str, limit: int | None = None) -> None:
        self.attack, self.limit, self.spent = attack, limit, 0
        self.sees: Access = "none"

    def add(self, count: int) -> None:
        """Spend `count` queries before they are answered.

        Raises:
            BudgetExceeded: the limit would be passed; nothing is answered then.
        """
        if self.limit is not None and self.spent + count > self.limit:
            raise BudgetExceeded(self.attack, "queries", self.limit, self.spent + count)
        self.spent += count

    @contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """Within this block, spend at most `count` more: for an attack that lets another run on a share of its own."""
        whole = self.limit
        self.limit = self.spent + count if whole is None else min(whole, self.spent + count)
        try:
            yield
        finally:
            self.limit = whole

    def left_for(self, sequences: int) -> int | None:
        """What is left for each of so many sequences; None without a limit."""
        return None if self.limit is None else (self.limit - self.spent) // max(sequences, 1)


class ModelView:
    """A recommender as an attacker with this knowledge sees it."""

    def __init__(self, recommender: Recommender, knowledge: Knowledge, counter: QueryCounter) -> None:
        # who holds the weights of a service need not ask it
        held = getattr(recommender, "with_weights", None) if knowledge.model == "gradients" else None
        self._recommender: Recommender = recommender if held is None else held()
        self._knowledge, self._counter = knowledge, counter

    @property
    def n_items(self) -> int:
        """The catalogue's size."""
        return int(self._recommender.n_items)

    def _granted(self, needed: Access) -> Any:
        if not self._knowledge.grants_model(needed):
            raise NotKnown(
                f"'{self._counter.attack}' asked for {needed} of the model, but its knowledge is "
                f"'{self._knowledge.model}'. Grant `knowledge: {{model: {needed}}}`."
            )
        if _CAPABILITY[needed] not in capabilities(self._recommender):
            raise NotApplicable(f"needs {needed}, which this recommender does not offer")
        self._counter.sees = max(self._counter.sees, needed, key=ACCESS.index)
        return self._recommender

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k]; needs `lists`."""
        recommender = self._granted("lists")
        self._counter.add(len(sequences))
        lists: Int32 = recommender.recommend(sequences, k)
        return lists

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1]; needs `scores`."""
        recommender = self._granted("scores")
        self._counter.add(len(sequences))
        scores: Float32 = recommender.score(sequences)
        return scores

    def evaluate_replacements(
        self,
        sequence: SequenceBatch,
        position: int,
        items: Int32,
        objective: Callable[[torch.Tensor], torch.Tensor],
    ) -> Float32:
        """float32 [m], the objective of one sequence [1, L] with column `position` replaced by each of `items` [m].

        Needs `scores`; one query per edited sequence, however much of it the model has to compute. The objective turns
        scores [c, n_items + 1] into [c]; a 0 in column `position` is an insertion. See `replacements`.
        """
        recommender = self._granted("scores")
        self._counter.add(len(items))
        return evaluate_replacements(recommender, sequence, position, items, objective)

    def passes_guard(self, sequences: SequenceBatch) -> Bool | None:
        """bool [B, L], which positions an input guard lets through; None without a guard.

        Needs `gradients`: who holds the weights holds the guard. Not a query: nothing is ranked.
        """
        kept = getattr(self._granted("gradients"), "kept", None)
        return None if kept is None else np.asarray(kept(sequences), dtype=bool)

    @property
    def item_embeddings(self) -> torch.Tensor:
        """[n_items + 1, D]; needs `gradients`."""
        table: torch.Tensor = self._granted("gradients").item_embeddings
        return table

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """[B, L, D]; needs `gradients`. Not a query: nothing is ranked."""
        embedded: torch.Tensor = self._granted("gradients").embed(sequences)
        return embedded

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """[B, n_items + 1]; needs `gradients`."""
        recommender = self._granted("gradients")
        self._counter.add(len(sequences))
        scores: torch.Tensor = recommender.score_embeddings(embeddings, sequences)
        return scores

    def with_item_embeddings(self, table: torch.Tensor) -> ModelView:
        """The same model with another item table [n_items + 1, D], differentiable in it; needs `gradients`.

        Its answers are counted with those of this view.
        """
        recommender = with_item_embeddings(self._granted("gradients"), table)
        return ModelView(recommender, self._knowledge, self._counter)


class AccessView:
    """What an attack may see. Built by the harness for one attack on one victim.

    A search notes what it has reached in `curve`, to be read beside its outcome.

    Args:
        knowledge: what is granted.
        log: the genuine train rows.
        recommender: the model that the attack is planned on; None for an attack that looks at none.
        next_items: int32 [users of the log], the true next item, only passed on if `knowledge.next_item`.
        suspicion: a sanitiser's suspicion of each user of a log, when the attacker knows the defence.
        fit: retrains the victim on a log, when the attacker can.
    """

    def __init__(
        self,
        *,
        attack: str,
        knowledge: Knowledge,
        n_items: int,
        log: InteractionLog | None = None,
        recommender: Recommender | None = None,
        next_items: Int32 | None = None,
        suspicion: Callable[[InteractionLog], Any] | None = None,
        fit: Callable[[InteractionLog], Recommender] | None = None,
        queries: int | None = None,
    ) -> None:
        self.attack, self.knowledge, self.n_items = attack, knowledge, n_items
        self.counter = QueryCounter(attack, queries)
        self.curve = Curve(lambda: self.counter.spent)
        self._log, self._recommender, self._next_items = log, recommender, next_items
        self._suspicion, self._fit = suspicion, fit

    def _refuse(self, what: str, remedy: str) -> NotKnown:
        return NotKnown(f"'{self.attack}' asked for {what}, which its knowledge does not grant. {remedy}")

    def queries_left(self, sequences: int) -> int | None:
        """How many queries each of so many sequences may still cost; None = any number."""
        return self.counter.left_for(sequences)

    @property
    def popularity(self) -> Int64:
        """int64 [n_items + 1], train rows per item; needs `log: popularity` or more."""
        if self.knowledge.log == "none" or self._log is None:
            raise self._refuse("the items' popularity", "Grant `knowledge: {log: popularity}`.")
        return self._log.popularity

    @property
    def log(self) -> InteractionLog:
        """The genuine train rows; needs `log: full`."""
        if self.knowledge.log != "full" or self._log is None:
            raise self._refuse("the train rows", "Grant `knowledge: {log: full}`.")
        return self._log

    def timeline(self, rng: np.random.Generator, shape: tuple[int, int], policy: TimePolicy | None = None) -> Int64:
        """int64 [profiles, length] of strictly increasing times, none beyond the last train row.

        By default each profile takes the start of a random genuine user and bootstraps gaps between genuine events, as
        accounts on this platform behave. A policy sees who acted when, without the items. How fast people act is
        visible to any user of a platform, so this needs no more than `log: popularity`; a log without times gives
        positions.
        """
        if self.knowledge.log == "none" or self._log is None:
            raise self._refuse("real gaps in time", "Grant `knowledge: {log: popularity}`.")
        times = replace(self._log, item=np.zeros(len(self._log), np.int32), item_ids=None)
        return (policy or bootstrap_times)(times, rng, shape)

    @property
    def model(self) -> ModelView:
        """The recommender, as far as `knowledge.model` goes."""
        if self.knowledge.model == "none" or self._recommender is None:
            raise self._refuse("the model", "Grant `knowledge: {model: lists}` or more.")
        return ModelView(self._recommender, self.knowledge, self.counter)

    def next_items(self, sequences: SequenceBatch) -> Int32 | None:
        """int32 [B], the true next item of each sequence, or None where the attacker does not know it."""
        if not self.knowledge.next_item or self._next_items is None:
            return None
        if len(sequences) and sequences.users.min() < 0:
            raise RobustError(f"'{self.attack}' asked for the next items of sequences that name no user.")
        return self._next_items[sequences.users]

    @property
    def knows_defense(self) -> bool:
        """Whether a sanitiser's suspicion can be asked for."""
        return self._suspicion is not None

    def suspicion(self, log: InteractionLog) -> Any:
        """float [n_users], the sanitiser's suspicion on this log; only for attacks planned on the protected victim."""
        if self._suspicion is None:
            raise self._refuse("the defence", "Plan on the protected victim: `plan: [protected]`.")
        return self._suspicion(log)

    def fit(self, log: InteractionLog) -> Recommender:
        """The victim, retrained on a log of the attacker's making."""
        if self._fit is None:
            raise self._refuse("a retrained victim", "Only attacks on a victim that can be fitted may retrain it.")
        return self._fit(log)


def bootstrap_times(log: InteractionLog, rng: np.random.Generator, shape: tuple[int, int]) -> Int64:
    """int64 [profiles, length], strictly increasing: the start of a random genuine user, then bootstrapped real gaps.

    Poison must never land beyond the last train row, where an evaluation may have its test rows. So a profile that
    would run past it starts earlier; one that is longer than the whole log has its gaps shortened in proportion, down
    to one unit each; and only if the log's span has fewer units than the profile has events (positions in place of
    times, say) does it begin before the first train row.
    """
    profiles, length = shape
    if profiles == 0 or length == 0 or len(log) == 0:
        return np.broadcast_to(np.arange(length, dtype=np.int64), shape).copy()
    first, last = int(log.timestamp.min()), int(log.timestamp.max())
    starts = log.timestamp[log.offsets[:-1][log.lengths > 0]]
    gaps = np.diff(log.timestamp)[log.user[1:] == log.user[:-1]]
    if len(gaps) == 0:
        gaps = np.ones(1, np.int64)
    start = starts[rng.integers(len(starts), size=profiles)][:, None]
    # one unit per step keeps times strictly increasing; what a gap has beyond it is `extra`, which may shrink. In
    # float64, since a sum of nanoseconds may pass int64; rounding moves no event past the room, which caps it.
    extra = np.maximum(gaps[rng.integers(len(gaps), size=shape)] - 1, 0).astype(np.float64)
    extra[:, 0] = 0
    extra = np.cumsum(extra, axis=1)
    room = max(last - first - (length - 1), 0)
    extra *= np.minimum(1.0, room / np.maximum(extra[:, -1:], 1.0))
    steps = np.minimum(np.floor(extra).astype(np.int64), room) + np.arange(length)
    return np.asarray(np.minimum(start, last - steps[:, -1:]) + steps, dtype=np.int64)
