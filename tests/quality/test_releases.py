"""The assertion over many releases: red where a bound is broken by a margin, hardly ever where it is kept by one."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import pytest

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.bounds import BoundBroken, InconclusiveBound, assert_bounded_degradation
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.threat import Budget

ITEMS, USERS, RELEASES, LIMIT = 201, 5_000, 200, 0.10
MARKER = ITEMS


class PutMarker(EvasionAttack):
    """The oldest item becomes the marker."""

    name: ClassVar[str] = "put-marker"
    source: ClassVar[str] = "this test"

    def evade(
        self, access: AccessView, sequences: SequenceBatch, goal: AnyGoal, budget: Budget, rng: np.random.Generator
    ) -> SequenceBatch:
        items = sequences.items.copy()
        items[np.arange(len(items)), (items != 0).argmax(axis=1)] = MARKER
        return sequences.with_items(items)


class Release:
    """Knows what follows each item. Where the marker stands and the item before the newest is fragile, it is lost.

    Items are uniform, so the share of fragile ones is the true drop.
    """

    n_items = ITEMS

    def __init__(self, rng: np.random.Generator, drop: float) -> None:
        self.successor = np.concatenate([[0], rng.permutation(ITEMS - 1) + 1, [1]])
        self.fragile = np.zeros(ITEMS + 1, dtype=bool)
        self.fragile[rng.choice(ITEMS - 1, size=round(drop * (ITEMS - 1)), replace=False) + 1] = True

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lost = (sequences.items == MARKER).any(axis=1) & self.fragile[sequences.items[:, -2]]
        first = self.successor[sequences.items[:, -1]]
        shift = np.where(lost, ITEMS // 2, 0)[:, None]
        return ((first[:, None] - 1 + np.arange(k) + shift) % ITEMS + 1).astype(np.int32)


def release(seed: int, drop: float) -> tuple[Release, InteractionLog]:
    """A model, and 5,000 users of whom six in ten do what it expects."""
    rng = np.random.default_rng(seed)
    model = Release(rng, drop)
    items = rng.integers(1, ITEMS, size=(USERS, 4))
    items[:, 3] = np.where(rng.random(USERS) < 0.6, model.successor[items[:, 2]], items[:, 3])
    users, times = np.repeat(np.arange(USERS), 4), np.tile(np.arange(4), USERS)
    return model, InteractionLog.from_columns(users, items.ravel(), times, n_items=ITEMS)


def share_of_red(drop: float) -> float:
    red = 0
    for seed in range(RELEASES):
        model, log = release(seed, drop)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InconclusiveBound)
                assert_bounded_degradation(model, log, attack=PutMarker(), max_drop=LIMIT)
        except BoundBroken:
            red += 1
    return red / RELEASES


@pytest.mark.parametrize(
    ("drop", "least", "most"), [(2 * LIMIT, 0.95, 1.0), (LIMIT / 2, 0.0, 0.01), (LIMIT, 0.0, 0.06)]
)
def test_red_when_broken_by_a_margin_and_hardly_ever_when_kept(drop: float, least: float, most: float) -> None:
    red = share_of_red(drop)
    assert least <= red <= most
