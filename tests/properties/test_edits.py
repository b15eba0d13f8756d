"""Edits as a list: applied one by one, to whole batches, and found again from what they made."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from robust.attacks.evasion.edit_family import NaturalKind, draw_edits
from robust.attacks.evasion.moves import COSTS, KINDS, Space
from robust.checks import edit_distance
from robust.edits import Edit, apply_edits, apply_to_rows, edits_between
from robust.log import SequenceBatch
from robust.testing import strategies as robust_st
from robust.threat import Budget

sequence = st.lists(st.integers(1, 4), max_size=7)


@given(sequence, sequence)
@example([1], [2, 1])  # before the oldest
@example([], [3])
@example([1], [1, 1])
def test_edits_between_two_sequences_are_as_few_as_their_distance_and_make_the_second(
    before: list[int], after: list[int]
) -> None:
    found = edits_between(before, after)
    assert apply_edits(before, found) == after
    pair = SequenceBatch.from_lists([before], 7), SequenceBatch.from_lists([after], 7)
    assert len(found) == edit_distance(*pair)[0]


@given(st.data(), st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=5), min_size=1, max_size=4))
def test_a_batch_is_edited_row_by_row(data: st.DataObject, rows: list[list[int]]) -> None:
    longest = max(rows, key=len)
    edits = data.draw(robust_st.edits(longest, Budget(edits=3), n_items=5))
    batch = SequenceBatch.from_lists(rows, 8)
    edited = apply_to_rows(batch.items, edits)
    assert np.array_equal(batch.items, SequenceBatch.from_lists(rows, 8).items), "the input is left alone"
    for row, items in zip(rows, edited, strict=True):
        expected = list(row)
        for edit in edits:
            if edit.back <= len(expected) and (edit.kind != "delete" or len(expected) > 1):
                expected = apply_edits(expected, [edit])
        assert items[items != 0].tolist() == expected
        assert not items[: 8 - len(expected)].any(), "padding stays on the left"


@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=5), min_size=1, max_size=4))
def test_every_numbered_move_is_the_edit_that_it_names_and_costs_what_it_says(rows: list[list[int]]) -> None:
    batch = SequenceBatch.from_lists(rows, 6)
    space = Space(np.arange(len(rows)), batch.items, np.ones((len(rows), len(KINDS)), dtype=bool), 5)
    (moves,) = space.spread(None, 10_000, np.random.default_rng(0))
    forms = SequenceBatch(space.apply(moves))
    distance = edit_distance(batch[moves.states], forms)
    for move in range(len(forms)):
        kind, back = KINDS[moves.kinds[move]], 6 - int(moves.columns[move])
        before = rows[moves.states[move]]
        if kind == "swap":
            at = len(before) - back
            expected = [*before[: at - 1], before[at], before[at - 1], *before[at + 1 :]]
        else:
            expected = apply_edits(before, [Edit(kind, back, int(moves.items[move]))])
        assert forms.items[move][forms.items[move] != 0].tolist() == expected
        assert not forms.items[move][: 6 - len(expected)].any(), "padding stays on the left"
        assert distance[move] <= COSTS[kind]


@given(sequence.filter(bool), st.integers(1, 6), st.integers(0, 2**32))
def test_random_edits_of_every_kind_stay_within_their_budget(before: list[int], edits: int, seed: int) -> None:
    room = SequenceBatch.from_lists([before] * 4, 7 + edits)
    kinds = get_args(NaturalKind)
    rng = np.random.default_rng(seed)
    made = SequenceBatch(draw_edits(room.items, edits, kinds, 3, lambda beside, rng: beside % 4 + 1, None, rng))
    assert edit_distance(room, made).max() <= edits
    assert (made.lengths > 0).all()
    assert not np.any((made.items[:, :-1] != 0) & (made.items[:, 1:] == 0)), "padding stays on the left"


def test_a_full_row_loses_its_oldest_item_to_an_insertion() -> None:
    assert apply_to_rows(np.array([[1, 2, 3]]), [Edit("insert", 1, 9)]).tolist() == [[2, 3, 9]]
    assert apply_to_rows(np.array([[1, 2, 3]]), [Edit("replace", 4, 9), Edit("delete", 3)]).tolist() == [[0, 2, 3]]
