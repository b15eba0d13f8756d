"""Verdicts: what is bounded, when there is a look, and what the sentence says."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.errors import InputError, NotApplicable, UnknownName
from robust.statistics import Judgement, Kind, change_limits, contrast, judge, p_above
from robust.statistics.contrasts import CleanMeanNearZero
from robust.statistics.moments import moments, quantile, with_pseudo_users

Float = NDArray[np.float64]


def arms(drop: float, seeds: int = 5, n: int = 4_000, hit_ratio: float = 0.5) -> tuple[Float, Float]:
    """Hits of which a share of `drop` is lost, the same number under each seed."""
    clean = np.zeros((seeds, n))
    attacked = np.zeros((seeds, n))
    hits = int(hit_ratio * n)
    clean[:, :hits] = 1
    attacked[:, : round(hits * (1 - drop))] = 1
    return clean, attacked


@pytest.mark.parametrize(("drop", "verdict"), [(0.0, "PASS"), (0.03, "PASS"), (0.10, "INCONCLUSIVE"), (0.3, "FAIL")])
def test_a_planted_drop_is_judged(drop: float, verdict: str) -> None:
    judgement = judge(*arms(drop), kind="drop", limit=0.10)
    assert judgement.verdict == verdict
    assert judgement.change == pytest.approx(drop)
    assert judgement.seeds_used == (5 if verdict == "INCONCLUSIVE" else 3)


def test_a_relative_interval_is_fiellers() -> None:
    """Against the closed form: the roots of (D − ρC)² = t²·var(d − ρc), on the sample with its pseudo-users."""
    rng = np.random.default_rng(0)
    clean = rng.random((1, 80))
    attacked = np.clip(clean - 0.2 * rng.random((1, 80)), 0, 1)
    found = change_limits(clean, attacked, "drop", 0.05)
    for pseudo, root in (((0.0, 1.0), 0), ((1.0, 0.0), 1)):
        both = moments(with_pseudo_users(np.stack([clean, attacked]), pseudo))
        to_difference = np.array([[1.0, -1.0], [1.0, 0.0]])  # (clean, attacked) → (clean − attacked, clean)
        d, c = to_difference @ both.mean
        v = to_difference @ both.users @ to_difference.T * quantile(0.05, 81) ** 2
        roots = np.sort(np.roots([c**2 - v[1, 1], -2 * (d * c - v[0, 1]), d**2 - v[0, 0]]).real)
        assert (found.low, found.high)[root] == pytest.approx(roots[root])


def test_a_drop_is_known_to_be_at_most_everything() -> None:
    clean, attacked = np.full(30, 0.5), np.zeros(30)
    attacked[0] = 0.5  # too little is left to be told from nothing
    found = change_limits(clean, attacked, "drop", 0.05)
    assert found.mean == pytest.approx(29 / 30)
    assert found.high == 1.0


def test_a_rise_is_absolute_and_a_level_is_the_value() -> None:
    zeros, some = np.zeros((5, 2_000)), np.zeros((5, 2_000))
    some[:, :100] = 1
    assert judge(zeros, some, kind="rise", limit=0.02).verdict == "FAIL"
    assert judge(some, some, kind="rise", limit=0.02).verdict == "PASS"
    assert judge(some, some, kind="level", limit=0.02).verdict == "FAIL"
    assert judge(zeros, some, kind="level", limit=0.2).change == pytest.approx(0.05)


def test_a_shift_of_ranks_has_a_range_of_its_own() -> None:
    shift = np.random.default_rng(1).normal(0.1, 1, (3, 500))
    judgement = judge(np.zeros_like(shift), shift, kind="rise", limit=1.0, scale=11.7)
    assert judgement.verdict == "PASS"
    with pytest.raises(InputError, match="scale"):
        judge(np.zeros_like(shift), shift, kind="rise", limit=1.0)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_inconclusive(seeds: int) -> None:
    judgement = judge(*arms(0.9, seeds), kind="drop", limit=0.10)
    assert judgement.verdict == "INCONCLUSIVE"
    assert judgement.reason.startswith(f"Too few seeds: {seeds} of the 3")
    assert judgement.low is None
    assert judgement.p_fail == 1.0


def test_a_small_drop_is_claimed_from_five_seeds_on_and_broken_from_three() -> None:
    three = judge(*arms(0.0, 3), kind="drop", limit=0.05)
    assert three.verdict == "INCONCLUSIVE"
    assert "needs 5 seeds" in three.reason
    assert judge(*arms(0.0, 5), kind="drop", limit=0.05).verdict == "PASS"
    assert judge(*arms(0.5, 3), kind="drop", limit=0.05).verdict == "FAIL"


@pytest.mark.parametrize(("seeds", "used", "alpha"), [(3, 3, 0.01), (4, 3, 0.01), (7, 5, 0.015), (12, 10, 0.025)])
def test_between_looks_the_last_look_stands(seeds: int, used: int, alpha: float) -> None:
    judgement = judge(*arms(0.1, seeds), kind="drop", limit=0.10)
    assert (judgement.seeds_used, judgement.alpha) == (used, alpha)


def test_the_first_decisive_look_stands() -> None:
    clean, attacked = arms(0.0, 10)
    attacked[3:] = 0  # everything collapses later, which a look at 3 has not seen
    judgement = judge(clean, attacked, kind="drop", limit=0.10)
    assert (judgement.verdict, judgement.seeds_used) == ("PASS", 3)


def test_p_fail_is_the_least_over_looks_at_the_share_of_alpha_spent() -> None:
    rng = np.random.default_rng(2)
    clean = np.full((5, 300), 0.5)
    attacked = np.clip(0.5 + 0.06 + 0.2 * rng.standard_normal((5, 300)), 0, 1)
    judgement = judge(clean, attacked, kind="rise", limit=0.05)
    each = [
        p_above(*contrast(clean[:s], attacked[:s], "rise", 0.05)) * 0.05 / level for s, level in ((3, 0.01), (5, 0.015))
    ]
    assert judgement.verdict == "INCONCLUSIVE"
    assert judgement.p_fail == pytest.approx(min(1.0, *each))


def test_draws_of_the_attack_on_a_fixed_model_are_averaged_per_user() -> None:
    rng = np.random.default_rng(3)
    clean, attacked = rng.random((4, 100)), rng.random((4, 100))
    one = judge(clean.mean(axis=0), attacked.mean(axis=0), kind="rise", limit=0.1, fixed_model=True)
    several = judge(clean, attacked, kind="rise", limit=0.1, fixed_model=True)
    assert several.low == pytest.approx(one.low)
    assert several.high == pytest.approx(one.high)
    assert (several.seeds_used, several.alpha) == (1, 0.05)


def test_a_user_missing_in_some_draws_counts_with_the_others() -> None:
    rng = np.random.default_rng(4)
    clean, attacked = rng.random((4, 100)), rng.random((4, 100))
    clean[0, :30] = attacked[3, 20:40] = np.nan
    clean[:, 99] = np.nan
    both = np.isnan(clean) | np.isnan(attacked)
    clean[both] = attacked[both] = np.nan
    one = judge(
        np.nanmean(clean[:, :99], axis=0),
        np.nanmean(attacked[:, :99], axis=0),
        kind="rise",
        limit=0.1,
        fixed_model=True,
    )
    several = judge(clean, attacked, kind="rise", limit=0.1, fixed_model=True)
    assert (several.low, several.high) == pytest.approx((one.low, one.high))
    assert several.n_users == one.n_users == 99


def test_users_present_under_any_seed_are_counted() -> None:
    clean, attacked = arms(0.0, 3, 2_000)
    clean[0, :500] = clean[1, 400:600] = np.nan
    clean[:, 1_999] = np.nan
    judgement = judge(clean, attacked, kind="drop", limit=0.1)
    assert judgement.n_users == 1_999
    assert "(1,999 users, 3 seeds)" in judgement.reason


@pytest.mark.parametrize("alpha", [-0.1, 0.0, 0.5, 0.9])
def test_an_error_rate_is_below_a_coins(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        judge(*arms(0.0), kind="drop", limit=0.1, alpha=alpha)


def test_a_clean_mean_that_three_seeds_leave_open_is_looked_at_again_with_five() -> None:
    """Seed means .2, .5, .3: mean .33, and t(2 degrees, 1%) · .088 = .61. Two more seeds of .5: .40 against .21."""
    clean = np.zeros((5, 1_000))
    for seed, mean in enumerate((0.2, 0.5, 0.3, 0.5, 0.5)):
        clean[seed, : int(1_000 * mean)] = 1
    three = judge(clean[:3], clean[:3], kind="drop", limit=0.3)
    assert (three.low, three.reason[:20]) == (None, "Not yet to be judged")
    five = judge(clean, clean, kind="drop", limit=0.3)
    assert five.low is not None
    assert (five.seeds_used, five.alpha) == (5, 0.015)


def test_a_judgement_and_its_limits_stand() -> None:
    judgement = judge(*arms(0.3), kind="drop", limit=0.10)
    with pytest.raises(FrozenInstanceError):
        judgement.verdict = "PASS"  # type: ignore[misc]
    found = change_limits(*arms(0.3), "drop", 0.05)
    with pytest.raises(FrozenInstanceError):
        found.low = 0.0  # type: ignore[misc]


def test_a_relative_bound_on_nothing_is_refused() -> None:
    with pytest.raises(NotApplicable, match="above 0"):
        judge(np.zeros((3, 100)), np.zeros((3, 100)), kind="drop", limit=0.1)
    few = np.zeros((1, 60))
    few[0, :2] = 1
    with pytest.raises(CleanMeanNearZero, match="cannot be told from 0"):
        change_limits(few, few, "drop", 0.01)
    judgement = judge(few, few, kind="drop", limit=0.1, fixed_model=True, alpha=0.01)
    assert judgement.verdict == "INCONCLUSIVE"
    assert "cannot be told from 0" in judgement.reason


def test_an_inconclusive_verdict_says_how_many_users_are_missing() -> None:
    """The number that it names is the number that passes."""
    short = judge(*arms(0.0, 3, 100), kind="drop", limit=0.10)
    assert short.verdict == "INCONCLUSIVE"
    named = re.search(r"a PASS needs about (\d+) users, (\d+) more", short.reason)
    assert named is not None
    needed, more = map(int, named.groups())
    assert needed == 100 + more
    assert judge(*arms(0.0, 3, needed + 2), kind="drop", limit=0.10).verdict == "PASS"


@pytest.mark.parametrize(("lost", "verdict"), [(0.07, "PASS"), (0.14, "FAIL")])
def test_the_number_that_would_decide_decides(lost: float, verdict: str) -> None:
    """On a sample as it is, only larger."""

    def judged(n: int) -> Judgement:
        clean = np.where(np.arange(n) % 2, 0.9, 0.5)
        hit = (np.arange(n) % 100) / 100 < lost
        return judge(clean, np.where(hit, 0.0, clean), kind="drop", limit=0.10, fixed_model=True)

    few = judged(200)
    assert few.verdict == "INCONCLUSIVE"
    named = re.search(r"open: about ([\d,]+) users would decide it\.", few.reason)
    assert named is not None
    hundreds = int(named[1].replace(",", "")) // 100
    assert judged(100 * hundreds + 200).verdict == verdict
    assert judged(100 * hundreds - 100).verdict == "INCONCLUSIVE"


def test_where_neither_seeds_nor_users_would_decide_the_change_is_too_near() -> None:
    clean, attacked = arms(0.0, 10, 2_000)
    for seed in range(10):
        attacked[seed, 800 + 40 * seed :] = 0  # drops of 20, 16, 12, 8, 4 and five times 0%
    assert judge(clean, attacked, kind="drop", limit=0.05).reason.endswith(
        "is open: the change is too near to the bound."
    )


def test_an_inconclusive_verdict_names_the_next_look() -> None:
    clean, attacked = arms(0.0, 3, 2_000)
    attacked[0, 800:] = 0
    assert "5 seeds are the next look" in judge(clean, attacked, kind="drop", limit=0.10).reason


def test_sentences_are_in_report_units() -> None:
    assert "at least 2" in judge(*arms(0.3), kind="drop", limit=0.10).reason
    assert "beyond the bound of 10%" in judge(*arms(0.3), kind="drop", limit=0.10).reason
    rise = judge(*arms(0.0), kind="rise", limit=0.05).reason
    assert "with 99% confidence (4,000 users, 3 seeds), within the bound of 5 percentage points" in rise
    some = np.full((3, 2_000), 0.5)
    level = judge(some, some, kind="level", limit=0.6).reason
    assert re.match(r"The value is at most 0\.50\d with .* within the bound of 0\.6\.", level)
    shift = judge(0 * some, some, kind="rise", limit=1.5, scale=8.0).reason
    assert re.match(r"The rise is at most 0\.\d+ with .* within the bound of 1\.5\.", shift)
    fixed = judge(some[:1], some[:1], kind="drop", limit=0.1, fixed_model=True).reason
    assert fixed.startswith("The drop is at most")
    assert "(2,000 users)" in fixed


@pytest.mark.parametrize(
    ("kind", "limit", "message"),
    [("drop", 1.0, "less than 1"), ("rise", float("nan"), "expected a number")],
)
def test_bounds_that_bound_nothing_are_refused(kind: Kind, limit: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        judge(*arms(0.0), kind=kind, limit=limit)


def test_a_level_is_not_promised_what_an_unchanged_metric_would_be() -> None:
    """5% stays 5% with more users: about 520 of them tell it from 7%, not the 61 that a change of 0 needs."""
    for n in (60, 100):
        value = np.zeros((1, n))
        value[0, : n // 20] = 1
        reason = judge(value, value, kind="level", limit=0.07, fixed_model=True).reason
        (users,) = re.findall(r"about (\d+) users would decide it", reason)
        assert 500 < int(users) < 550
        assert "if nothing changes" not in reason


def test_one_user_is_too_few_and_is_not_called_nobody() -> None:
    with pytest.raises(NotApplicable, match="one user to measure"):
        judge([[0.1]], [[0.1]], kind="rise", limit=0.1, fixed_model=True)


def test_arms_that_do_not_match_are_refused() -> None:
    with pytest.raises(InputError, match="same users"):
        judge(np.zeros((3, 5)), np.zeros((3, 6)), kind="rise", limit=0.1)
    with pytest.raises(UnknownName, match="Did you mean 'drop'"):
        judge(*arms(0.0), kind="dorp", limit=0.1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lies in"):
        judge(np.full((3, 5), 2.0), np.ones((3, 5)), kind="drop", limit=0.1)


def test_importing_the_package_loads_no_scipy() -> None:
    import subprocess
    import sys

    code = "import sys, robust.statistics, robust.metrics.registry; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
