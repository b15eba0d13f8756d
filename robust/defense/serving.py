"""Answering differently: what stands between a ranking and its callers.

Every user calls under a name of their own, and the service keeps a record of each. An attacker who edits a history
calls as that user; one without an account of the log calls under one name. A refusal is a row of zeros: nothing is
recommended.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from robust.defense.base import Defense, Stage
from robust.errors import RobustError
from robust.log import Int32, Int64, InteractionLog, SequenceBatch
from robust.recommenders.protocols import (
    Capability,
    Differentiable,
    Float32,
    Recommender,
    Scorer,
    capabilities,
)

if TYPE_CHECKING:
    import torch

ATTACKER = "attacker"


@dataclass
class Caller:
    """A caller's record, before the answer that is being given.

    Attributes:
        id: who calls. asked: sequences asked about so far. refused: of these, how many were refused.
        newest: int64 [n_items + 1], how often each item stood last in a sequence that was asked about.
        lengths: sum of the lengths asked about. calls: how many batches there were.
    """

    id: str
    newest: Int64
    asked: int = 0
    refused: int = 0
    lengths: int = 0
    calls: int = 0

    @property
    def coverage(self) -> float:
        """Share of the catalogue that this caller has asked about as a newest item."""
        return float((self.newest[1:] > 0).mean())


class ServingDefense(Defense):
    """Changes what is answered. Authors write `answer`.

    Attributes:
        offers: what a caller is still offered of the recommender behind it.
    """

    stage: ClassVar[Stage] = "serving"
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists"})

    @abstractmethod
    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, caller: Caller, seed: int
    ) -> Int32:
        """int32 [B, k], the lists that this caller gets; a row of 0 is a refusal.

        Args:
            lists: int32 [B, k], the plain answer. scores: float32 [B, n_items + 1], or None where there are none.
            caller: their record before these rows. seed: of the service, secret; see `noise.keyed_uniform`.
        """

    def blur(self, scores: Float32, sequences: SequenceBatch, caller: Caller, seed: int) -> Float32:
        """float32 [B, n_items + 1], the scores that this caller gets where `offers` has scores; a refusal is −∞."""
        return scores

    def queries_allowed(self) -> int | None:
        """How many lists one caller may ask for in all; None = any number."""
        return None

    def flag(self, caller: Caller) -> str | None:
        """Why this caller behaves like an attacker, or None."""
        return None

    def through(self, scores: torch.Tensor, sequences: SequenceBatch, seed: int) -> torch.Tensor:
        """Scores [B, n_items + 1] as an attacker who holds the weights sees them through this defence, with a gradient.

        Straight-through by default: as if it were not there.
        """
        return scores

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender that answers its callers through this defence, with a fresh record of them."""
        return ServedRecommender(self, recommender, seed)


@dataclass
class _Ledger:
    """The callers of one deployment."""

    n_items: int
    callers: dict[str, Caller] = field(default_factory=dict)

    def caller(self, name: str) -> Caller:
        if name not in self.callers:
            self.callers[name] = Caller(name, np.zeros(self.n_items + 1, dtype=np.int64))
        return self.callers[name]


