"""What every recommender promises to a harness that will measure it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, ModelFault, NotApplicable
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Differentiable, Fittable, Persistent, Recommender, Scorer, capabilities
from robust.recommenders.resolve import is_fitted
from robust.testing.conformance.base import Check, Outcome, require, run_suite

TOLERANCE = 1e-4
"""Scores may differ by so much of the largest score's size where the same sum is taken in another order."""
FLIPS = 0.02
"""Of a recommender without scores, so many lists may differ: near-ties fall either way with the order of a sum."""


@dataclass(frozen=True)
class Recommended:
    """A recommender under test.

    Attributes:
        model: fitted, adapted. log: a log of its catalogue, or None. sequences: what it is asked about. seed: of draws.
    """

    model: Recommender
    sequences: SequenceBatch
    log: InteractionLog | None = None
    seed: int = 0
    unfitted: Any = field(default=None, repr=False)

    @property
    def k(self) -> int:
        """How long the lists are."""
        return min(10, int(self.model.n_items))

    @property
    def able(self) -> frozenset[str]:
        """What it offers."""
        return frozenset(capabilities(self.model))

    @cached_property
    def answer(self) -> NDArray[Any]:
        """Its answer to `sequences`."""
        return self.answers(self.sequences)

    def answers(self, sequences: SequenceBatch) -> NDArray[Any]:
        """Scores [B, n_items] where it scores, else lists [B, k]."""
        if "scores" in self.able:
            return np.asarray(cast(Scorer, self.model).score(sequences))[:, 1:]
        return np.asarray(self.model.recommend(sequences, self.k))

    def same(self, ours: NDArray[Any], theirs: NDArray[Any], when: str) -> None:
        """Answers agree, within rounding."""
        require(ours.shape == theirs.shape, f"Shapes {ours.shape} and {theirs.shape} {when}.")
        if "scores" in self.able:
            finite = np.isfinite(ours)
            require(np.array_equal(finite, np.isfinite(theirs)), f"Infinite scores differ {when}.")
            size = float(np.abs(ours[finite]).max(initial=1e-6))
            gap = float(np.abs(ours[finite] - theirs[finite]).max(initial=0.0))
            require(gap <= TOLERANCE * size, f"Scores differ by {gap:.3g} (largest score {size:.3g}) {when}.")
        else:
            differing = float((ours != theirs).any(axis=1).mean()) if len(ours) else 0.0
            require(differing <= FLIPS, f"{differing:.0%} of the lists differ {when}.")


def _padding(subject: Recommended) -> None:
    for more in (1, 7):
        wide = SequenceBatch(np.pad(subject.sequences.items, ((0, 0), (more, 0))), subject.sequences.users)
        subject.same(subject.answer, subject.answers(wide), f"with {more} more columns of padding on the left")


def _batch_size(subject: Recommended) -> None:
    rows = min(len(subject.sequences), 24)
    alone = np.concatenate([subject.answers(subject.sequences[i : i + 1]) for i in range(rows)])
    subject.same(subject.answer[:rows], alone, "when each sequence is asked about alone")


def _batch_order(subject: Recommended) -> None:
    order = np.random.default_rng(subject.seed).permutation(len(subject.sequences))
    subject.same(subject.answer[order], subject.answers(subject.sequences[order]), "in another order of rows")


def _user_numbers(subject: Recommended) -> None:
    others = np.random.default_rng(subject.seed).permutation(subject.sequences.users)
    swapped = SequenceBatch(subject.sequences.items, others, subject.sequences.timestamps)
    subject.same(subject.answer, subject.answers(swapped), "when rows carry other user numbers")
    nobody = SequenceBatch(subject.sequences.items)
    subject.same(subject.answer, subject.answers(nobody), "when rows carry no user numbers")


def _truncation(subject: Recommended) -> None:
    context = int(getattr(subject.model, "context", 0) or 0)
    if context == 0:
        raise NotApplicable("does not say how many items it reads")
    rng = np.random.default_rng(subject.seed)
    full = rng.integers(1, subject.model.n_items + 1, size=(min(len(subject.sequences), 16), context))
    older = rng.integers(1, subject.model.n_items + 1, size=(len(full), 5))
    longer = np.concatenate([older, full], axis=1)
    short, long = subject.answers(SequenceBatch(full)), subject.answers(SequenceBatch(longer))
    subject.same(short, long, f"when items older than its context of {context} are added")


