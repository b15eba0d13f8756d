"""How amounts read in sentences, and that verdicts, headlines and comparisons write them so."""

from __future__ import annotations

import numpy as np
import pytest

from robust.amounts import number, percent, points, points_between
from robust.bounds import Bound
from robust.compare.words import amount
from robust.statistics import judge


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(-1.26), "−1.26"),
        (number(-0.0), "0"),
        (number(-0.0004, ".1f"), "0.0"),
        (number(-0.00001), "−1e−05"),
        (percent(-0.0962), "−9.62%"),
        (percent(-0.0001, ".1f"), "0.0%"),
        (points(0.01), "1 percentage point"),
        (points(-0.01), "−1 percentage point"),
        (points(0.014), "1.4 percentage points"),
        (points(0.01, ".1f"), "1.0 percentage points"),
        (points_between(-0.0126, 0.014), "−1.26 and 1.4 percentage points"),
        (amount("drop", -0.0962), "−9.6%"),
        (amount("rise", -0.0001), "0.0 pp"),
        (Bound(metric="target_hr@5", kind="rise", limit=0.01).label, "target HR@5 rises by at most 1 percentage point"),
    ],
)
def test_amounts(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(("kind", "between"), [("rise", "percentage points ("), ("drop", "% (")])
def test_an_undecided_verdict_states_its_unit_once_and_its_minus_truly(kind: str, between: str) -> None:
    rng = np.random.default_rng(5)
    clean, attacked = rng.integers(0, 2, (2, 1, 300)).astype(float)
    reason = judge(clean, attacked, kind=kind, limit=0.01, fixed_model=True).reason  # type: ignore[arg-type]
    assert "lies between −" in reason
    assert between in reason
    assert "-" not in reason
    assert reason.split(" (")[0].count("percentage point") == (kind == "rise")
    assert "the bound of 1 percentage point is open" in reason or kind == "drop"
