"""Measuring one recommender, clean and under one attack, at full ranking.

The runner's steps and the pytest assertion both stand on these functions; nothing here knows of scenarios or stores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from robust.access import Access, AccessView
from robust.attack import AnyGoal, Attack, EmbeddingAttack, EvasionAttack, Perturbed
from robust.curve import CurvePoint
from robust.errors import NotApplicable, RobustError
from robust.log import Bool, Int32, Int64, InteractionLog, SequenceBatch
from robust.metrics.exposure import rank_shift, target_hit_ratio
from robust.metrics.full_ranking import (
    MISS,
    mask_seen,
    rank_in_lists,
    rank_of_demoted,
    rank_of_promoted,
    rank_of_truth,
    top_k,
)
from robust.metrics.ranking import hit_ratio, mrr, ndcg
from robust.metrics.registry import parse_metric
from robust.recommenders.protocols import Differentiable, Recommender, Scorer, capabilities
from robust.sanity import noisy_gradient_share, zero_gradient_share
from robust.threat import Budget, Knowledge

MAX_CHUNK = 256
CHUNK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Seen:
    """Which items each evaluated user holds in the *clean* train rows (CSR), so that an attack cannot change the mask.

    Attributes:
        offsets: int64 [n + 1]. items: int32, each user's distinct items, sorted.
    """

    offsets: Int64
    items: Int32

    @classmethod
    def of(cls, log: InteractionLog, users: NDArray[np.integer[Any]]) -> Seen:
        """The holdings of these users."""
        pairs = np.unique(log.user.astype(np.int64) * (log.n_items + 1) + log.item)
        owner, item = np.divmod(pairs, log.n_items + 1)
        bounds = np.searchsorted(owner, np.arange(log.n_users + 1))
        starts, stops = bounds[users], bounds[np.asarray(users) + 1]
        offsets = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
        index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], stops - starts)
        return cls(offsets, item[index].astype(np.int32))

    def padded(self, start: int, stop: int) -> Int32:
        """int32 [stop − start, longest], 0-padded."""
        lengths = np.diff(self.offsets[start : stop + 1])
        held = np.zeros((stop - start, max(int(lengths.max(initial=0)), 1)), dtype=np.int32)
        row = np.repeat(np.arange(stop - start), lengths)
        column = np.arange(len(row)) - np.repeat(self.offsets[start:stop] - self.offsets[start], lengths)
        held[row, column] = self.items[self.offsets[start] : self.offsets[stop]]
        return held

    def holds(self, items: tuple[int, ...]) -> Bool:
        """bool [n, len(items)], who holds which of these items."""
        held = np.zeros((len(self.offsets) - 1, len(items)), dtype=bool)
        row = np.repeat(np.arange(len(held)), np.diff(self.offsets))
        for column, item in enumerate(items):
            held[row[self.items == item], column] = True
        return held


@dataclass(frozen=True)
class Ranking:
    """Where everything that matters stands in the lists of n users.

    Attributes:
        ranks: int64 [n], the true next item's rank from 1, or `MISS`. target_ranks: int64 [n, T]. lists: int32 [n, K].
    """

    ranks: Int64
    target_ranks: Int64
    lists: Int32

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a store."""
        return {"ranks": self.ranks, "target_ranks": self.target_ranks, "lists": self.lists}


Scores = Callable[[slice], NDArray[np.float32]]


