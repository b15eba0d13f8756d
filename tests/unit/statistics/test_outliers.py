"""Seeds far from the rest."""

from __future__ import annotations

import numpy as np
import pytest

from robust.statistics import seed_outliers
from robust.statistics.outliers import CUTOFFS


@pytest.mark.parametrize(
    ("points", "far"),
    [
        ([0.010, 0.300, 0.012], [1]),
        ([0.01, 0.02, 0.04], []),
        ([0.01, 0.02, 0.015, 0.012, 0.4], [4]),
        ([0.01, 0.02, 0.015, 0.012, 0.018, 0.011, 0.4, 0.45, 0.016, 0.013], [6, 7]),  # two do not hide each other
        ([0.0, 0.0, 0.004], []),  # far in units of nothing, but near
        ([0.0, 0.0, 0.006], [2]),
        ([0.0, 0.0, 0.4], [2]),
        ([-1, -1, 0, 1, 11.6], []),  # median 0, MAD 1, cut-off 11.7
        ([-1, -1, 0, 1, 11.8], [4]),
        ([*[-1] * 5, 0, 0, *[1] * 4, 6.7], []),  # twelve seeds: the cut-off of ten
        ([*[-1] * 5, 0, 0, *[1] * 4, 6.9], [11]),
        ([0.0, 0.4], []),
    ],
)
def test_a_seed_that_stands_apart_is_named(points: list[float], far: list[int]) -> None:
    assert seed_outliers(points) == far


@pytest.mark.parametrize("seeds", range(3, 11))
def test_a_cut_off_is_what_one_normal_sample_in_twenty_passes(seeds: int) -> None:
    points = np.random.default_rng(seeds).standard_normal((400_000, seeds))
    distance = np.sort(np.abs(points - np.median(points, axis=1, keepdims=True)), axis=1)
    farthest = distance[:, -1] / np.median(distance, axis=1)
    assert CUTOFFS[seeds] == pytest.approx(np.quantile(farthest, 0.95), rel=0.025)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_one_normal_sample_in_twenty_is_warned_about(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    warned = np.mean([bool(seed_outliers(rng.standard_normal(seeds))) for _ in range(4_000)])
    assert 0.04 < warned < 0.06


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_unit_of_measurement_does_not_matter_beyond_the_least_distance(seeds: int) -> None:
    points = np.random.default_rng(seeds).standard_normal(seeds) ** 3
    assert seed_outliers(points, at_least=0) == seed_outliers(7 * points - 3, at_least=0)
