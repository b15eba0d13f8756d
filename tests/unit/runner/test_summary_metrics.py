"""What is said of all lists together, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from robust.log import InteractionLog
from robust.ranking import Ranking
from robust.runner.victims import clean_summary

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
