"""How far lists moved: clean against attacked, and as the null clean against clean of the seed before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from robust.metrics.stability import frbo
from robust.ranking import Ranking
from robust.runner.cell_metrics import stability_metrics
from robust.runner.outcomes import Measured
from robust.runner.results import MetricResult


def ranking(*lists: list[int]) -> Ranking:
    rows = np.array(lists, dtype=np.int32)
    return Ranking(np.ones(len(rows), np.int64), np.zeros((len(rows), 0), np.int64), rows)


def stability(clean: list[Ranking], attacked: list[Ranking], *, fixed: bool = False) -> dict[str, MetricResult]:
    measured = Measured(seeds=list(range(len(clean))), clean=clean, attacked=attacked)
    return stability_metrics(cast(Any, SimpleNamespace(fixed=fixed)), measured)


def test_lists_are_compared_within_a_seed_and_the_null_across_seeds() -> None:
    clean = [ranking([1, 2], [3, 4]), ranking([1, 2], [5, 6])]
    attacked = [ranking([1, 2], [4, 3]), ranking([7, 8], [5, 6])]
    found = stability(clean, attacked)
    swapped = float(frbo(np.array([[3, 4]]), np.array([[4, 3]]), 10)[0])
    assert found["frbo@10"].attacked == pytest.approx((1 + swapped + 0 + 1) / 4)
    assert found["jaccard@10"].attacked == pytest.approx((1 + 1 + 0 + 1) / 4)
    for name in ("frbo@10", "jaccard@10"):
        assert found[name].clean == 1
        assert found[name].change == pytest.approx(1 - found[name].attacked)
        assert found[name].null == pytest.approx(0.5), "of two users, the second has another list under another seed"


def test_a_fixed_model_and_a_single_seed_have_no_noise_floor() -> None:
    lists = ranking([1, 2])
    assert stability([lists], [lists])["frbo@10"].null is None
    assert stability([lists, lists], [lists, lists], fixed=True)["frbo@10"].null is None
    assert stability([lists, lists], [lists, lists])["frbo@10"].null == 0
