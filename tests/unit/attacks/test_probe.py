"""Profiles of what a live system recommends."""

from __future__ import annotations

import numpy as np
import pytest

from robust.attacks.poisoning.probe import Probe
from robust.errors import NotKnown
from robust.log import Int32, SequenceBatch
from robust.threat import Budget, Knowledge, Promote
from tests.toys import taste_log, view

LOG = taste_log()


class Next:
    """Recommends the items after the newest one: i + 1, i + 2, …"""

    n_items = 80

    def __init__(self, reach: int = 80) -> None:
        self.reach, self.asked = reach, 0

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k], 0 beyond `reach` items."""
        self.asked += len(sequences)
        step = np.arange(1, k + 1)
        lists = (sequences.items[:, -1:] + step - 1) % self.n_items + 1
        return np.where(step <= self.reach, lists, 0).astype(np.int32)


def probe(
    model: Next, *, goal: Promote, length: int = 6, users: int = 40, k: int = 3, queries: int | None = None
) -> Int32:
    access = view(model, log=LOG, knowledge=Knowledge(model="lists"), queries=queries)
    poisoned = Probe(k=k, order="target_last")(
        access, goal, Budget(users=users, profile_length=length), np.random.default_rng(0)
    )
    assert poisoned.queries == model.asked
    return poisoned.edit.add


def test_each_item_comes_from_the_list_before_it() -> None:
    model = Next()
    walk = probe(model, goal=Promote(items=(80,)))[:, :-1].astype(int)
    steps = (np.diff(walk, axis=1) - 1) % 80 + 1
    assert model.asked == 40 * 4, "a list for every item but the seed"
    assert np.isin(steps, (1, 2, 3, 4)).all(), "a fourth where the target was passed over"
    assert set(steps.ravel().tolist()) >= {1, 2, 3}, "any of the list"
    assert len(np.unique(walk[:, 0])) > 25, "begun anywhere"


def test_neither_targets_nor_what_is_held_is_taken_from_a_list() -> None:
    # every second item is a target: of i + 1 and i + 2, the only one left is i + 2
    walk = probe(Next(), goal=Promote(items=tuple(range(2, 81, 2))), length=45, users=5, k=2)
    others = walk[:, :5].astype(int)
    assert np.all(np.diff(others, axis=1) % 80 == 2)


def test_a_list_without_news_gives_way_to_a_random_item() -> None:
    walk = probe(Next(reach=0), goal=Promote(items=(80,)))
    assert all(len(set(profile)) == 6 for profile in walk.tolist())
    assert len(np.unique(walk)) > 60


@pytest.mark.parametrize(("limit", "asked"), [(0, 0), (39, 0), (40, 40), (130, 120), (1000, 160)])
def test_a_query_limit_ends_the_walk(limit: int, asked: int) -> None:
    model = Next()
    walk = probe(model, goal=Promote(items=(80,)), queries=limit)
    assert model.asked == asked
    assert all(len(set(profile)) == 6 for profile in walk.tolist())


def test_lists_must_be_granted() -> None:
    with pytest.raises(NotKnown, match="model"):
        Probe()(view(log=LOG), Promote(items=(1,)), Budget(users=2, profile_length=4), np.random.default_rng(0))
