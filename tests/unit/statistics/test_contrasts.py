"""What a bound limits, by hand, and when a relative one has no meaning."""

from __future__ import annotations

import numpy as np
import pytest

from robust.errors import InputError
from robust.statistics import Kind, change_limits, contrast, limits
from robust.statistics.contrasts import CleanMeanNearZero
from robust.statistics.moments import moments, quantile, with_pseudo_users


@pytest.mark.parametrize(
    ("kind", "values", "threshold", "worst"),
    [
        ("drop", [0.4 - 0.1 - 0.25 * 0.4, 0.8 - 1.0 - 0.25 * 0.8], 0.0, (-2.0, 1.5)),  # 0 → 2; 2 → 0 under a bound of ¼
        ("rise", [-0.3, 0.2], 0.25, (-2.0, 2.0)),
        ("level", [0.1, 1.0], 0.25, (0.0, 2.0)),
    ],
)
def test_a_bound_is_a_mean_below_a_threshold(
    kind: Kind, values: list[float], threshold: float, worst: tuple[float, float]
) -> None:
    found, bound, ends = contrast([0.4, 0.8], [0.1, 1.0], kind, 0.25, scale=2.0)
    assert found[0] == pytest.approx(values)
    assert bound == threshold
    assert ends == pytest.approx(worst)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 1.0, 1.5])
def test_an_error_rate_lies_between_0_and_1(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        change_limits([0.4, 0.8], [0.1, 1.0], "rise", alpha)


@pytest.mark.parametrize("scale", [0.0, -0.5, -2.0, float("nan")])
def test_a_metric_has_a_greatest_value(scale: float) -> None:
    with pytest.raises(InputError, match="scale"):
        contrast([0.0, 0.0], [0.0, 0.0], "rise", 0.1, scale=scale)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_drop_is_relative_to_a_clean_mean_that_is_told_from_0(seeds: int) -> None:
    """Exactly where the lower limit of the clean mean itself is above 0."""
    judged = set()
    for hits in range(1, 30):
        clean = np.tile(np.arange(200) < hits, (seeds, 1)) * np.linspace(0.9, 1.0, seeds)[:, None]
        told = limits(clean, alpha=0.02, worst=(0.0, 1.0)).low > 0
        judged.add(told)
        if told:
            assert change_limits(clean, clean, "drop", 0.02).mean == 0
        else:
            with pytest.raises(CleanMeanNearZero):
                change_limits(clean, clean, "drop", 0.02)
    assert judged == {True, False}


def test_an_attack_that_helps_is_a_drop_far_below_0() -> None:
    """Against Fieller's closed form: the metric grows eightfold, so the drop is about −700%."""
    rng = np.random.default_rng(0)
    clean, attacked = rng.uniform(0.05, 0.15, (1, 500)), rng.uniform(0.7, 0.9, (1, 500))
    found = change_limits(clean, attacked, "drop", 0.05)
    assert found.mean == pytest.approx(1 - attacked.mean() / clean.mean())
    for pseudo, root in (((0.0, 1.0), 0), ((1.0, 0.0), 1)):
        both = moments(with_pseudo_users(np.stack([clean, attacked]), pseudo))
        (c, a), v = both.mean, both.users * quantile(0.05, 501) ** 2
        # (c·x − a)² = var of the same, with x = 1 − ρ
        x = np.sort(np.roots([c**2 - v[0, 0], -2 * (c * a - v[0, 1]), a**2 - v[1, 1]]).real)
        assert (found.low, found.high)[root] == pytest.approx((1 - x)[::-1][root])


def test_a_rise_lies_within_the_scale_and_rounding_is_forgiven_in_proportion() -> None:
    for clean, attacked in (([0.0, 0.0], [1.0, 0.0]), ([1.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [1.0 + 5e-7, 0.0])):
        contrast(clean, attacked, "rise", 0.1)
    for clean, attacked in (([0.0, 0.0], [1.2, 0.0]), ([1.2, 0.0], [0.0, 0.0])):
        with pytest.raises(InputError, match="lies in"):
            contrast(clean, attacked, "rise", 0.1)
    contrast([0.0, 1_000.0005], [0.0, 1.0], "drop", 0.1, scale=1_000)
    with pytest.raises(InputError, match="lies in"):
        contrast([0.0, 1_000.01], [0.0, 1.0], "drop", 0.1, scale=1_000)
