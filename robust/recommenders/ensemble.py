"""Several recommenders that rank as one: the mean of their scores, or of their ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, NotApplicable
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.protocols import (
    Capability,
    Differentiable,
    Fittable,
    Float32,
    Persistent,
    Recommender,
    Resumable,
    Scorer,
    capabilities,
)

if TYPE_CHECKING:
    import torch

Combine = Literal["scores", "ranks"]
"""What is averaged. Scores of members that were trained alike have one scale; ranks need none."""


class Ensemble:
    """It offers what all of its members offer. Members that only give lists are combined by ranks.

    The embeddings of the members stand side by side, so that one delta [B, L, D₁ + D₂ + …] reaches all of them: its
    size is that of the joint vector.
    """

    def __init__(self, members: Sequence[Recommender], combine: Combine = "scores") -> None:
        """Of these members.

        Raises:
            InputError: there are none, or they rank different catalogues.
        """
        if not members or len({int(member.n_items) for member in members}) > 1:
            sizes = ", ".join(str(member.n_items) for member in members) or "none"
            raise InputError(f"An ensemble needs members that rank the same items; got members of {sizes} items.")
        self.members, self.combine = tuple(members), combine
        self.n_items = int(members[0].n_items)
        shared = frozenset.intersection(*(capabilities(member) for member in members))
        self.capabilities: frozenset[Capability] = shared & {"lists", "scores", "fit", "resume", "gradients"}

    @classmethod
    def of(cls, members: Sequence[Recommender], combine: Combine = "scores") -> Ensemble:
        """An ensemble of these, which can be written down if all of its members can."""
        stored = all(isinstance(member, Persistent) for member in members)
        return (StoredEnsemble if stored else Ensemble)(members, combine)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.members)} × {self.members[0]!r}, {self.combine})"

    @property
    def context(self) -> int:
        """How many of the newest items the farthest-reading member reads; 0 where one does not say."""
        reads = [int(getattr(member, "context", 0) or 0) for member in self.members]
        return max(reads) if all(reads) else 0

    # --- fitting

    def fit(self, log: InteractionLog, *, seed: int) -> Ensemble:
        """Each member fitted from scratch to the whole log, with a seed of its own."""
        return self.of(fitted(self.members, [log] * len(self.members), seed=seed), self.combine)

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Ensemble:
        """Each member trained further on the whole log, with a seed of its own."""
        return self.of(fitted(self.members, [log] * len(self.members), seed=seed, share=share), self.combine)

    # --- ranking

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], the members' mean score, or minus their mean rank."""
        scores = (np.asarray(cast(Scorer, member).score(sequences)) for member in self.members)
        return _mean(scores) if self.combine == "scores" else _ranked(map(_by_rank, scores))

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], best first; ties by the lower id."""
        if "scores" in self.capabilities:
            return top_k(self.score(sequences), k)
        # whole lists, so that a list of k items is the beginning of one of k + 1
        lists = (np.asarray(member.recommend(sequences, self.n_items)) for member in self.members)
        return top_k(_ranked(_by_place(part, self.n_items) for part in lists), k)

    # --- gradients

    @property
    def item_embeddings(self) -> torch.Tensor:
        """float32 [n_items + 1, ΣD], the members' tables side by side."""
        import torch

        return torch.cat([member.item_embeddings for member in self._differentiable()], dim=1)

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """float32 [B, L, ΣD], the members' embeddings side by side."""
        import torch

        return torch.cat([member.embed(sequences) for member in self._differentiable()], dim=2)

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """float32 [B, n_items + 1]; ranks have the gradient of the mean score (straight-through)."""
        import torch

        members = self._differentiable()
        parts = torch.split(embeddings, [member.item_embeddings.shape[1] for member in members], dim=2)
        scores = [member.score_embeddings(part, sequences) for member, part in zip(members, parts, strict=True)]
        mean = sum(scores[1:], scores[0]) / len(scores)
        if self.combine == "scores":
            return mean
        ranks = _ranked(_by_rank(part.detach().cpu().numpy()) for part in scores)
        through = (mean - mean.detach()).nan_to_num(0.0)  # −∞ − (−∞) is not a number
        return torch.from_numpy(ranks).to(mean.device) + through

    def with_item_embeddings(self, table: torch.Tensor) -> Ensemble:
        """This ensemble with another table [n_items + 1, ΣD], each member with its part of the columns.

        Raises:
            NotApplicable: a member's table cannot be replaced.
        """
        import torch

        from robust.recommenders.item_table import with_item_embeddings

        members = self._differentiable()
        parts = torch.split(table, [member.item_embeddings.shape[1] for member in members], dim=1)
        moved = [with_item_embeddings(member, part) for member, part in zip(members, parts, strict=True)]
        return self.of(moved, self.combine)

    def _differentiable(self) -> tuple[Differentiable, ...]:
        return cast("tuple[Differentiable, ...]", self.members)


