"""Baselines without training: they tell whether order matters on a log, and whether a neural victim is undertrained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from robust.errors import InputError
from robust.frozen import Frozen
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.alignment import align_left, refuse_unknown
from robust.recommenders.protocols import Capability, Float32
from robust.recommenders.recent import Recent, same_catalogue
from robust.recommenders.settings import parse
from robust.recommenders.successors import Successors, Table

_RANKING_BATCH = 256
# Small against any count's share, so that popularity orders only what the counts leave (nearly) equal.
_BACK_OFF = 1e-3


def _empty(rows: int, columns: int) -> Table:
    nowhere = np.zeros(0, np.int32)
    return sparse.csr_array((np.zeros(0, np.float32), (nowhere, nowhere)), shape=(rows, columns))


class Baseline(ABC):
    """Scores are sums of rows of a sparse item-to-item table, plus a trace of popularity.

    Unfitted it has `n_items = 0`; fitting returns a new object. An empty sequence is answered with popularity.
    """

    capabilities: frozenset[Capability] = frozenset({"lists", "scores", "fit"})
    settings_type: ClassVar[type[Frozen]] = Frozen

    def __init__(self, **settings: Any) -> None:
        self.settings = parse(self.settings_type, type(self).__name__, settings)
        self.n_items = 0
        self._popularity = np.zeros(1, np.int64)
        self._table: Table = _empty(1, 1)

    def __repr__(self) -> str:
        changed = ", ".join(f"{name}={value!r}" for name, value in self.settings.model_dump().items())
        return f"{type(self).__name__}({changed})"

    @abstractmethod
    def _count(self, log: InteractionLog) -> Table:
        """[n_items + 1, n_items + 1]: row i weighs the items that i in a history speaks for.

        `fit` calls it on the new object, which may thus keep what it counts.
        """

    @abstractmethod
    def _history(self, sequences: SequenceBatch) -> Table:
        """[B, n_items + 1]: how much each item of a history counts."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        """Counted on `log`; nothing is random, so the seed changes nothing."""
        fitted = type(self)(**self.settings.model_dump())
        fitted.n_items, fitted._popularity = log.n_items, log.popularity
        fitted._table = fitted._count(log).astype(np.float32)
        return fitted

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], higher is better; column 0 is −inf."""
        if self.n_items == 0:
            raise InputError(f"{self!r} is not fitted: call fit(log, seed=…) first.")
        refuse_unknown(sequences, self.n_items)
        scores = np.asarray((self._history(sequences) @ self._table).toarray(), dtype=np.float32)
        scores += (_BACK_OFF * self._popularity / max(int(self._popularity.sum()), 1)).astype(np.float32)
        scores[:, 0] = -np.inf
        return scores

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], best first; ties by the lower id."""
        lists = [top_k(self.score(part), k) for part in sequences.chunks(_RANKING_BATCH)]
        return np.concatenate(lists) if lists else np.zeros((0, k), np.int32)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The table in compressed rows and the popularity; the settings."""
        table = self._table
        arrays: dict[str, NDArray[Any]] = {
            "data": table.data,
            "indices": table.indices,
            "indptr": table.indptr,
            "popularity": self._popularity,
        }
        return arrays, {"settings": self.settings.model_dump(mode="json"), "n_items": self.n_items}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Self:
        """The inverse of `state`, to the bit."""
        fitted = cls(**settings["settings"])
        fitted.n_items, fitted._popularity = int(settings["n_items"]), arrays["popularity"]
        size = fitted.n_items + 1
        fitted._table = sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
        return fitted


class Popularity(Baseline):
    """The same list for everybody: items by their number of train rows."""

    capabilities = Baseline.capabilities | {"update"}

    def _count(self, log: InteractionLog) -> Table:
        return _empty(log.n_items + 1, log.n_items + 1)

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Self:
        """With these rows counted too: what `fit` makes of all rows at once."""
        same_catalogue(self, self.n_items, log)
        updated = self.fit(log, seed=seed)
        updated._popularity = self._popularity + log.popularity
        return updated

    def _history(self, sequences: SequenceBatch) -> Table:
        return _empty(len(sequences), self.n_items + 1)


class MarkovSettings(Frozen):
    """Settings of `Markov`.

    Attributes:
        gaps: how many of the newest items speak, each with the successors it had at its own distance.
    """

    gaps: int = Field(default=1, ge=1)


