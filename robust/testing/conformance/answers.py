"""Checks of what a recommender answers: to the same question the same, whatever stands around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from robust.errors import NotApplicable
from robust.log import SequenceBatch
from robust.recommenders.protocols import Differentiable, Scorer
from robust.testing.conformance.base import Check, require
from robust.testing.conformance.generators import untouched_generators
from robust.testing.conformance.subject import FLIPS, TOLERANCE, Recommended, padded, scale


def _padding(subject: Recommended) -> None:
    for more in {1, 7, max(subject.reads + 7 - subject.sequences.width, 1)}:
        wide = padded(subject.sequences, more)
        subject.same(subject.answer, subject.answers(wide), f"with {more} more columns of padding on the left")
    for length in {max(subject.reads - 1, 1), subject.reads}:  # an off-by-one at the edge shows only there
        full = subject.random(8, length)
        subject.same(
            subject.answers(full), subject.answers(padded(full, 1)), f"with padding before {length} random items"
        )


def _batch_size(subject: Recommended) -> None:
    rows = min(len(subject.sequences), 24)
    alone = np.concatenate([subject.answers(subject.sequences[i : i + 1]) for i in range(rows)])
    subject.same(subject.answer[:rows], alone, "when each sequence is asked about alone")
    many = subject.many()
    for _ in range(2):
        together = subject.answers(subject.sequences[many])
        subject.same(subject.answer[many], together, f"in a batch of {len(many)}")


def _batch_order(subject: Recommended) -> None:
    order = np.random.default_rng(subject.seed).permutation(len(subject.sequences))
    for rows, how in ((order, "in another order of rows"), (slice(None, None, -1), "in the reverse order of rows")):
        subject.same(subject.answer[rows], subject.answers(subject.sequences[rows]), how)


def _user_numbers(subject: Recommended) -> None:
    sequences = subject.sequences
    others = np.random.default_rng(subject.seed).permutation(sequences.users)
    for users, how in (
        (others, "when rows carry other user numbers"),
        (sequences.users + 1_000_000, "when rows carry numbers of users that nobody has seen"),
        (None, "when rows carry no user numbers"),
    ):
        asked = SequenceBatch(sequences.items, users, sequences.timestamps)
        subject.same(subject.answer, subject.answers(asked), how)


def _context(subject: Recommended) -> None:
    context = subject.context
    if context == 0:
        raise NotApplicable("does not say how many items it reads; a review shows it the newest 50")
    longest = subject.random(min(len(subject.sequences), 16), 2 * context + 5)
    short = subject.answers(longest.truncate(context))
    for more in (1, 5, context):
        long = subject.answers(longest.truncate(context + more))
        subject.same(short, long, f"when {more} items older than its context of {context} are added")


def _determinism(subject: Recommended) -> None:
    first = subject.answer
    with untouched_generators("while it answers"):
        for _ in range(2):
            require(np.array_equal(first, subject.answers(subject.sequences)), "Asked twice, it answers differently.")
    few = subject.sequences[:3]
    alone = subject.answers(few)
    for turn in range(12):  # other questions in between, of other shapes
        subject.answers(subject.sequences[turn : turn + 1 + turn % 3])
        subject.model.recommend(subject.sequences[turn:][:2], 1 + turn % subject.k)
        require(np.array_equal(alone, subject.answers(few)), "Asked again after other questions, it answers otherwise.")
    require(np.array_equal(first, subject.answers(subject.sequences)), "Asked after a while, it answers differently.")
    lists = np.asarray(subject.model.recommend(subject.sequences, subject.k))
    again = np.asarray(subject.model.recommend(subject.sequences, subject.k))
    require(np.array_equal(lists, again), "Asked twice, its lists differ.")


def _inputs(subject: Recommended) -> None:
    model, batch = subject.model, _writeable(subject.sequences)
    calls: list[tuple[str, Callable[[], Any]]] = [("recommend", lambda: model.recommend(batch, subject.k))]
    if "scores" in subject.able:
        calls.append(("score", lambda: cast(Scorer, model).score(batch)))
    if "gradients" in subject.able:
        calls.append(("embed", lambda: cast(Differentiable, model).embed(batch)))
        calls.append(("score_embeddings", lambda: _score_embeddings(cast(Differentiable, model), batch)))
    for name, call in calls:
        call()
        same = np.array_equal(batch.items, subject.sequences.items)
        same &= np.array_equal(batch.users, subject.sequences.users)
        if batch.timestamps is not None and subject.sequences.timestamps is not None:
            same &= np.array_equal(batch.timestamps, subject.sequences.timestamps)
        require(same, f"{name} changes the sequences that it is given.")


def _writeable(sequences: SequenceBatch) -> SequenceBatch:
    """A copy whose arrays are its own, so that a write is seen and not refused."""
    copy = SequenceBatch(sequences.items, sequences.users, sequences.timestamps)
    for name in ("items", "users", "timestamps"):
        if getattr(copy, name) is not None:
            object.__setattr__(copy, name, np.array(getattr(copy, name)))
    return copy


def _score_embeddings(model: Differentiable, sequences: SequenceBatch) -> None:
    import torch

    with torch.no_grad():
        embedded = model.embed(sequences)
        before = embedded.clone()
        model.score_embeddings(embedded, sequences)
    require(bool(torch.equal(before, embedded)), "score_embeddings changes the embeddings that it is given.")


def _lists(subject: Recommended) -> None:
    n_items, k = int(subject.model.n_items), subject.k
    for length in {1, k, min(n_items, 5 * k), *([n_items] if n_items <= 1000 else [])}:
        lists = np.asarray(subject.model.recommend(subject.sequences, length))
        require(lists.shape == (len(subject.sequences), length), f"Lists of shape {lists.shape} for k = {length}.")
        require(np.issubdtype(lists.dtype, np.integer), f"Lists of {lists.dtype}.")
        require(lists.min(initial=1) >= 0 and lists.max(initial=1) <= n_items, f"Ids outside 1…{n_items}.")
        filled = lists != 0
        require(not np.any(~filled[:, :-1] & filled[:, 1:]), "Padding (0) before the end of a list.")
        ordered = np.sort(np.where(filled, lists, -np.arange(length)), axis=1)
        require(not np.any(ordered[:, 1:] == ordered[:, :-1]), "An item stands twice in one list.")
        require(filled.any() or not len(lists), "Every list is empty.")


def _prefix(subject: Recommended) -> None:
    n_items, k = int(subject.model.n_items), subject.k
    for longer in {k, min(n_items, 5 * k), *([n_items] if n_items <= 1000 else [])}:
        longest = np.asarray(subject.model.recommend(subject.sequences, longer))
        for length in {1, max(k // 2, 1), k} - {longer}:
            shorter = np.asarray(subject.model.recommend(subject.sequences, length))
            differing = float((shorter != longest[:, :length]).any(axis=1).mean())
            allowed = 0.0 if "scores" in subject.able else FLIPS
            said = f"{differing:.0%} of the top {length} are not the beginning of the top {longer}."
            require(differing <= allowed, said)


def _lists_follow_scores(subject: Recommended) -> None:
    if "scores" not in subject.able:
        raise NotApplicable("has no scores")
    known = np.where(np.isfinite(subject.answer), subject.answer, np.where(subject.answer > 0, 1e30, -1e30))
    size = scale(subject.answer, subject.k)
    for length in {subject.k, min(int(subject.model.n_items), 5 * subject.k)}:
        lists = np.asarray(subject.model.recommend(subject.sequences, length)).astype(np.int64)
        offered = np.minimum((subject.answer > -np.inf).sum(axis=1), length)
        full = ((lists != 0).sum(axis=1) == offered).all()
        require(full, f"Lists for k = {length} hold fewer or more items than have a score above −∞.")
        listed = np.take_along_axis(known, np.maximum(lists - 1, 0), axis=1)
        best = -np.sort(-known, axis=1)[:, :length]
        wrong = (np.abs(listed - best) > TOLERANCE * np.maximum(size, np.abs(best))) & (lists != 0)
        require(not wrong.any(), f"{wrong.any(axis=1).mean():.0%} of the lists are not in the order of the scores.")


def _finite(subject: Recommended) -> None:
    if "scores" not in subject.able:
        raise NotApplicable("has no scores")
    long = subject.random(4, subject.reads)
    again = long.with_items(np.repeat(long.items[:, :1], long.width, axis=1))
    for sequences, what in ((subject.sequences, "histories"), (long, "long sequences"), (again, "one item repeated")):
        scores = np.asarray(cast(Scorer, subject.model).score(sequences))
        expected = (len(sequences), int(subject.model.n_items) + 1)
        require(scores.shape == expected, f"Scores of shape {scores.shape}, expected {expected}.")
        require(scores.dtype == np.float32, f"Scores of {scores.dtype}, expected float32.")
        require(not np.isnan(scores[:, 1:]).any(), f"NaN among the scores of {what}.")
        infinite = np.isposinf(scores[:, 1:]).sum(axis=1)
        require(not (infinite > 1).any(), f"Several scores of +∞, which have no order, for {what}.")


def _empty(subject: Recommended) -> None:
    empty = SequenceBatch(np.zeros((2, 4), np.int32))
    answer = np.asarray(subject.model.recommend(empty, subject.k))
    require(answer.shape == (2, subject.k), f"An empty sequence gets lists of shape {answer.shape}.")
    some = subject.sequences[:8]
    items, times = some.items.copy(), None if some.timestamps is None else some.timestamps.copy()
    items[::2] = 0
    if times is not None:
        times[::2] = 0
    mixed = subject.answers(SequenceBatch(items, some.users, times))
    subject.same(subject.answer[:8][1::2], mixed[1::2], "beside empty sequences")


ANSWERS: tuple[Check[Recommended], ...] = (
    Check("lists", "Lists hold known items, each once, padded at the end only.", _lists),
    Check("prefix", "A shorter list is the beginning of a longer one.", _prefix),
    Check("scores", "Lists are in the order of the scores.", _lists_follow_scores),
    Check("finite", "Scores are numbers, however long a sequence is.", _finite),
    Check("padding", "Padding on the left makes no difference.", _padding),
    Check("batch size", "A row's answer does not depend on the other rows.", _batch_size),
    Check("batch order", "A row's answer does not depend on its place in the batch.", _batch_order),
    Check("user numbers", "A row's answer follows from its sequence, not from the number of its user.", _user_numbers),
    Check("context", "Items older than its context make no difference.", _context),
    Check("determinism", "The same question has the same answer, whatever was asked or drawn before.", _determinism),
    Check("inputs", "It leaves the sequences alone.", _inputs),
    Check("empty sequences", "An empty sequence is answered, and disturbs no other.", _empty),
)