class StoredEnsemble(Ensemble):
    """An ensemble whose members can all be written as arrays and JSON, so that a store can keep it."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The members' arrays, each name preceded by the member's number; their settings."""
        arrays: dict[str, NDArray[Any]] = {}
        settings: list[dict[str, Any]] = []
        for number, member in enumerate(cast("tuple[Persistent, ...]", self.members)):
            own, said = member.state()
            arrays |= {f"{number}.{name}": array for name, array in own.items()}
            settings.append(said)
        return arrays, {"members": settings, "combine": self.combine, "kind": _registered(type(self.members[0]))}

    @classmethod
    def from_state(
        cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any], kind: type[Persistent] | None = None
    ) -> Self:
        """The inverse of `state`, to the bit.

        Args:
            kind: what the members are; None looks up their registered name.

        Raises:
            InputError: they are not registered, and no kind is given.
        """
        if kind is None:
            kind = _by_name(settings["kind"])
        members = []
        for number, said in enumerate(settings["members"]):
            start = f"{number}."
            own = {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}
            members.append(cast(Recommender, kind.from_state(own, said)))
        return cls(members, settings["combine"])


def fitted(
    recommenders: Sequence[Recommender], logs: Sequence[InteractionLog], *, seed: int, share: float | None = None
) -> list[Recommender]:
    """Each of the recommenders fitted to its log (or, with a share, trained further), with a seed of its own.

    Raises:
        NotApplicable: one cannot be fitted, or not trained further.
    """
    wanted: Capability = "fit" if share is None else "resume"
    if not all(wanted in capabilities(recommender) for recommender in recommenders):
        how = "fitted" if share is None else "trained further"
        raise NotApplicable(f"an ensemble needs members that can be {how}")
    seeds = [int(np.random.default_rng([seed, number, 0xE5]).integers(2**31)) for number in range(len(logs))]
    pairs = zip(recommenders, logs, seeds, strict=True)
    if share is None:
        return [cast(Fittable, one).fit(log, seed=own) for one, log, own in pairs]
    return [cast(Resumable, one).resume(log, seed=own, share=share) for one, log, own in pairs]


def members_of(recommender: Recommender, count: int) -> tuple[Recommender, ...]:
    """The members of an ensemble, to go on with; of anything else itself, `count` times.

    Raises:
        InputError: an ensemble of another size.
    """
    if not isinstance(recommender, Ensemble):
        return (recommender,) * count
    if len(recommender.members) != count:
        raise InputError(f"An ensemble of {len(recommender.members)} members cannot go on as one of {count}.")
    return recommender.members


def _mean(parts: Iterable[Float32]) -> Float32:
    """float32 [B, n_items + 1], one part after the other: all of them at once would be held otherwise."""
    count, total = 0, np.zeros((), np.float32)
    for part in parts:
        count, total = count + 1, total + part
    return np.asarray(total / np.float32(count), dtype=np.float32)


def _ranked(parts: Iterable[Float32]) -> Float32:
    """float32 [B, n_items + 1], the mean of minus the ranks; −∞ for what no member ranks."""
    mean = _mean(parts)
    mean[mean <= 0.5 - mean.shape[1]] = -np.inf
    mean[:, 0] = -np.inf
    return mean


def _by_rank(scores: Float32) -> Float32:
    """float32 [B, n_items + 1], minus the rank by these scores, from 1; ties by the lower id; see `_by_place`."""
    order = np.argsort(-scores[:, 1:], axis=1, kind="stable") + 1
    return _by_place(np.where(np.isneginf(np.take_along_axis(scores, order, axis=1)), 0, order), scores.shape[1] - 1)


def _by_place(lists: NDArray[np.integer[Any]], n_items: int) -> Float32:
    """float32 [B, n_items + 1], minus the place in a list [B, k], from 1; what is not in it comes after all items."""
    minus = np.full((len(lists), n_items + 1), -(n_items + 1.0), np.float32)
    places = np.broadcast_to(-np.arange(1, lists.shape[1] + 1, dtype=np.float32), lists.shape)
    np.put_along_axis(minus, lists.astype(np.int64), places, axis=1)
    return minus


def _registered(kind: type) -> str | None:
    """The name under which a recommender is registered, if it is."""
    from robust import plugins

    return next((name for name, known in plugins.load_all("recommenders").items() if known is kind), None)


def _by_name(name: str | None) -> type[Persistent]:
    from robust import plugins

    if name is None:
        raise InputError("The members of this ensemble are of a kind that is not registered: say which it is.")
    return cast("type[Persistent]", plugins.load("recommenders", name))
