"""Alternating poisoning, against its definition worked out one profile at a time."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from robust.attacks.poisoning.alternating import Alternating
from robust.attacks.poisoning.profiles import draw_weighted
from robust.errors import NotApplicable, NotKnown
from robust.log import Int32, SequenceBatch
from robust.threat import Budget, Demote, Knowledge, Promote
from tests.toys import LinearBag, taste_log, view

MODEL, LOG = LinearBag(n_items=40, width=9), taste_log(n_items=40)
GOAL = Promote(items=(5, 9, 33))
RNG = np.random.default_rng


def poison(attack: Alternating, length: int, *, users: int = 6, queries: int | None = None, seed: int = 0) -> Int32:
    access = view(MODEL, log=LOG, knowledge=Knowledge(model="gradients"), queries=queries)
    return attack(access, GOAL, Budget(users=users, profile_length=length), RNG(seed)).edit.add


def adversarial(prefix: list[int], start: int, target: int, gain: str) -> np.ndarray:
    """Items from the most to the least wanted, by the gradient of CE in closed form: (softmax − one-hot) · O."""
    table, output = MODEL.table.numpy().astype(np.float64), MODEL.output.numpy()[1:].astype(np.float64)
    sequence = SequenceBatch(np.array([[*prefix, start]], dtype=np.int32))
    scores = MODEL.score(sequence)[0, 1:].astype(np.float64)
    share = np.exp(scores - scores.max())
    share /= share.sum()
    share[target - 1] -= 1
    gradient = share @ output  # the newest position weighs 1
    if gain == "first-order":
        worth = table @ gradient
    else:
        wanted = table[start] - np.sign(gradient)
        lengths = np.linalg.norm(table, axis=1)
        worth = -(table @ wanted) / np.maximum(lengths * np.linalg.norm(wanted), 1e-12)
    worth[[0, *GOAL.items, *prefix]] = -np.inf
    return np.argsort(-worth)[: int((worth > -np.inf).sum())]


@pytest.mark.parametrize("gain", ["sign-cosine", "first-order"])
def test_each_item_is_of_the_pool_that_least_predicts_the_next_target(
    gain: Literal["sign-cosine", "first-order"], monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[np.ndarray] = []

    def spy(*given: Any) -> Int32:
        starts.append(draw_weighted(*given))
        return starts[-1]

    monkeypatch.setattr("robust.attacks.poisoning.alternating.draw_weighted", spy)
    profiles = poison(Alternating(gain=gain, pool=3), 9)
    places = set()
    for row, profile in enumerate(profiles.tolist()):
        for step in range(4):
            place = 2 * step + 1
            ranked = adversarial(profile[:place], int(starts[step][row, 0]), profile[place + 1], gain).tolist()
            places.add(ranked.index(profile[place]))
    assert places == {0, 1, 2}, "any of the best three, no other"


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9])
def test_targets_stand_at_every_second_place(length: int) -> None:
    profiles = poison(Alternating(), length, users=30)
    assert profiles.shape == (30, length)
    assert np.isin(profiles[:, ::2], GOAL.items).all()
    others = profiles[:, 1::2]
    assert not np.isin(others, GOAL.items).any()
    assert all(len(set(row)) == len(row) for row in others.tolist())
    assert set(profiles[:, ::2].ravel().tolist()) == set(GOAL.items)


def test_a_small_catalogue_is_filled_up_with_targets() -> None:
    model = LinearBag(n_items=4)
    access = view(model, log=taste_log(n_items=40), knowledge=Knowledge(model="gradients"), n_items=4)
    edit = Alternating()(access, Promote(items=(1, 2, 3)), Budget(users=5, profile_length=8), RNG(0)).edit
    assert edit.add.shape == (5, 4)
    assert np.all((edit.add == 4).sum(axis=1) == 1)


@pytest.mark.parametrize(("limit", "asked"), [(None, 24), (0, 0), (11, 6), (24, 24)])
def test_queries_are_counted_and_limited(limit: int | None, asked: int) -> None:
    access = view(MODEL, log=LOG, knowledge=Knowledge(model="gradients"), queries=limit)
    poisoned = Alternating()(access, GOAL, Budget(users=6, profile_length=9), RNG(0))
    assert poisoned.queries == asked
    assert poisoned.edit.add.shape == (6, 9)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = poison(Alternating(), 9)
    monkeypatch.setattr("robust.attacks.poisoning.alternating.chunk_rows", lambda *_: 2)
    assert np.array_equal(poison(Alternating(), 9), whole)


def test_a_model_without_gradients_still_has_an_order_of_cosines() -> None:
    """Where the gradient is zero, v is the random item itself: what is least like it is taken."""

    class Flat(LinearBag):
        def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
            return super().score_embeddings(embeddings, sequences) * 0

    access = view(Flat(n_items=40), log=LOG)
    assert Alternating()(access, GOAL, Budget(users=3, profile_length=5), RNG(0)).edit.add.shape == (3, 5)


def test_it_promotes_with_gradients_only_and_is_controlled_by_the_same_arrangement() -> None:
    budget = Budget(users=2, profile_length=5)
    assert Alternating(times="burst").control_attack(budget) == ("random", {"order": "alternate", "times": "burst"})
    with pytest.raises(NotApplicable, match="promote"):
        Alternating()(view(MODEL, log=LOG), Demote(items=(1,)), budget, RNG(0))
    with pytest.raises(NotKnown, match="gradients"):
        Alternating()(view(MODEL, log=LOG, knowledge=Knowledge(model="scores")), GOAL, budget, RNG(0))