class Markov(Baseline):
    """First-order Markov chain: how often each item followed the newest one, as a share.

    With `gaps` G > 1, rows up to G places apart count as a transition, with weight 1/gap, and the newest G items of a
    history vote with the same weights.
    """

    capabilities = Baseline.capabilities | {"update"}
    settings_type = MarkovSettings
    settings: MarkovSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._successors = Successors.none(self.settings.gaps)

    def _count(self, log: InteractionLog) -> Table:
        self._successors = Successors.of(log, self.settings.gaps)
        return self._successors.shares()

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Self:
        """With these rows behind each user's earlier ones: to the bit what `fit` makes of all rows at once."""
        same_catalogue(self, self.n_items, log)
        return self._having(self._successors.followed_by(log), self._popularity + log.popularity)

    def _having(self, successors: Successors, popularity: NDArray[np.int64]) -> Self:
        fitted = type(self)(**self.settings.model_dump())
        fitted.n_items, fitted._popularity = len(popularity) - 1, popularity
        fitted._successors, fitted._table = successors, successors.shares().astype(np.float32)
        return fitted

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The counts in compressed rows, each user's newest items, and the popularity; the settings."""
        counts, (_, settings) = self._successors.counts, super().state()
        arrays: dict[str, NDArray[Any]] = {
            "counts": counts.data,
            "indices": counts.indices,
            "indptr": counts.indptr,
            "recent": self._successors.recent.items,
            "popularity": self._popularity,
        }
        return arrays, settings

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Self:
        """The inverse of `state`, to the bit."""
        blank, size = cls(**settings["settings"]), int(settings["n_items"]) + 1
        shape = (blank.settings.gaps * size, size)
        counts = sparse.csr_array((arrays["counts"], arrays["indices"], arrays["indptr"]), shape=shape)
        return blank._having(Successors(counts, Recent(arrays["recent"])), arrays["popularity"])

    def _history(self, sequences: SequenceBatch) -> Table:
        columns, lengths = align_left(sequences.items, self.settings.gaps)
        items = np.take_along_axis(sequences.items, columns, axis=1)
        place = np.arange(items.shape[1])
        row, column = np.nonzero(place < lengths[:, None])
        weight = 1 / (lengths[row] - column)
        return sparse.csr_array(
            (weight.astype(np.float32), (row, items[row, column])), shape=(len(items), self.n_items + 1)
        )


class ItemKNNSettings(Frozen):
    """Settings of `ItemKNN`.

    Attributes:
        neighbours: the most similar items that are kept for each item.
    """

    neighbours: int = Field(default=100, ge=1)


class ItemKNN(Baseline):
    """Items by their mean cosine, over users, to the items of a history (Sarwar et al. 2001). Order does not matter."""

    settings_type = ItemKNNSettings
    settings: ItemKNNSettings

    def _count(self, log: InteractionLog) -> Table:
        ones = np.ones(len(log), np.float32)
        held = sparse.csr_array((ones, (log.user, log.item)), shape=(log.n_users, log.n_items + 1))
        held.data[:] = 1.0  # a repeated item is held once
        norms = np.sqrt(np.asarray(held.sum(axis=0)).ravel())
        unit = sparse.csc_array(held @ sparse.diags_array(1 / np.maximum(norms, 1.0)))
        blocks = [
            _nearest(unit[:, start : start + _RANKING_BATCH].T @ unit, start, self.settings.neighbours)
            for start in range(0, log.n_items + 1, _RANKING_BATCH)
        ]
        return sparse.csr_array(sparse.vstack(blocks))

    def _history(self, sequences: SequenceBatch) -> Table:
        row, column = np.nonzero(sequences.items)
        weight = np.ones(len(row), np.float32)
        shape = (len(sequences), self.n_items + 1)
        history = sparse.csr_array((weight, (row, sequences.items[row, column])), shape=shape)
        history.data[:] = 1.0
        return sparse.csr_array(sparse.diags_array(1 / np.maximum(history.sum(axis=1), 1.0)) @ history)


def _nearest(similarity: sparse.csr_array, first: int, neighbours: int) -> Table:
    """The `neighbours` largest entries of each row, without an item's similarity to itself (column first + row)."""
    dense = similarity.toarray()
    rows = np.arange(len(dense))
    dense[rows, first + rows] = 0.0
    kept = min(neighbours, dense.shape[1] - 1)
    threshold = np.partition(dense, -kept, axis=1)[:, -kept, None]
    return sparse.csr_array(np.where(dense >= threshold, dense, 0.0).astype(np.float32))
