"""What must hold of verdicts whatever the measurements."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robust.errors import NotApplicable
from robust.statistics import Judgement, Kind, change_limits, contrast, judge, limits, p_above, p_below

Float = NDArray[np.float64]
KINDS: list[Kind] = ["drop", "rise", "level"]


@st.composite
def measured(draw: st.DrawFn, seeds: tuple[int, ...] = (1, 3, 4, 5, 10), missing: bool = True) -> tuple[Float, Float]:
    """Clean and attacked [S, n] in [0, 1]: zero-inflated, with user and seed effects, some users missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.sampled_from(seeds)), draw(st.integers(30, 400)))
    level, loss = draw(st.sampled_from([0.05, 0.3, 0.9])), draw(st.sampled_from([0.0, 0.02, 0.1, 0.5]))
    clean = (rng.random(shape[1]) < level) * rng.uniform(0.3, 1, shape)
    attacked = np.clip(clean * (rng.random(shape) > loss) + 0.02 * rng.standard_normal((shape[0], 1)), 0, 1)
    if missing and draw(st.booleans()):
        clean[rng.random(shape) < 0.1] = np.nan
    return clean, attacked


def judged(arms: tuple[Float, Float], kind: Kind, limit: float, alpha: float = 0.05) -> Judgement:
    try:
        return judge(*arms, kind=kind, limit=limit, fixed_model=len(arms[0]) == 1, alpha=alpha)
    except NotApplicable:
        assume(False)
        raise


cases = given(measured(), st.sampled_from(KINDS), st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.6]))


@settings(max_examples=60, deadline=None)
@cases
def test_verdict_and_interval_agree(arms: tuple[Float, Float], kind: Kind, limit: float) -> None:
    found = judged(arms, kind, limit)
    if found.low is None or found.high is None:
        assert found.verdict == "INCONCLUSIVE"
        return
    assert found.low <= found.change <= found.high or (kind == "drop" and found.high == 1.0)
    assert (found.verdict == "FAIL") == (found.low > limit)
    if found.verdict == "PASS":
        assert found.high < limit
    assert (found.p_fail <= 0.05) == (found.verdict == "FAIL")


@settings(max_examples=60, deadline=None)
@cases
def test_p_values_invert_the_interval(arms: tuple[Float, Float], kind: Kind, limit: float) -> None:
    values, threshold, worst = contrast(*arms, kind, limit)
    for alpha in (0.001, 0.01, 0.05, 0.3, 0.7):
        found = limits(values, alpha=alpha, worst=worst)
        assert (p_above(values, threshold, worst) < alpha) == (found.low > threshold)
        assert (p_below(values, threshold, worst) < alpha) == (found.high < threshold)


@settings(max_examples=60, deadline=None)
@cases
def test_the_interval_of_the_change_is_the_set_of_bounds_not_rejected(
    arms: tuple[Float, Float], kind: Kind, limit: float
) -> None:
    try:
        found = change_limits(*arms, kind, 0.02)
    except NotApplicable:
        assume(False)
    values, threshold, worst = contrast(*arms, kind, limit)
    tested = limits(values, alpha=0.02, worst=worst)
    assert (tested.low > threshold) == (found.low > limit)
    if found.high < 1.0:  # a drop is at most 1 without any test
        assert (tested.high < threshold) == (found.high < limit)


@settings(max_examples=60, deadline=None)
@given(measured(seeds=(1, 3)), st.sampled_from(KINDS), st.sampled_from([0.01, 0.1, 0.3]))
def test_a_smaller_alpha_decides_nothing_new(arms: tuple[Float, Float], kind: Kind, limit: float) -> None:
    strict, usual = judged(arms, kind, limit, alpha=0.01), judged(arms, kind, limit, alpha=0.05)
    assert strict.verdict in (usual.verdict, "INCONCLUSIVE")


@settings(max_examples=60, deadline=None)
@cases
def test_a_wider_bound_is_never_judged_worse(arms: tuple[Float, Float], kind: Kind, limit: float) -> None:
    order = ["FAIL", "INCONCLUSIVE", "PASS"]
    tight, wide = judged(arms, kind, limit), judged(arms, kind, limit * 1.5)
    assert order.index(wide.verdict) >= order.index(tight.verdict) or wide.seeds_used < tight.seeds_used


@settings(max_examples=40, deadline=None)
@given(measured(seeds=(3, 5)), st.sampled_from(KINDS), st.integers(0, 1_000))
def test_the_order_of_users_does_not_matter(arms: tuple[Float, Float], kind: Kind, shuffle: int) -> None:
    order = np.random.default_rng(shuffle).permutation(arms[0].shape[1])
    here = judged(arms, kind, 0.1)
    there = judged((arms[0][:, order], arms[1][:, order]), kind, 0.1)
    assert here.verdict == there.verdict
    assert np.allclose([here.low or 0, here.high or 0], [there.low or 0, there.high or 0])


@settings(max_examples=40, deadline=None)
@given(measured(missing=False), st.sampled_from([0.001, 0.01, 0.05, 0.2]))
def test_limits_widen_as_alpha_shrinks(arms: tuple[Float, Float], alpha: float) -> None:
    wide = limits(arms[1] - arms[0], alpha=alpha / 2, worst=(-1, 1))
    narrow = limits(arms[1] - arms[0], alpha=alpha, worst=(-1, 1))
    assert wide.low < narrow.low <= narrow.high < wide.high
