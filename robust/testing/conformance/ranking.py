"""What every ranking function promises: ties go against the defender, and what cannot be listed is a miss.

Judged against a brute force that reads like the definitions: for each row, sort the items, and count by hand. The rows
are made to hold ties everywhere, −∞, an item that is 0 (none), and something in column 0, which nobody may read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import NotApplicable
from robust.metrics.full_ranking import MISS
from robust.testing.conformance.base import Check, Outcome, require, run_suite

Rank = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Ranked:
    """Ranking functions under test; None where there is none to test.

    Attributes:
        rank_of_truth: (scores [B, n_items + 1], items [B]) → ranks [B], from 1.
        rank_of_promoted, rank_of_demoted: (scores [B, n_items + 1], items [B, T]) → ranks [B, T].
        rank_in_lists: (lists [B, K], items [B]) → places [B]. top_k: (scores, K) → lists [B, K].
        mask_seen: (scores, seen items [B, L], 0-padded) → None, the scores changed in place. seed: of the rows.
    """

    rank_of_truth: Rank | None = None
    rank_of_promoted: Rank | None = None
    rank_of_demoted: Rank | None = None
    rank_in_lists: Rank | None = None
    top_k: Callable[[NDArray[Any], int], NDArray[Any]] | None = None
    mask_seen: Callable[[NDArray[Any], NDArray[Any]], None] | None = None
    seed: int = 0

    def scores(self, kind: str, rows: int = 60, n_items: int = 9) -> NDArray[np.float32]:
        """float32 [rows, n_items + 1]: `distinct`, `tied` (three values only) or `barred` (a third at −∞) scores."""
        rng = np.random.default_rng([self.seed, len(kind)])
        values = rng.permuted(np.tile(np.arange(n_items + 1.0), (rows, 1)), axis=1)
        if kind != "distinct":
            values = rng.integers(0, 3, size=values.shape).astype(float)
        if kind == "barred":
            values[rng.random(values.shape) < 1 / 3] = -np.inf
            values[0, 1:], values[1, 1:] = -np.inf, 0.0  # nothing can be listed; everything ties
        values[:, 0] = rng.choice([-np.inf, 99.0, 0.0, np.nan], size=rows)
        return values.astype(np.float32)

    def items(self, shape: tuple[int, ...], n_items: int = 9) -> NDArray[np.int32]:
        """Items of this shape, one in ten of them 0: none."""
        return np.random.default_rng([self.seed, 5]).integers(0, n_items + 1, size=shape).astype(np.int32)


KINDS = ("distinct", "tied", "barred")


def brute_rank(scores: list[float], item: int, *, wins_ties: bool) -> int:
    """1 + the number of other items that stand before this one; `MISS` for no item, −∞ or NaN."""
    own = scores[item]
    if item == 0 or own == -np.inf or np.isnan(own):
        return MISS
    others = [score for other, score in enumerate(scores) if other not in (0, item)]
    return 1 + sum(score > own or (score == own and not wins_ties) for score in others)


def _given(function: Any) -> Any:
    if function is None:
        raise NotApplicable("no such function was given")
    return function


def _compare(function: Rank, scores: NDArray[Any], items: NDArray[Any], *, wins_ties: bool, what: str) -> None:
    before = scores.copy(), items.copy()
    found = np.asarray(function(scores, items))
    require(found.shape == items.shape, f"Ranks of shape {found.shape} for items {items.shape}.")
    require(np.issubdtype(found.dtype, np.integer), f"Ranks of {found.dtype}.")
    same = np.array_equal(before[0], scores, equal_nan=True) and np.array_equal(before[1], items)
    require(same, "It changes what it is given.")
    for row, wanted in enumerate(items.reshape(len(items), -1).tolist()):
        for column, item in enumerate(wanted):
            expected = brute_rank(scores[row].tolist(), item, wins_ties=wins_ties)
            rank = int(found.reshape(len(items), -1)[row, column])
            said = f"Rank {rank}, by definition {expected} ({what} scores {scores[row, 1:].tolist()}, item {item})."
            require(rank == expected, said)


def _truth(subject: Ranked) -> None:
    for kind in KINDS:
        scores = subject.scores(kind)
        _compare(_given(subject.rank_of_truth), scores, subject.items((len(scores),)), wins_ties=False, what=kind)


def _promoted(subject: Ranked) -> None:
    for kind in KINDS:
        scores = subject.scores(kind)
        _compare(_given(subject.rank_of_promoted), scores, subject.items((len(scores), 3)), wins_ties=True, what=kind)


def _demoted(subject: Ranked) -> None:
    for kind in KINDS:
        scores = subject.scores(kind)
        _compare(_given(subject.rank_of_demoted), scores, subject.items((len(scores), 3)), wins_ties=False, what=kind)


def _not_a_number(subject: Ranked) -> None:
    """A score of NaN is refused with an error, or its item is a miss; it never helps an item."""
    scores = subject.scores("distinct", rows=20)
    scores[:, 0] = -np.inf
    scores[:, 4] = np.nan
    tried = 0
    for function, shape in (
        (subject.rank_of_truth, (20,)),
        (subject.rank_of_promoted, (20, 1)),
        (subject.rank_of_demoted, (20, 1)),
    ):
        if function is None:
            continue
        tried += 1
        for item in (4, 5):
            try:
                ranks = np.asarray(function(scores, np.full(shape, item, np.int32))).ravel()
            except Exception:  # noqa: BLE001 - refusing is what it may do, and by any error
                continue
            barred = np.where(np.isnan(scores), -np.inf, scores).tolist()
            known = [brute_rank(row, item, wins_ties=True) for row in barred]
            said = f"Beside a score of NaN item {item} has ranks {ranks.tolist()[:5]}…, by definition {known[:5]}…"
            require(np.array_equal(ranks, known), said)
    _given(tried or None)


def _top_k(subject: Ranked) -> None:
    top_k = _given(subject.top_k)
    for kind in KINDS:
        scores = subject.scores(kind)
        for k in (1, 3, 9, 12):
            lists = np.asarray(top_k(scores.copy(), k))
            require(lists.shape == (len(scores), k), f"Lists of shape {lists.shape} for K = {k}.")
            for row, found in zip(scores.tolist(), lists.tolist(), strict=True):
                listed = [item for item in range(1, len(row)) if row[item] > -np.inf]
                expected = sorted(listed, key=lambda item: (-row[item], item))[:k]
                expected += [0] * (k - len(expected))
                require(found == expected, f"Top {k} of {kind} scores {row[1:]}: {found}, by definition {expected}.")


def _agreement(subject: Ranked) -> None:
    """Where nothing ties, an item is in the top K exactly if its rank is at most K."""
    top_k, scores = _given(subject.top_k), subject.scores("distinct")
    items = np.maximum(subject.items((len(scores),)), 1)
    for k in (1, 3, 9):
        listed = (np.asarray(top_k(scores.copy(), k)) == items[:, None]).any(axis=1)
        hits = np.asarray(_given(subject.rank_of_truth)(scores, items)) <= k
        require(np.array_equal(listed, hits), f"Of the items in the top {k}, others have a rank of at most {k}.")


def _in_lists(subject: Ranked) -> None:
    rank_in_lists, rng = _given(subject.rank_in_lists), np.random.default_rng(subject.seed)
    lists = np.argsort(rng.random((60, 9)), axis=1)[:, :5].astype(np.int32) + 1
    lists[np.arange(5) >= rng.integers(0, 6, size=60)[:, None]] = 0  # short lists, empty ones among them
    items = subject.items((60,))
    found = np.asarray(rank_in_lists(lists, items))
    for row, item, place in zip(lists.tolist(), items.tolist(), found.tolist(), strict=True):
        expected = row.index(item) + 1 if item and item in row else MISS
        require(place == expected, f"Item {item} in the list {row}: place {place}, by definition {expected}.")


def _seen(subject: Ranked) -> None:
    mask_seen, scores = _given(subject.mask_seen), subject.scores("tied")
    seen = subject.items((len(scores), 4))
    masked = scores.copy()
    mask_seen(masked, seen)
    for row, (before, after) in enumerate(zip(scores.tolist(), masked.tolist(), strict=True)):
        expected = [-np.inf if item in seen[row] else before[item] for item in range(1, len(before))]
        said = f"Scores {before[1:]} without the seen items {seen[row].tolist()} are {after[1:]}."
        require(after[1:] == expected, said)


def _row_by_row(subject: Ranked) -> None:
    scores = subject.scores("tied")
    tried = 0
    for function, shape in (
        (subject.rank_of_truth, (len(scores),)),
        (subject.rank_of_promoted, (len(scores), 2)),
        (subject.rank_of_demoted, (len(scores), 2)),
    ):
        if function is None:
            continue
        tried += 1
        items = subject.items(shape)
        together = np.asarray(function(scores, items))
        alone = [np.asarray(function(scores[i : i + 1], items[i : i + 1])) for i in range(len(scores))]
        require(np.array_equal(together, np.concatenate(alone)), "A row's ranks depend on the other rows.")
    _given(tried or None)


CHECKS: tuple[Check[Ranked], ...] = (
    Check("truth", "The true next item loses ties, and is a miss where it cannot be listed.", _truth),
    Check("promoted", "A promoted target wins ties, and is a miss where it cannot be listed.", _promoted),
    Check("demoted", "A demoted target loses ties, and is a miss where it cannot be listed.", _demoted),
    Check("not a number", "NaN is refused, or a miss.", _not_a_number),
    Check("top k", "Lists are the best items, equals by the lower number, and end with 0.", _top_k),
    Check("truncation", "A list of K holds what has a rank of at most K.", _agreement),
    Check("lists", "A place in a list counts from 1, and what is not listed is a miss.", _in_lists),
    Check("seen", "Seen items, and no others, cannot be listed.", _seen),
    Check("row by row", "A row's ranks do not depend on the other rows.", _row_by_row),
)


def ranking_checks() -> list[Check[Ranked]]:
    """All checks of ranking functions, to parametrise a test with; each takes `Ranked(…)`."""
    return list(CHECKS)


def check_ranking(*, seed: int = 0, raises: bool = True, **functions: Any) -> list[Outcome]:
    """Check ranking functions against brute force; those that are not given are not applicable.

    Args:
        functions: by name, as `Ranked` lists them: `rank_of_truth=…, rank_of_promoted=…, …`.

    Raises:
        NonConformity: with `raises`, if a promise is broken, naming all of them.
        TypeError: a name that `Ranked` does not have.
    """
    return run_suite(CHECKS, Ranked(seed=seed, **functions), "The ranking", raises=raises)