def _determinism(subject: Recommended) -> None:
    first = subject.answers(subject.sequences)
    subject.answers(subject.sequences[:1])  # whoever draws from a global generator has moved it on by now
    require(np.array_equal(first, subject.answers(subject.sequences)), "Asked twice, it answers differently.")


def _inputs(subject: Recommended) -> None:
    items = subject.sequences.items.copy()  # its own, so that a write is seen and not refused
    items.flags.writeable = True
    batch = SequenceBatch(items, subject.sequences.users)
    object.__setattr__(batch, "items", items)
    subject.answers(batch)
    require(np.array_equal(items, subject.sequences.items), "The sequences that it was asked about have changed.")


def _lists(subject: Recommended) -> None:
    n_items, k = int(subject.model.n_items), subject.k
    for length in {1, k, min(n_items, 3 * k)}:
        lists = np.asarray(subject.model.recommend(subject.sequences, length))
        require(lists.shape == (len(subject.sequences), length), f"Lists of shape {lists.shape} for k = {length}.")
        require(np.issubdtype(lists.dtype, np.integer), f"Lists of {lists.dtype}.")
        require(lists.min(initial=1) >= 0 and lists.max(initial=1) <= n_items, f"Ids outside 1…{n_items}.")
        filled = lists != 0
        require(not np.any(~filled[:, :-1] & filled[:, 1:]), "Padding (0) before the end of a list.")
        ordered = np.sort(np.where(filled, lists, -np.arange(length)), axis=1)
        require(not np.any(ordered[:, 1:] == ordered[:, :-1]), "An item stands twice in one list.")


