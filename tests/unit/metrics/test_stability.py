"""FRBO and Jaccard by hand; brute force and properties are in tests/properties/test_stability.py."""

from __future__ import annotations

import numpy as np
import pytest

from robust.errors import InputError
from robust.metrics.stability import frbo, jaccard, rank_list_sensitivity


def padded(*items: int, width: int = 20) -> np.ndarray:
    """[1, width]."""
    return np.array([[*items, *[0] * (width - len(items))]])


def test_by_hand() -> None:
    first, second = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]]), np.array([[1, 2, 3], [2, 1, 4], [4, 5, 6]])
    # in the second pair nothing is shared at depth 1, both at depth 2, two of three at depth 3
    swapped = (1 - 0.9) / (1 - 0.9**3) * (0.9 * 2 / 2 + 0.81 * 2 / 3)
    assert frbo(first, second, 3) == pytest.approx([1, swapped, 0])
    assert jaccard(first, second, 3) == pytest.approx([1, 2 / 4, 0])
    assert rank_list_sensitivity(first, second, 3) == pytest.approx((1 + swapped) / 3)
    assert rank_list_sensitivity(first, second, 3, jaccard) == pytest.approx(0.5)


def test_only_the_first_k_places_count() -> None:
    first, second = np.array([[1, 2, 3, 4]]), np.array([[1, 2, 9, 8]])
    assert frbo(first, second, 2) == pytest.approx(1)
    assert jaccard(first, second, 2) == pytest.approx(1)
    assert frbo(first, second, 4)[0] < 1
    assert frbo(first, second, 4) == pytest.approx(frbo(first, second, 99)), "K beyond the lists is their length"


def test_equal_short_lists_agree_wholly() -> None:
    """The released function says .4095 here: 1 − .9^5, the factor that it forgets."""
    five = padded(1, 2, 3, 4, 5)
    assert frbo(five, five, 20) == pytest.approx(1)
    assert jaccard(five, five, 20) == pytest.approx(1)
    assert frbo(five, padded(6, 7, 8, 9, 10), 20) == pytest.approx(0)


def test_a_short_list_is_not_the_longer_one_that_it_begins() -> None:
    short, long = padded(1), padded(1, 2)
    expected = (1 - 0.9) / (1 - 0.81) * (1 + 0.9 / 2)
    assert frbo(short, long, 20) == pytest.approx(expected)
    assert frbo(long, short, 20) == pytest.approx(expected)
    assert jaccard(short, long, 20) == pytest.approx(1 / 2)


def test_refusals_agree_with_each_other_and_with_nothing_else() -> None:
    assert frbo(padded(), padded(), 10) == pytest.approx(1)
    assert jaccard(padded(), padded(), 10) == pytest.approx(1)
    assert frbo(padded(), padded(3), 10) == pytest.approx(0)
    assert jaccard(padded(3), padded(), 10) == pytest.approx(0)


def test_the_first_places_weigh_most() -> None:
    clean, early, late = np.array([[1, 2, 3, 4]]), np.array([[9, 2, 3, 4]]), np.array([[1, 2, 3, 9]])
    assert jaccard(clean, early, 4) == pytest.approx(jaccard(clean, late, 4))
    assert frbo(clean, early, 4)[0] < frbo(clean, late, 4)[0]


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="one shape"):
        frbo(padded(1, width=3), padded(1, width=4), 3)
    with pytest.raises(InputError, match="one shape"):
        jaccard(np.array([1, 2]), np.array([1, 2]), 2)
    with pytest.raises(InputError, match="at least one place"):
        jaccard(padded(1), padded(1), 0)
    for p in (0.0, 1.0):
        with pytest.raises(InputError, match="between 0 and 1"):
            frbo(padded(1), padded(1), 5, p=p)
