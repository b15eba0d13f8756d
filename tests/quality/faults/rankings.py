"""Planted faults of ranking functions, each a small change of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.metrics import full_ranking as ours
from robust.metrics.full_ranking import MISS

Array = NDArray[Any]
NAMES = ("rank_of_truth", "rank_of_promoted", "rank_of_demoted", "rank_in_lists", "top_k", "mask_seen")
SOUND: dict[str, Callable[..., Any]] = {name: getattr(ours, name) for name in NAMES}


def truth_wins_ties(scores: Array, truth: Array) -> Array:
    return ours.rank_of_promoted(scores, truth[:, None])[:, 0]


def truth_loses_to_itself(scores: Array, truth: Array) -> Array:
    ranks = ours.rank_of_truth(scores, truth)
    return np.where(ranks == MISS, MISS, ranks + 1)


def truth_shares_ties(scores: Array, truth: Array) -> Array:
    """The mean of the best and the worst place."""
    best, worst = truth_wins_ties(scores, truth), ours.rank_of_truth(scores, truth)
    return (best + worst) // 2


def truth_competes_with_padding(scores: Array, truth: Array) -> Array:
    own = scores[np.arange(len(scores)), truth]
    above = np.count_nonzero(scores >= own[:, None], axis=1)
    return np.where((truth == 0) | np.isneginf(own), MISS, above)


def truth_is_last_where_barred(scores: Array, truth: Array) -> Array:
    return np.asarray(np.minimum(ours.rank_of_truth(scores, truth), scores.shape[1] - 1))


def truth_of_nothing_is_ranked(scores: Array, truth: Array) -> Array:
    return ours.rank_of_truth(scores, np.maximum(truth, 1))


def truth_counts_from_zero(scores: Array, truth: Array) -> Array:
    ranks = ours.rank_of_truth(scores, truth)
    return np.where(ranks == MISS, MISS, ranks - 1)


def truth_by_the_batch(scores: Array, truth: Array) -> Array:
    """Compared with the scores of the first row."""
    own = scores[np.arange(len(scores)), truth]
    above = np.count_nonzero(scores[:1, 1:] >= own[:, None], axis=1)
    return np.where((truth == 0) | np.isneginf(own), MISS, np.maximum(above, 1))


def truth_gains_by_nan(scores: Array, truth: Array) -> Array:
    own = scores[np.arange(len(scores)), truth]
    above = np.count_nonzero(scores[:, 1:] >= own[:, None], axis=1)  # NaN: nothing is above it
    return np.where((truth == 0) | np.isneginf(own), MISS, above)


def truth_masks_in_place(scores: Array, truth: Array) -> Array:
    scores[:, 0] = -np.inf
    return ours.rank_of_truth(scores, truth)


def promoted_loses_ties(scores: Array, targets: Array) -> Array:
    return ours.rank_of_demoted(scores, targets)


def promoted_targets_compete(scores: Array, targets: Array) -> Array:
    """Of two targets that tie, one is put behind the other."""
    ranks = ours.rank_of_promoted(scores, targets)
    twice = (ranks[:, 1:] == ranks[:, :-1]) & (ranks[:, 1:] != MISS)
    return np.concatenate([ranks[:, :1], ranks[:, 1:] + twice], axis=1)


def demoted_wins_ties(scores: Array, targets: Array) -> Array:
    return ours.rank_of_promoted(scores, targets)


def listed_from_zero(lists: Array, truth: Array) -> Array:
    ranks = ours.rank_in_lists(lists, truth)
    return np.where(ranks == MISS, MISS, ranks - 1)


def listed_padding_is_found(lists: Array, truth: Array) -> Array:
    found = lists == truth[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1, MISS)


def listed_misses_stand_last(lists: Array, truth: Array) -> Array:
    return np.asarray(np.minimum(ours.rank_in_lists(lists, truth), lists.shape[1] + 1))


def top_prefers_high_numbers(scores: Array, k: int) -> Array:
    turned = np.concatenate([scores[:, :1], scores[:, :0:-1]], axis=1)
    lists = ours.top_k(turned, k)
    return np.where(lists == 0, 0, scores.shape[1] - lists)


def top_lists_the_barred(scores: Array, k: int) -> Array:
    return ours.top_k(np.where(np.isneginf(scores), -1e30, scores), k)


def top_is_one_short(scores: Array, k: int) -> Array:
    lists = ours.top_k(scores, k)
    lists[:, -1] = 0
    return lists


def top_lists_padding(scores: Array, k: int) -> Array:
    order = np.argsort(-np.nan_to_num(scores, nan=0.0), axis=1, kind="stable")[:, :k]
    return np.pad(order, ((0, 0), (0, k - order.shape[1])))


def seen_spares_the_last(scores: Array, seen: Array) -> None:
    ours.mask_seen(scores, seen[:, :-1])


def seen_is_shifted(scores: Array, seen: Array) -> None:
    ours.mask_seen(scores, np.maximum(seen - 1, 0))


def seen_masks_for_all(scores: Array, seen: Array) -> None:
    scores[:, np.unique(seen)] = -np.inf


FAULTS: list[tuple[str, Callable[..., Any], str]] = [
    ("rank_of_truth", truth_wins_ties, "truth"),
    ("rank_of_truth", truth_loses_to_itself, "truth"),
    ("rank_of_truth", truth_shares_ties, "truth"),
    ("rank_of_truth", truth_competes_with_padding, "truth"),
    ("rank_of_truth", truth_is_last_where_barred, "truth"),
    ("rank_of_truth", truth_of_nothing_is_ranked, "truth"),
    ("rank_of_truth", truth_counts_from_zero, "truncation"),
    ("rank_of_truth", truth_by_the_batch, "row by row"),
    ("rank_of_truth", truth_gains_by_nan, "not a number"),
    ("rank_of_truth", truth_masks_in_place, "truth"),
    ("rank_of_promoted", promoted_loses_ties, "promoted"),
    ("rank_of_promoted", promoted_targets_compete, "promoted"),
    ("rank_of_demoted", demoted_wins_ties, "demoted"),
    ("rank_in_lists", listed_from_zero, "lists"),
    ("rank_in_lists", listed_padding_is_found, "lists"),
    ("rank_in_lists", listed_misses_stand_last, "lists"),
    ("top_k", top_prefers_high_numbers, "top k"),
    ("top_k", top_lists_the_barred, "top k"),
    ("top_k", top_is_one_short, "truncation"),
    ("top_k", top_lists_padding, "top k"),
    ("mask_seen", seen_spares_the_last, "seen"),
    ("mask_seen", seen_is_shifted, "seen"),
    ("mask_seen", seen_masks_for_all, "seen"),
]