def _prefix(subject: Recommended) -> None:
    longest = np.asarray(subject.model.recommend(subject.sequences, subject.k))
    for k in {1, max(subject.k // 2, 1)}:
        shorter = np.asarray(subject.model.recommend(subject.sequences, k))
        differing = float((shorter != longest[:, :k]).any(axis=1).mean())
        allowed = 0.0 if "scores" in subject.able else FLIPS
        require(differing <= allowed, f"{differing:.0%} of the top {k} are not the beginning of the top {subject.k}.")


def _lists_follow_scores(subject: Recommended) -> None:
    if "scores" not in subject.able:
        raise NotApplicable("has no scores")
    lists = np.asarray(subject.model.recommend(subject.sequences, subject.k)).astype(np.int64)
    scores = np.where(np.isfinite(subject.answer), subject.answer, -1e30)
    listed = np.take_along_axis(scores, np.maximum(lists - 1, 0), axis=1)
    best = -np.sort(-scores, axis=1)[:, : subject.k]
    size = float(np.abs(subject.answer[np.isfinite(subject.answer)]).max(initial=1e-6))
    wrong = (np.abs(listed - best) > TOLERANCE * size) & (lists != 0)
    require(not wrong.any(), f"{wrong.any(axis=1).mean():.0%} of the lists are not in the order of the scores.")


def _reads_sequences(subject: Recommended) -> None:
    empty = SequenceBatch(np.zeros((2, 4), np.int32))
    answer = np.asarray(subject.model.recommend(empty, subject.k))
    require(answer.shape == (2, subject.k), f"An empty sequence gets lists of shape {answer.shape}.")


def _embeddings(subject: Recommended) -> None:
    if "gradients" not in subject.able:
        raise NotApplicable("takes no embeddings")
    import torch

    model, sequences = cast(Differentiable, subject.model), subject.sequences[:16]
    with torch.no_grad():
        embedded = model.embed(sequences)
        padded = torch.from_numpy(sequences.items == 0).to(embedded.device)
        require(not bool((embedded[padded] != 0).any()), "Padding has an embedding other than zero.")
        scores = model.score_embeddings(embedded, sequences).cpu().numpy()[:, 1:]
        subject.same(subject.answers(sequences), scores, "from embeddings that nobody changed")
        junk = embedded + padded.unsqueeze(-1) * 1e3
        subject.same(scores, model.score_embeddings(junk, sequences).cpu().numpy()[:, 1:], "with noise at the padding")


def _gradient(subject: Recommended) -> None:
    if "gradients" not in subject.able:
        raise NotApplicable("takes no embeddings")
    import torch

    model, sequences = cast(Differentiable, subject.model), subject.sequences[:8]
    embedded = model.embed(sequences).detach()
    generator = torch.Generator().manual_seed(subject.seed)
    mask = torch.from_numpy(sequences.items != 0).unsqueeze(-1)
    toward = (torch.randn(embedded.shape, generator=generator) * mask).to(embedded.device)
    toward /= toward.norm()
    at = embedded.clone().requires_grad_(True)

    def value(point: torch.Tensor) -> torch.Tensor:
        scores = model.score_embeddings(point, sequences)[:, 1:].double()
        return torch.log_softmax(scores, dim=1)[:, 0].sum()

    (slope,) = torch.autograd.grad(value(at), at)
    promised = float((slope * toward).sum())
    step = 1e-2 * float(embedded.norm())
    with torch.no_grad():
        found = float(value(embedded + step * toward) - value(embedded - step * toward)) / (2 * step)
    close = abs(found - promised) <= 0.1 * max(abs(found), abs(promised)) + 1e-3
    require(close, f"Along a random direction the gradient says {promised:.4g}, finite differences {found:.4g}.")


def _future(subject: Recommended) -> None:
    if "loss" not in subject.able:
        raise NotApplicable("has no loss over positions")
    import torch

    rng, model = np.random.default_rng(subject.seed), cast(Any, subject.model)
    context = min(int(getattr(model, "context", 0) or 8), 8)
    sequences = SequenceBatch(rng.integers(1, model.n_items + 1, size=(4, context)))
    for column in range(context - 1):
        targets = np.zeros(sequences.items.shape, np.int32)
        targets[:, column] = rng.integers(1, model.n_items + 1, size=4)
        embedded = model.embed(sequences).detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(model.loss(sequences, targets, embedded), embedded)
        later = float(slope[:, column + 1 :].abs().max())
        require(later == 0, f"The loss at position {column + 1} depends on later items (slope {later:.3g}).")


def _fit(subject: Recommended) -> None:
    if subject.unfitted is None or subject.log is None:
        raise NotApplicable("no unfitted recommender and log to fit it to were given")
    log = subject.log
    before = log.user.tobytes(), log.item.tobytes(), log.timestamp.tobytes()
    blank = cast(Fittable, adapt(subject.unfitted))
    first, second = (Recommended(adapt(blank.fit(log, seed=5)), subject.sequences) for _ in range(2))
    require(np.array_equal(first.answer, second.answer), "Two fits with one seed answer differently.")
    after = log.user.tobytes(), log.item.tobytes(), log.timestamp.tobytes()
    require(before == after, "The log has changed.")
    require(np.array_equal(subject.answers(subject.sequences), subject.answer), "A fit changed a fitted model.")


def _persistence(subject: Recommended) -> None:
    if not isinstance(subject.model, Persistent):
        raise NotApplicable("cannot be written down")
    arrays, settings = subject.model.state()
    again = Recommended(type(subject.model).from_state(arrays, settings), subject.sequences)
    require(np.array_equal(again.answer, subject.answer), "Written down and read back, it answers differently.")


def _relabelling(subject: Recommended) -> None:
    arrays, settings = subject.model.state() if isinstance(subject.model, Persistent) else ({}, {})
    if not {"table", "popularity"} <= arrays.keys():
        raise NotApplicable("has no table of items to relabel")
    n_items = int(subject.model.n_items)
    renamed = np.concatenate([[0], np.random.default_rng(subject.seed).permutation(n_items) + 1])
    moved = {name: array.copy() for name, array in arrays.items()}
    for name in ("table", "popularity"):
        moved[name][renamed] = arrays[name]
    model = cast(Any, type(subject.model)).from_state(moved, settings)
    items: Int32 = renamed[subject.sequences.items].astype(np.int32)
    there = np.asarray(model.score(SequenceBatch(items)))[:, renamed[1:]]
    subject.same(subject.answer, there, "when items carry other numbers")


CHECKS: tuple[Check[Recommended], ...] = (
    Check("lists", "Lists hold known items, each once, padded at the end only.", _lists),
    Check("prefix", "A shorter list is the beginning of a longer one.", _prefix),
    Check("scores", "Lists are in the order of the scores.", _lists_follow_scores),
    Check("padding", "Padding on the left makes no difference.", _padding),
    Check("batch size", "A row's answer does not depend on the other rows.", _batch_size),
    Check("batch order", "A row's answer does not depend on its place in the batch.", _batch_order),
    Check("user numbers", "A row's answer follows from its sequence, not from the number of its user.", _user_numbers),
    Check("context", "Items older than its context make no difference.", _truncation),
    Check("determinism", "The same question has the same answer, whatever others draw.", _determinism),
    Check("inputs", "It leaves the sequences alone.", _inputs),
    Check("empty sequences", "An empty sequence is answered.", _reads_sequences),
    Check("embeddings", "Scores from unchanged embeddings are its scores, and padding is not read.", _embeddings),
    Check("gradient", "Its gradient is the slope of its scores.", _gradient),
    Check("future", "The loss at a position does not depend on later items.", _future),
    Check("fit", "A fit follows from log and seed, and leaves the log and other models alone.", _fit),
    Check("persistence", "Written down and read back, it is the same.", _persistence),
    Check("relabelling", "Which number an item carries makes no difference.", _relabelling),
)


def recommender_checks() -> list[Check[Recommended]]:
    """All checks of a recommender, to parametrise a test with; each takes what `recommended` returns."""
    return list(CHECKS)


def recommended(recommender: Any, log: InteractionLog | None = None, *, seed: int = 0) -> Recommended:
    """A recommender ready to be checked; one that is not fitted is fitted to `log` first.

    Raises:
        InputError: it is not fitted and there is no log; or it ranks another number of items than the log has.
    """
    model, unfitted = adapt(recommender), None
    if "fit" in capabilities(model):
        unfitted = recommender
    if not is_fitted(recommender):
        if log is None:
            raise InputError("The recommender is not fitted: give a log to fit it to.")
        model = adapt(cast(Fittable, model).fit(log, seed=seed))
    if log is not None and int(model.n_items) != log.n_items:
        raise InputError(f"The recommender ranks {model.n_items} items, the log has {log.n_items}.")
    return Recommended(model, _questions(model, log, seed), log, seed, unfitted)


def _questions(model: Recommender, log: InteractionLog | None, seed: int) -> SequenceBatch:
    """Up to 64 histories of the log, or as many random sequences of 1 to 12 items."""
    rng = np.random.default_rng([seed, 0xC0])
    if log is not None:
        active = np.flatnonzero(log.lengths > 0)
        users = np.sort(rng.choice(active, size=min(64, len(active)), replace=False))
        return log.sequences(int(getattr(model, "context", 0) or 50), users)
    items = rng.integers(1, model.n_items + 1, size=(64, 12))
    items[np.arange(12)[None, :] < rng.integers(0, 12, size=64)[:, None]] = 0
    return SequenceBatch(items, np.arange(64))


def check_recommender(
    recommender: Any, log: InteractionLog | None = None, *, seed: int = 0, raises: bool = True
) -> list[Outcome]:
    """Check all that a recommender promises.

    Args:
        recommender: anything with `n_items` and `recommend` or `score`; if it is not fitted, with `fit(log, *, seed)`.
        log: genuine rows, whose histories are asked about; by default random sequences are.

    Raises:
        NonConformity: with `raises`, if a promise is broken, naming all of them.
    """
    owner = type(recommender).__name__
    try:
        subject = recommended(recommender, log, seed=seed)
    except ModelFault as fault:  # it does not answer a first question; there is no point in more
        check: Check[Any] = Check("answers", "It answers in the form that is expected.", _raise(fault))
        return run_suite([check], None, owner, raises=raises)
    return run_suite(CHECKS, subject, owner, raises=raises)


def _raise(fault: ModelFault) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        raise fault

    return run