def chunk_size(n_items: int) -> int:
    """Users per chunk, so that [chunk, n_items + 1] stays within the byte limit; at most 256."""
    return int(np.clip(CHUNK_BYTES // (4 * (n_items + 1)), 1, MAX_CHUNK))


def rank_scores(
    scores: Scores,
    truth: Int32,
    *,
    n_items: int,
    seen: Seen | None,
    targets: tuple[int, ...] = (),
    demoted: bool = False,
    trained: Bool | None = None,
    k: int = 10,
) -> Ranking:
    """Rank the whole catalogue, a chunk of users at a time.

    Args:
        scores: gives float32 [b, n_items + 1] for a slice of users.
        truth: int32 [n], the true next items.
        seen: what to exclude; None keeps seen items.
        targets, demoted: items to watch; ties go to a promoted target and against a demoted one.
        trained: bool [n_items + 1]; a true item outside it is a miss whatever its score.
    """
    ranks, watched, lists = [], [], []
    for start in range(0, len(truth), chunk_size(n_items)):
        rows = slice(start, min(start + chunk_size(n_items), len(truth)))
        block = np.array(scores(rows), dtype=np.float32)
        if seen is not None:
            mask_seen(block, seen.padded(rows.start, rows.stop))
        ranks.append(rank_of_truth(block, truth[rows]))
        wanted = np.broadcast_to(np.asarray(targets, dtype=np.int32), (len(block), len(targets)))
        watched.append((rank_of_demoted if demoted else rank_of_promoted)(block, wanted))
        lists.append(top_k(block, k))
    return _gathered(ranks, watched, lists, truth, len(targets), trained, k)


def rank_lists(
    recommender: Recommender,
    sequences: SequenceBatch,
    truth: Int32,
    *,
    seen: Seen | None,
    targets: tuple[int, ...] = (),
    trained: Bool | None = None,
    k: int = 10,
) -> Ranking:
    """The same for a recommender that only gives lists: what stands below place `k` is a miss."""
    ranks, watched, lists = [], [], []
    for start in range(0, len(truth), MAX_CHUNK):
        rows = slice(start, min(start + MAX_CHUNK, len(truth)))
        if seen is None:
            block = np.asarray(recommender.recommend(sequences[rows], k), dtype=np.int32)
        else:
            held = seen.padded(rows.start, rows.stop)
            longer = min(k + held.shape[1], int(recommender.n_items))
            full = np.asarray(recommender.recommend(sequences[rows], longer), dtype=np.int32)
            block = _without(full, held)[:, :k]
        ranks.append(rank_in_lists(block, truth[rows]))
        watched.append(
            np.stack([rank_in_lists(block, np.full(len(block), t, np.int32)) for t in targets], axis=1)
            if targets
            else np.zeros((len(block), 0), np.int64)
        )
        lists.append(block)
    return _gathered(ranks, watched, lists, truth, len(targets), trained, k)


def _gathered(
    ranks: list[Any], watched: list[Any], lists: list[Any], truth: Int32, targets: int, trained: Bool | None, k: int
) -> Ranking:
    if not ranks:
        return Ranking(np.zeros(0, np.int64), np.zeros((0, targets), np.int64), np.zeros((0, k), np.int32))
    joined = np.concatenate(ranks).astype(np.int64)
    if trained is not None:
        joined = np.where(trained[truth], joined, MISS)
    return Ranking(joined, np.concatenate(watched).astype(np.int64), np.concatenate(lists))


def _without(lists: Int32, held: Int32) -> Int32:
    """Lists [b, K] without each row's held items [b, H], closed up and padded with 0."""
    drop = np.zeros(lists.shape, dtype=bool)
    for column in range(held.shape[1]):
        drop |= (lists == held[:, column : column + 1]) & (lists != 0)
    kept = np.where(drop, 0, lists)
    order = np.argsort(kept == 0, axis=1, kind="stable")
    return np.take_along_axis(kept, order, axis=1)


def rank(
    recommender: Recommender,
    sequences: SequenceBatch,
    truth: Int32,
    *,
    seen: Seen | None,
    targets: tuple[int, ...] = (),
    demoted: bool = False,
    trained: Bool | None = None,
    k: int = 10,
) -> Ranking:
    """Full ranking where the recommender scores, lists otherwise."""
    if "scores" not in capabilities(recommender):
        return rank_lists(recommender, sequences, truth, seen=seen, targets=targets, trained=trained, k=k)
    scorer = cast(Scorer, recommender)
    return rank_scores(
        lambda rows: scorer.score(sequences[rows]),
        truth,
        n_items=int(recommender.n_items),
        seen=seen,
        targets=targets,
        demoted=demoted,
        trained=trained,
        k=k,
    )


def per_user(metric: str, ranking: Ranking, held: Bool | None = None) -> NDArray[np.float64]:
    """float [n], a per-user metric of a ranking: hr@K, ndcg@K, mrr@K, or target_hr@K (NaN for who holds all targets).

    Raises:
        NotApplicable: this metric has no value per user.
    """
    parsed = parse_metric(metric)
    k = parsed.k or ranking.lists.shape[1]
    if parsed.name == "hr":
        return hit_ratio(ranking.ranks, k)
    if parsed.name == "ndcg":
        return ndcg(ranking.ranks, k)
    if parsed.name == "mrr":
        return mrr(ranking.ranks, k)
    if parsed.name == "target_hr":
        none_held = np.zeros(ranking.target_ranks.shape, dtype=bool)
        return target_hit_ratio(ranking.target_ranks, none_held if held is None else held, k)
    raise NotApplicable(f"'{metric}' is a property of all lists together, so it has no interval over users")


def per_user_shift(clean: Ranking, attacked: Ranking, n_items: int) -> NDArray[np.float64]:
    """float [n], log2 of the true item's rank under attack over its clean rank, within ±log2(n_items)."""
    return rank_shift(clean.ranks, attacked.ranks, n_items)


@dataclass(frozen=True)
class Noticed:
    """What an attack at inference took, and what was noticed on the way.

    Attributes:
        queries: lists asked for.
        changed: share of sequences that the attack changed at all.
        zero_gradient, noisy_gradient: shares of a sample of sequences whose gradient is exactly zero, or says little of
            the score; None where no gradient is used (see `robust.sanity`).
        sees: the most of the model that the attack looked at.
        curve: what a search had reached after so many queries, with so many edits; empty for what does not search.
        projected: of an attack on embeddings, what is left of it if every position becomes the nearest real item:
            `items`, the share of positions that become another one, and metrics (`ndcg@10`, with targets
            `target_hr@10`), means over users.
    """

    queries: int
    changed: float
    zero_gradient: float | None = None
    noisy_gradient: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    sees: Access = "none"
    projected: dict[str, float] | None = None


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


def evade(
    attack: EvasionAttack,
    situation: Situation,
    *,
    planned_on: Recommender,
    goal: AnyGoal,
    budget: Budget,
    knowledge: Knowledge,
    rng: np.random.Generator,
) -> tuple[SequenceBatch, Noticed]:
    """Plan an evasion attack on a recommender; the edited sequences can then be ranked by any."""
    access = situation.access(attack, planned_on, budget, knowledge)
    evaded = attack(access, situation.sequences, goal, budget, rng)
    changed = _share_changed(situation.sequences, evaded.sequences)
    gradients = gradient_checks(attack, planned_on, situation.sequences)
    noticed = Noticed(evaded.queries, changed, curve=evaded.curve, sees=access.counter.sees, **gradients)
    return evaded.sequences, noticed


def perturb(
    attack: EmbeddingAttack,
    situation: Situation,
    *,
    planned_on: Recommender,
    measured_on: Recommender,
    goal: AnyGoal,
    budget: Budget,
    knowledge: Knowledge,
    rng: np.random.Generator,
) -> tuple[Ranking, Noticed]:
    """Plan deltas on one recommender, and rank with them added to the embeddings of another (or the same).

    Raises:
        NotApplicable: the recommender that is measured takes no embeddings, or has another dimension.
    """
    if "gradients" not in capabilities(measured_on):
        raise NotApplicable("deltas in the embedding space need a recommender that takes embeddings")
    sequences, model = situation.sequences, cast(Differentiable, measured_on)
    access = situation.access(attack, planned_on, budget, knowledge)
    perturbed = attack(access, sequences, goal, budget, rng)
    if perturbed.deltas.shape[-1] != model.item_embeddings.shape[-1]:
        raise NotApplicable("deltas planned on a model of another dimension cannot be added")
    ranking = rank_scores(
        _perturbed_scores(model, sequences, perturbed),
        situation.truth,
        n_items=int(model.n_items),
        seen=situation.seen,
        targets=goal.items,
        demoted=goal.kind == "demote",
        trained=situation.trained,
        k=situation.k,
    )
    changed = float((perturbed.deltas != 0).flatten(1).any(dim=1).float().mean()) if len(sequences) else 0.0
    gradients = gradient_checks(attack, planned_on, sequences)
    projected = _projected(perturbed, situation, model, goal)
    return ranking, Noticed(perturbed.queries, changed, sees=access.counter.sees, projected=projected, **gradients)


def _projected(perturbed: Perturbed, situation: Situation, model: Differentiable, goal: AnyGoal) -> dict[str, float]:
    """What is left of an attack where every moved position becomes the real item nearest to it; see `Noticed`."""
    sequences = situation.sequences
    items = np.concatenate([_nearest_items(perturbed, model, sequences, start) for start in _starts(len(sequences))])
    demoted = goal.kind == "demote"
    ranking = situation.rank(model, sequences.with_items(items), goal.items, demoted)
    wanted = {"ndcg@10": per_user("ndcg@10", ranking)}
    if goal.items:
        held = Seen.of(situation.log, sequences.users).holds(goal.items)
        wanted["target_hr@10"] = per_user("target_hr@10", ranking, held)
    real = sequences.items != 0
    means = {name: float(of[~np.isnan(of)].mean()) for name, of in wanted.items() if not np.isnan(of).all()}
    return {"items": float((items != sequences.items)[real].mean()) if real.any() else 0.0, **means}


def _starts(rows: int) -> range:
    return range(0, max(rows, 1), MAX_CHUNK)


def _nearest_items(perturbed: Perturbed, model: Differentiable, sequences: SequenceBatch, start: int) -> Int32:
    """int32 [b, L]; what was not moved stays, even where two items share an embedding."""
    import torch

    from robust.perturbation import padding_mask, project_onto_items

    rows = slice(start, start + MAX_CHUNK)
    part, deltas = sequences[rows], perturbed.deltas[rows]
    with torch.no_grad():
        embedded = model.embed(part)
        near = project_onto_items(
            embedded + deltas.to(embedded.device), padding_mask(part).to(embedded.device), model.item_embeddings
        )
    moved = (deltas != 0).any(dim=-1).numpy()
    return np.where(moved, near.cpu().numpy(), part.items).astype(np.int32)


class GradientChecks(TypedDict, total=False):
    """See `Noticed`."""

    zero_gradient: float
    noisy_gradient: float


def gradient_checks(attack: Attack, planned_on: Recommender, sequences: SequenceBatch) -> GradientChecks:
    """How far the gradients that this attack follows can be trusted; nothing where it follows none."""
    if attack.model_access != "gradients":
        return {}
    model = cast(Differentiable, planned_on)
    return {
        "zero_gradient": zero_gradient_share(model, sequences),
        "noisy_gradient": noisy_gradient_share(model, sequences),
    }


def _perturbed_scores(model: Differentiable, sequences: SequenceBatch, perturbed: Perturbed) -> Scores:
    import torch

    def scores(rows: slice) -> NDArray[np.float32]:
        with torch.no_grad():
            block = perturbed.scored_by(model, sequences, rows)
        values: NDArray[np.float32] = block.cpu().numpy()
        if np.isnan(values).any():
            raise RobustError("the perturbed scores hold NaN")
        return values

    return scores


def _share_changed(clean: SequenceBatch, attacked: SequenceBatch) -> float:
    if len(clean) == 0:
        return 0.0
    width = max(clean.width, attacked.width)
    before, after = (np.pad(b.items, ((0, 0), (width - b.width, 0))) for b in (clean, attacked))
    return float((before != after).any(axis=1).mean())
