"""Seeds far from the rest."""

from __future__ import annotations

import numpy as np
import pytest

from robust.statistics import seed_outliers


@pytest.mark.parametrize(
    ("points", "far"),
    [
        ([0.010, 0.300, 0.012], [1]),
        ([0.01, 0.02, 0.04], []),
        ([0.01, 0.02, 0.015, 0.012, 0.4], [4]),
        ([0.01, 0.02, 0.015, 0.012, 0.018, 0.011, 0.4, 0.45, 0.016, 0.013], [6, 7]),  # two do not hide each other
        ([0.0, 0.0, 0.004], []),  # far in units of nothing, but near
        ([0.0, 0.0, 0.4], [2]),
        ([0.0, 0.4], []),
    ],
)
def test_a_seed_that_stands_apart_is_named(points: list[float], far: list[int]) -> None:
    assert seed_outliers(points) == far


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_one_normal_sample_in_twenty_is_warned_about(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    warned = np.mean([bool(seed_outliers(rng.standard_normal(seeds))) for _ in range(4_000)])
    assert 0.04 < warned < 0.06


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_unit_of_measurement_does_not_matter_beyond_the_least_distance(seeds: int) -> None:
    points = np.random.default_rng(seeds).standard_normal(seeds) ** 3
    assert seed_outliers(points, at_least=0) == seed_outliers(7 * points - 3, at_least=0)
