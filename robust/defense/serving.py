"""Answering differently: what stands between a ranking and its callers.

Every user calls under a name of their own, and the service keeps a record of each. An attacker who edits a history
calls as that user; one without an account of the log calls under one name. A refusal is a row of zeros: nothing is
recommended, so that an honest user who is refused counts as a miss.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from robust.defense.attacked import Attacked
from robust.defense.base import Defense, Stage
from robust.defense.callers import Caller, Callers, Ledger
from robust.errors import NotApplicable, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
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


class ServingDefense(Defense):
    """Changes what is answered. Authors write `answer`, and `blur` where scores are offered.

    Attributes:
        offers: what a caller is still offered of the recommender behind it.
    """

    stage: ClassVar[Stage] = "serving"
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists"})

    @abstractmethod
    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        """int32 [B, m], what is served, of which callers get the first k places; a row of 0 is a refusal.

        Args:
            lists: int32 [B, m], the plain answer, as long as `places` asks for.
            scores: float32 [B, n_items + 1], column 0 never read; None unless `needs` has scores.
            callers: their records, row by row. seed: of the service, secret; see `noise.keyed_uniform`.
        """

    def blur(self, scores: Float32, sequences: SequenceBatch, callers: Callers, seed: int) -> Float32:
        """float32 [B, n_items + 1], the scores that are served where `offers` has scores; a refusal is −∞."""
        return scores

    def places(self, k: int) -> int:
        """How long a plain list is asked for behind a served one of `k`; never more than the catalogue."""
        return k

    def queries_allowed(self) -> int | None:
        """How many answers one caller may ask for in all; None = any number."""
        return None

    def flag(self, caller: Caller) -> str | None:
        """Why this caller behaves like an attacker, or None."""
        return None

    def through(self, scores: torch.Tensor, sequences: SequenceBatch, seed: int) -> torch.Tensor:
        """Scores [B, n_items + 1] as an attacker who holds the weights sees them through this defence, with a gradient.

        Straight-through by default: as if it were not there. What is random is averaged over draws from `seed`, which
        is the attacker's.
        """
        return scores

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender that answers its callers through this defence, with a fresh record of them.

        Raises:
            NotApplicable: the recommender lacks what this defence needs.
        """
        if missing := self.needs - capabilities(recommender):
            raise NotApplicable(f"serving defence '{self.name}' needs {' and '.join(sorted(missing))} of a recommender")
        return ServedRecommender(self, recommender, seed)


class ServedRecommender:
    """A recommender behind a serving defence; each user of a batch calls under their own name unless one is given."""

    def __init__(
        self,
        defense: ServingDefense,
        recommender: Recommender,
        seed: int,
        *,
        caller: str | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.defense, self.recommender, self.seed = defense, recommender, seed
        self.n_items = int(recommender.n_items)
        self.capabilities: frozenset[Capability] = capabilities(recommender) & (defense.offers | {"lists"})
        self._caller, self._ledger = caller, Ledger(self.n_items) if ledger is None else ledger

    @property
    def context(self) -> int:
        """As the recommender behind it says; 0 where it does not."""
        return int(getattr(self.recommender, "context", 0) or 0)

    def as_caller(self, name: str) -> ServedRecommender:
        """The same service, all of whose questions come from this caller; records are shared."""
        return ServedRecommender(self.defense, self.recommender, self.seed, caller=name, ledger=self._ledger)

    def reopened(self) -> ServedRecommender:
        """The same service, which has met nobody yet."""
        return ServedRecommender(self.defense, self.recommender, self.seed, caller=self._caller)

    def as_attacker(self, seed: int) -> Recommender:
        """What an attacker who knows this defence plans on; asking it leaves no trace in the records here."""
        return Attacked(self.reopened(), HeldService(self.defense, self.recommender, seed))

    @property
    def queries_allowed(self) -> int | None:
        """How many answers one caller may ask for."""
        return self.defense.queries_allowed()

    def flagged(self) -> dict[str, str]:
        """Callers who behave like attackers, and why."""
        said = {caller.id: self.defense.flag(caller) for caller in self._ledger.callers()}
        return {name: why for name, why in said.items() if why is not None}

    def _read(self, sequences: SequenceBatch) -> SequenceBatch:
        """What the recommender reads of them: older items must not change an answer by its noise either."""
        return sequences.truncate(self.context) if self.context else sequences

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], as the defence answers."""
        sequences = self._read(sequences)
        keys = self._ledger.keys_of(sequences, self._caller)
        longer = max(k, min(self.defense.places(k), self.n_items))
        lists = np.asarray(self.recommender.recommend(sequences, longer), dtype=np.int32)
        needed = "scores" in self.defense.needs
        scores = cast(Scorer, self.recommender).score(sequences) if needed else None
        served = self.defense.answer(lists, scores, sequences, self._ledger.before(keys), self.seed)
        served = np.asarray(served, dtype=np.int32)
        if served.shape != lists.shape:
            raise RobustError(f"'{self.defense.name}' answered with {served.shape}, expected {lists.shape}.")
        self._ledger.note(keys, sequences, np.asarray((served == 0).all(axis=1)))
        return served[:, :k]

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], as the defence blurs them."""
        sequences = self._read(sequences)
        keys = self._ledger.keys_of(sequences, self._caller)
        scores = cast(Scorer, self.recommender).score(sequences)
        served = self.defense.blur(scores, sequences, self._ledger.before(keys), self.seed)
        served = np.asarray(served, dtype=np.float32)
        if served.shape != scores.shape:
            raise RobustError(f"'{self.defense.name}' scored with {served.shape}, expected {scores.shape}.")
        self._ledger.note(keys, sequences, np.asarray(np.isneginf(served[:, 1:]).all(axis=1)))
        return served


class HeldService:
    """A service as somebody runs it at home who holds the weights: nobody counts, gradients go straight through."""

    def __init__(self, defense: ServingDefense, recommender: Recommender, seed: int) -> None:
        self.defense, self.recommender, self.seed = defense, recommender, seed
        self.n_items = int(recommender.n_items)
        self.capabilities: frozenset[Capability] = capabilities(recommender) & {"lists", "scores", "gradients"}

    @property
    def context(self) -> int:
        """As the recommender behind it says; 0 where it does not."""
        return int(getattr(self.recommender, "context", 0) or 0)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], in the order of these scores where there are scores."""
        if "scores" in self.capabilities:
            return top_k(self.score(sequences), k)
        return self.recommender.recommend(sequences, k)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], through the defence."""
        import torch

        scores = torch.from_numpy(np.array(cast(Scorer, self.recommender).score(sequences), dtype=np.float32))
        seen: Float32 = self.defense.through(scores, sequences, self.seed).numpy()
        return seen

    @property
    def item_embeddings(self) -> torch.Tensor:
        """The plain recommender's table."""
        return cast(Differentiable, self.recommender).item_embeddings

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """The plain recommender's embeddings."""
        return cast(Differentiable, self.recommender).embed(sequences)

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """Scores through the defence, with a gradient."""
        scores = cast(Differentiable, self.recommender).score_embeddings(embeddings, sequences)
        return self.defense.through(scores, sequences, self.seed)