class ServedRecommender:
    """A recommender behind a serving defence; each user of a batch calls under their own name unless one is given."""

    def __init__(
        self,
        defense: ServingDefense,
        recommender: Recommender,
        seed: int,
        *,
        caller: str | None = None,
        ledger: _Ledger | None = None,
    ) -> None:
        self.defense, self.recommender, self.seed = defense, recommender, seed
        self.n_items = int(recommender.n_items)
        self.capabilities: frozenset[Capability] = capabilities(recommender) & (defense.offers | {"lists"})
        self._caller, self._ledger = caller, ledger or _Ledger(self.n_items)

    @property
    def context(self) -> int:
        """As the recommender behind it."""
        return int(getattr(self.recommender, "context", 0) or 50)

    def as_caller(self, name: str) -> ServedRecommender:
        """The same service, all of whose questions come from this caller; records are shared."""
        return ServedRecommender(self.defense, self.recommender, self.seed, caller=name, ledger=self._ledger)

    def as_attacker(self, seed: int) -> Recommender:
        """What an attacker who knows this defence plans on: the service with a fresh record of its callers."""
        return AttackedService(ServedRecommender(self.defense, self.recommender, self.seed, caller=self._caller), seed)

    @property
    def queries_allowed(self) -> int | None:
        """How many lists one caller may ask for."""
        return self.defense.queries_allowed()

    def flagged(self) -> dict[str, str]:
        """Callers who behave like attackers, and why."""
        said = {name: self.defense.flag(caller) for name, caller in self._ledger.callers.items()}
        return {name: why for name, why in said.items() if why is not None}

    def _served(self, sequences: SequenceBatch, answer: Callable[[NDArray[Any], Caller], NDArray[Any]]) -> NDArray[Any]:
        """Rows of the answer, caller by caller, each with its record brought up to date."""
        names = [self._caller or (ATTACKER if user < 0 else f"user {user}") for user in sequences.users]
        order: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            order.setdefault(name, []).append(row)
        rows_of = [(self._ledger.caller(name), np.asarray(rows)) for name, rows in order.items()]
        parts = []
        for caller, rows in rows_of:
            part = answer(rows, caller)
            own = sequences[rows]
            caller.asked += len(rows)
            caller.calls += 1
            caller.lengths += int(own.lengths.sum())
            if own.width:
                np.add.at(caller.newest, own.items[:, -1], 1)
            parts.append(part)
        joined = np.concatenate(parts) if parts else answer(np.zeros(0, np.int64), Caller("", np.zeros(1, np.int64)))
        everyone = np.concatenate([rows for _, rows in rows_of]) if rows_of else np.zeros(0, np.int64)
        back = np.empty(len(everyone), dtype=np.int64)
        back[everyone] = np.arange(len(everyone))
        return np.asarray(joined[back])

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], as the defence answers."""
        lists = np.asarray(self.recommender.recommend(sequences, k), dtype=np.int32)
        scored = "scores" in capabilities(self.recommender)
        scores = cast(Scorer, self.recommender).score(sequences) if scored else None

        def answer(rows: NDArray[Any], caller: Caller) -> NDArray[Any]:
            own = None if scores is None else scores[rows]
            given = np.asarray(self.defense.answer(lists[rows], own, sequences[rows], caller, self.seed))
            if given.shape != lists[rows].shape:
                raise RobustError(f"'{self.defense.name}' answered with {given.shape}, expected {lists[rows].shape}.")
            caller.refused += int((given == 0).all(axis=1).sum()) if k else 0
            return given.astype(np.int32)

        return np.asarray(self._served(sequences, answer), dtype=np.int32)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], as the defence blurs them."""
        scores = cast(Scorer, self.recommender).score(sequences)
        return np.asarray(
            self._served(
                sequences,
                lambda rows, caller: self.defense.blur(scores[rows], sequences[rows], caller, self.seed),
            ),
            dtype=np.float32,
        )


class AttackedService:
    """A service as an attacker sees it who holds the defence: lists and scores through it, gradients straight-through.

    Whether the attacker holds weights too is for their `Knowledge` to say.
    """

    def __init__(self, service: ServedRecommender, seed: int) -> None:
        self.service, self.seed = service, seed
        self.n_items = service.n_items
        behind = capabilities(service.recommender)
        self.capabilities: frozenset[Capability] = service.capabilities | (behind & {"gradients"})
        if "gradients" in self.capabilities:
            self.capabilities |= {"scores"}

    @property
    def queries_allowed(self) -> int | None:
        """How many lists one caller may ask for."""
        return self.service.queries_allowed

    @property
    def context(self) -> int:
        """As the recommender behind it."""
        return self.service.context

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """As the service answers this caller."""
        return self.service.recommend(sequences, k)

    def score(self, sequences: SequenceBatch) -> Float32:
        """As the service scores; of one that offers no scores, those of the weights, for who holds them."""
        if "scores" in self.service.capabilities:
            return self.service.score(sequences)
        return cast(Scorer, self.service.recommender).score(sequences)

    @property
    def item_embeddings(self) -> torch.Tensor:
        """The plain recommender's table."""
        return cast(Differentiable, self.service.recommender).item_embeddings

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """The plain recommender's embeddings."""
        return cast(Differentiable, self.service.recommender).embed(sequences)

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """Scores through the defence, with a gradient."""
        scores = cast(Differentiable, self.service.recommender).score_embeddings(embeddings, sequences)
        return self.service.defense.through(scores, sequences, self.seed)
