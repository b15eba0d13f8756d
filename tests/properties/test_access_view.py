"""Query limits hold under any interleaving of calls: what is refused answers nothing and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.access import AccessView, QueryCounter
from robust.errors import BudgetExceeded, NotKnown
from robust.log import SequenceBatch
from robust.threat import Knowledge
from tests.toys import LinearBag

CALLS = ("recommend", "score", "score_embeddings", "gradient")
FREE = ("embed", "item_embeddings", "passes_guard", "popularity", "queries_left")
NEEDS = {"recommend": "lists", "score": "scores", "score_embeddings": "gradients", "gradient": "gradients"}
LEVELS = ("lists", "scores", "gradients")

Call = tuple[str, int, int]
"""What is asked, about how many sequences, through which of two views."""
calls = st.lists(st.tuples(st.sampled_from(CALLS + FREE), st.integers(0, 5), st.integers(0, 1)), max_size=25)
limits = st.none() | st.integers(0, 30)
levels = st.sampled_from(LEVELS)


class Metered(LinearBag):
    """Counts the rows that it answers, whoever pays for them."""

    def __init__(self) -> None:
        super().__init__(n_items=9, dimension=2, width=3)
        self.answered = 0

    def recommend(self, sequences: SequenceBatch, k: int) -> Any:
        self.answered += len(sequences)
        return np.tile(np.arange(1, k + 1, dtype=np.int32), (len(sequences), 1))

    def score(self, sequences: SequenceBatch) -> Any:
        self.answered += len(sequences)
        return np.zeros((len(sequences), 10), np.float32)

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        self.answered += len(sequences)
        return super().score_embeddings(embeddings, sequences)


def ask(access: AccessView, name: str, rows: int) -> Any:
    sequences = SequenceBatch(np.ones((rows, 3), np.int32))
    if name == "recommend":
        return access.model.recommend(sequences, 2)
    if name == "score":
        return access.model.score(sequences)
    if name == "queries_left":
        return access.queries_left(rows)
    if name == "popularity":
        return None
    if name == "item_embeddings":
        return access.model.item_embeddings
    if name == "passes_guard":
        return access.model.passes_guard(sequences)
    embedded = access.model.embed(sequences).detach().requires_grad_(name == "gradient")
    if name == "embed":
        return embedded
    scores = access.model.score_embeddings(embedded, sequences)
    if name == "gradient" and rows:
        torch.autograd.grad(scores[:, 1:].sum(), embedded)
    return scores


def follow(
    steps: list[Call], limit: int | None, level: Any = "gradients", counter: Callable[..., QueryCounter] = QueryCounter
) -> None:
    """Make these calls, and check the bill after each against a count of one's own."""
    model = Metered()
    access = AccessView(attack="toy", knowledge=Knowledge(model=level), n_items=9, recommender=model, queries=limit)
    access.counter = counter("toy", limit)
    views = access.model, access.model  # each call through `access.model` makes another view, too
    spent = 0
    for name, rows, through in steps:
        granted = name not in (*NEEDS, *FREE[:3]) or LEVELS.index(level) >= LEVELS.index(NEEDS.get(name, "gradients"))
        affordable = limit is None or name not in NEEDS or spent + rows <= limit
        before = model.answered
        if not granted:
            with pytest.raises(NotKnown):
                ask(access, name, rows)
        elif not affordable:
            with pytest.raises(BudgetExceeded):
                ask(access, name, rows)
            assert model.answered == before, "a refused call was answered"
        else:
            if name == "recommend":
                views[through].recommend(SequenceBatch(np.ones((rows, 3), np.int32)), 2)
            else:
                ask(access, name, rows)
            spent += rows if name in NEEDS else 0
        assert access.counter.spent == model.answered == spent, "the bill is not what was answered"
        assert limit is None or spent <= limit
        assert access.queries_left(1) == (None if limit is None else limit - spent)


@given(steps=calls, limit=limits, level=levels)
@settings(deadline=None)
def test_a_query_limit_holds_under_any_interleaving(steps: list[Call], limit: int | None, level: str) -> None:
    follow(steps, limit, level)


class CountsCalls(QueryCounter):
    """One query a call, however many sequences."""

    def add(self, count: int) -> None:
        super().add(min(count, 1))


class OneTooMany(QueryCounter):
    def add(self, count: int) -> None:
        if self.limit is not None and self.spent + count > self.limit + 1:
            raise BudgetExceeded(self.attack, "queries", self.limit, self.spent + count)
        self.spent += count


class ChargesForRefusals(QueryCounter):
    def add(self, count: int) -> None:
        self.spent += count
        if self.limit is not None and self.spent > self.limit:
            raise BudgetExceeded(self.attack, "queries", self.limit, self.spent)


class ForgetsAtTheLimit(QueryCounter):
    """Begins anew once the limit is reached exactly."""

    def add(self, count: int) -> None:
        if self.spent == self.limit:
            self.spent = 0
        super().add(count)


class AnswersAPart(QueryCounter):
    """Charges what is left, and lets the whole call pass."""

    def add(self, count: int) -> None:
        super().add(count if self.limit is None else min(count, self.limit - self.spent))


@pytest.mark.parametrize("faulty", [CountsCalls, OneTooMany, ChargesForRefusals, ForgetsAtTheLimit, AnswersAPart])
def test_a_faulty_bill_is_caught(faulty: type[QueryCounter]) -> None:
    steps: list[Call] = [("recommend", 3, 0), ("gradient", 2, 1), ("score", 2, 0), ("score", 1, 1), ("recommend", 2, 0)]
    caught = 0
    for limit in range(9):
        try:
            follow(steps, limit, counter=faulty)
        except (AssertionError, BudgetExceeded, pytest.fail.Exception):
            caught += 1
    assert caught
    follow(steps, 7)
