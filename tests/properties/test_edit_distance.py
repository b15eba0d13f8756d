"""The batched edit distance against the textbook recursion."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from robust.checks import edit_distance
from robust.log import SequenceBatch

sequence = st.lists(st.integers(1, 4), max_size=7)


def recursive(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        change = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(change, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))


@given(st.lists(st.tuples(sequence, sequence), min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 3))
def test_equal_to_the_recursion_at_any_padding(
    pairs: list[tuple[list[int], list[int]]], pad_first: int, pad_second: int
) -> None:
    first = SequenceBatch.from_lists([a for a, _ in pairs], context=7 + pad_first)
    second = SequenceBatch.from_lists([b for _, b in pairs], context=7 + pad_second)
    expected = [recursive(tuple(a), tuple(b)) for a, b in pairs]
    assert edit_distance(first, second).tolist() == expected
    assert edit_distance(second, first).tolist() == expected
