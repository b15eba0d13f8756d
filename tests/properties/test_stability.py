"""FRBO and Jaccard agree with their definitions, read as loops over sets, for all pairs of lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust.metrics.stability import frbo, jaccard

WIDTH = 8
lists = st.lists(st.integers(1, 9), max_size=WIDTH, unique=True)
batches = st.lists(st.tuples(lists, lists), min_size=1, max_size=6)
shares = st.floats(0.05, 0.95)


def padded(rows: list[list[int]]) -> np.ndarray[Any, Any]:
    return np.array([row + [0] * (WIDTH - len(row)) for row in rows], dtype=np.int32)


def finite_overlap(a: list[int], b: list[int], k: int, p: float) -> float:
    """By definition, one depth at a time."""
    deepest = min(max(len(a), len(b)), k)
    if deepest == 0:
        return 1.0
    total = sum(p ** (d - 1) * len(set(a[:d]) & set(b[:d])) / d for d in range(1, deepest + 1))
    return (1 - p) / (1 - p**deepest) * total


@given(batches, st.integers(1, WIDTH + 2), shares)
def test_by_definition(pairs: list[tuple[list[int], list[int]]], k: int, p: float) -> None:
    first, second = padded([a for a, _ in pairs]), padded([b for _, b in pairs])
    assert frbo(first, second, k, p) == pytest.approx([finite_overlap(a, b, k, p) for a, b in pairs])
    either = [set(a[:k]) | set(b[:k]) for a, b in pairs]
    both = [set(a[:k]) & set(b[:k]) for a, b in pairs]
    expected = [len(s) / len(e) if e else 1 for s, e in zip(both, either, strict=True)]
    assert jaccard(first, second, k) == pytest.approx(expected)


@given(batches, st.integers(1, WIDTH), shares)
def test_bounds_symmetry_and_identity(pairs: list[tuple[list[int], list[int]]], k: int, p: float) -> None:
    first, second = padded([a for a, _ in pairs]), padded([b for _, b in pairs])
    found = frbo(first, second, k, p)
    assert np.all((found >= 0) & (found <= 1 + 1e-12))
    assert found == pytest.approx(frbo(second, first, k, p))
    assert frbo(first, first, k, p) == pytest.approx(np.ones(len(first)))
    same = np.array([a[:k] == b[:k] for a, b in pairs])
    assert np.all((found > 1 - 1e-9) == same), "1 for equal lists and for no others"
    apart = np.array([not set(a[:k]) & set(b[:k]) and bool(a or b) for a, b in pairs])
    assert np.all((found == 0) == apart), "0 for disjoint lists and for no others"
