"""Where the true next items and the targets stand in users' lists: full ranking, over the whole catalogue.

What a list is worth once its ranks are known is in `robust.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust.errors import NotApplicable
from robust.log import Bool, Int32, Int64, SequenceBatch
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
from robust.recommenders.protocols import Recommender, Scorer, capabilities
from robust.seen import Seen

MAX_CHUNK = 256
CHUNK_BYTES = 128 * 2**20


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
