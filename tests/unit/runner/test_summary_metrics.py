"""What is said of all lists together, and of what changes without an attack, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from robust.log import InteractionLog
from robust.ranking import Ranking
from robust.runner.cell_results import noise_floor
from robust.runner.outcomes import Measured
from robust.runner.victims import clean_summary
from robust.seen import Seen
from tests.unit.runner.cells import PROMOTED, one, planned

TRAIN = InteractionLog.from_columns([0, 0, 1, 1, 2, 3], [1, 1, 1, 2, 3, 1], range(6), n_items=4)
"""Four users; item 1 is held by three of them (four rows), items 2 and 3 by one, item 4 by nobody."""


def ranking(lists: list[list[int]]) -> Ranking:
    rows = np.array(lists, dtype=np.int32)
    return Ranking(np.ones(len(rows), np.int64), np.zeros((len(rows), 0), np.int64), rows)


def test_novelty_is_told_by_the_users_who_hold_an_item() -> None:
    bits = {1: np.log2(4 / 3), 2: 2.0, 4: 2.0}  # an item that nobody holds counts as held by one
    found = clean_summary([ranking([[1, 2], [4, 0], [0, 0]])], TRAIN)
    assert found["novelty@10"] == pytest.approx(((bits[1] + bits[2]) / 2 + bits[4]) / 2)
    assert found["coverage@10"] == pytest.approx(3 / 4)


def test_evaluating_fewer_users_changes_no_items_novelty() -> None:
    one, four = clean_summary([ranking([[1]])], TRAIN), clean_summary([ranking([[1]] * 4)], TRAIN)
    assert one["novelty@10"] == four["novelty@10"] == pytest.approx(np.log2(4 / 3))


def test_the_noise_floor_is_the_same_targets_under_two_seeds() -> None:
    """A clean ranking watches the seed's own targets, then those of the seed before, which that one ranked first."""
    cell = one(planned(PROMOTED), "promotion", 0.01)
    users = 4
    lists = np.tile(np.arange(1, 11, dtype=np.int32), (users, 1))
    in_list = {0: [[1, 50], [1, 50], [50, 50], [50, 50]], 1: [[50, 50, 1, 1]] * users}  # per user: own, then previous
    measured = Measured(seeds=[0, 1], previous=[(), (1, 2)], held=[np.zeros((users, 2), dtype=np.bool_)] * 2)
    measured.clean = [Ranking(np.ones(users, np.int64), np.array(in_list[seed], np.int64), lists) for seed in (0, 1)]
    nothing_held = Seen(np.zeros(users + 1, np.int64), np.zeros(0, np.int32))
    floor = noise_floor(cell, measured, nothing_held)
    # under the first seed one target of two is listed for one user in two, under the second both for all
    assert floor == [None, pytest.approx(1 - 0.25)]
