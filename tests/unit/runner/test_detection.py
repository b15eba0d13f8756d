"""ROC curve, its area and interval: against scikit-learn, pairs counted one by one, DeLong's formula, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from robust.errors import InputError, NotApplicable
from robust.metrics.detection import area, auc, placements, roc

Float = np.ndarray[tuple[int], np.dtype[np.float64]]
Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


def tied(seed: int) -> tuple[Float, Bool]:
    """Suspicion with many ties, and ends at infinity."""
    rng = np.random.default_rng(seed)
    fake = rng.random(300) < 0.1
    suspicion = np.round(rng.normal(size=300) + fake, 1)
    suspicion[0], suspicion[1] = -np.inf, np.inf
    return suspicion, fake


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_and_its_area_are_those_of_scikit_learn(seed: int) -> None:
    suspicion, fake = tied(seed)
    finite = np.clip(suspicion, -100, 100)
    fpr, tpr, _ = roc_curve(fake, finite, drop_intermediate=False)
    curve = roc(suspicion, fake)
    assert curve.fpr == pytest.approx(fpr)
    assert curve.tpr == pytest.approx(tpr)
    assert auc(suspicion, fake) == pytest.approx(roc_auc_score(fake, finite))
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(auc(suspicion, fake))
    assert curve.tpr_at(0.01) == pytest.approx(tpr[fpr <= 0.01].max())


def test_placements_count_pairs_a_tie_one_half() -> None:
    suspicion, fake = tied(7)
    genuine = suspicion[~fake]
    for value, place in zip(suspicion[fake], placements(suspicion, fake)[0], strict=True):
        assert place == pytest.approx(np.mean((genuine < value) + 0.5 * (genuine == value)))
    for value, place in zip(genuine, placements(suspicion, fake)[1], strict=True):
        own = suspicion[fake]
        assert place == pytest.approx(np.mean((own > value) + 0.5 * (own == value)))


def test_a_curve_that_rises_upright_is_read_at_its_top() -> None:
    curve = roc(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False]))
    assert curve.at(np.array([0.0, 0.25, 0.5, 1.0])) == pytest.approx([0.5, 0.75, 1.0, 1.0])
    assert curve.tpr_at(0.0) == 0.5
    assert curve.tpr_at(0.49) == 0.5


def test_without_ties_the_variance_is_delongs() -> None:
    """The half-width beside DeLong's own formula, from its components; the pseudo-users only widen it."""
    rng = np.random.default_rng(3)
    fake = np.arange(2000) < 400
    suspicion = rng.normal(size=2000) + 0.8 * fake
    of_fake, of_genuine = placements(suspicion, fake)
    spread = np.sqrt(of_fake.var(ddof=1) / 400 + of_genuine.var(ddof=1) / 1600)
    found = area([(suspicion, fake)])
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.645 * spread, rel=0.15)
    assert found.high - found.low > 2 * 1.645 * spread


def test_the_limits_cover_also_where_almost_every_fake_user_stands_out() -> None:
    """Binormal, true area Φ(d / √2) ≈ .98, 15 fake users: plain DeLong covers far too seldom from below."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    shift = 2.9
    truth = norm.cdf(shift / np.sqrt(2))
    fake = np.arange(165) < 15
    missed = {"low": 0, "high": 0}
    for _ in range(400):
        found = area([(rng.normal(size=165) + shift * fake, fake)])
        assert found.low is not None
        assert found.high is not None
        missed["low"] += found.low > truth
        missed["high"] += found.high < truth
    # each limit may err in 5% of 400 runs: 20, and two standard deviations more
    assert missed["low"] <= 29
    assert missed["high"] <= 29


def test_a_perfect_detector_is_no_certainty() -> None:
    fake = np.arange(50) < 5
    found = area([(fake.astype(float), fake)])
    assert found.mean == found.high == 1
    assert found.low is not None
    assert found.low < 0.95


def test_seeds_that_differ_widen_the_limits_and_two_give_none() -> None:
    fake = np.arange(400) < 40
    rng = np.random.default_rng(5)
    noise = rng.normal(size=400)
    alike = [(noise + 0.8 * fake, fake)] * 3
    apart = [(noise + shift * fake, fake) for shift in (0.2, 0.8, 1.4)]
    narrow, wide = area(alike), area(apart)
    assert narrow.low is not None
    assert wide.low is not None
    assert wide.low < narrow.low - 0.1
    two = area(apart[:2])
    assert (two.low, two.high) == (None, None)


def test_nobody_to_find_and_users_that_differ_are_refused() -> None:
    with pytest.raises(NotApplicable, match="fake and genuine"):
        auc(np.arange(3.0), np.zeros(3, bool))
    with pytest.raises(InputError, match="without NaN"):
        roc(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(InputError, match="same genuine users"):
        area([(np.arange(3.0), np.arange(3) < 1), (np.arange(4.0), np.arange(4) < 1)])
