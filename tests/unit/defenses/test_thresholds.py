"""From suspicion to suspects."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from robust.defense import Detector
from robust.defense.noise import keyed_uniform
from robust.defense.thresholds import above_quantile, conformal_p_values, false_discovery_rate, most_suspicious
from robust.errors import InputError
from robust.log import InteractionLog


class ByUser(Detector):
    """The higher its number, the more suspicious is a user."""

    name: ClassVar[str] = "by-user"
    source: ClassVar[str] = "made for this test"

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.arange(log.n_users, dtype=float)


def log_of(users: int = 50, empty: int = 10) -> InteractionLog:
    """`empty` users without rows first; user u begins at time −u, so that the last came first."""
    user = np.repeat(np.arange(empty, users), 2).astype(np.int32)
    item, step = (np.tile(pair, users - empty) for pair in (np.array([1, 2]), np.array([0, 1])))
    return InteractionLog(user, item.astype(np.int32), step.astype(np.int64) - user, n_users=users, n_items=2)


def flagged(**threshold: Any) -> list[int]:
    log = log_of()
    detector = ByUser(**threshold)
    return np.flatnonzero(detector.suspects(detector.suspicion(log, np.random.default_rng(0)), log)).tolist()


def test_each_threshold_flags_the_most_suspicious_of_the_active_users() -> None:
    assert flagged(share=0.1) == [46, 47, 48, 49]
    assert flagged() == [49]  # .03 of 40 is one
    assert flagged(quantile=0.9) == [46, 47, 48, 49]


def test_of_equals_the_first_are_flagged_by_count_and_none_by_quantile() -> None:
    same = np.zeros(10)
    assert np.flatnonzero(most_suspicious(same, 2)).tolist() == [0, 1]
    assert not above_quantile(same, 0.5).any()
    assert not most_suspicious(np.full(3, -np.inf), 2).any()


def test_conformal_p_values_count_the_calibration_users_that_are_as_suspicious() -> None:
    calibration = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(conformal_p_values(np.array([0.0, 2.0, 3.5]), calibration), [4 / 4, 3 / 4, 1 / 4])


@pytest.mark.parametrize("level", [0.1, 0.3])
def test_the_false_discovery_rate_is_kept_and_fakes_are_found(level: float) -> None:
    """200 populations of 300 genuine users, of whom 150 are trusted, and 30 fakes a little more suspicious."""
    rng = np.random.default_rng(0)
    rates, found = [], []
    for _ in range(200):
        suspicion = np.concatenate([rng.normal(size=300), rng.normal(3, 1, size=30)])
        trusted = np.arange(330) < 150
        flags = false_discovery_rate(suspicion, trusted, level)
        assert not flags[trusted].any()
        rates.append(flags[150:300].sum() / max(flags.sum(), 1))
        found.append(flags[300:].mean())
    assert np.mean(rates) <= level + 2 * np.std(rates) / np.sqrt(len(rates))
    assert np.mean(found) > 0.5


def test_the_oldest_accounts_are_trusted_where_a_share_is_given() -> None:
    # users 30…49 came first and are trusted, so nobody is left who is more suspicious than they are
    assert flagged(fdr=0.2, trusted=0.5) == []
    assert flagged(fdr=0.2, trusted=tuple(range(10, 30))) == list(range(30, 50))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"share": 0.1, "quantile": 0.9}, "one threshold"),
        ({"fdr": 0.1}, "trusted"),
        ({"trusted": 0.1}, "fdr"),
        ({"share": 1.0}, "less than 1"),
        ({"quantile": 0.0}, "greater than 0"),
        ({"fdr": 1.5, "trusted": 0.1}, "less than 1"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ByUser(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"share": 0.02}, "less than one user"),
        ({"fdr": 0.1, "trusted": 0.1}, "at least 9 are needed"),
        ({"fdr": 0.1, "trusted": (50,)}, "not among 50 users"),
        ({"fdr": 0.1, "trusted": tuple(range(50))}, "nobody is left"),
    ],
)
def test_thresholds_that_can_flag_nobody_on_a_log_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ByUser(**given).check_log(log_of())


def test_keyed_noise_is_the_rows_own_and_uniform() -> None:
    items = np.random.default_rng(0).integers(1, 50, size=(500, 6)).astype(np.int32)
    drawn = keyed_uniform(3, items, 20)
    assert np.array_equal(keyed_uniform(3, items[7:9], 20), drawn[7:9]), "whoever is asked beside it"
    assert np.array_equal(keyed_uniform(3, np.pad(items, ((0, 0), (4, 0))), 20), drawn), "padding does not count"
    assert np.array_equal(keyed_uniform(3, items, 5), drawn[:, :5])
    for other in (
        keyed_uniform(4, items, 20),
        keyed_uniform(3, items, 20, stream=1),
        keyed_uniform(3, items[::-1], 20),
    ):
        assert abs(np.corrcoef(other.ravel(), drawn.ravel())[0, 1]) < 0.05
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.abs(np.histogram(drawn, bins=10, range=(0, 1))[0] / drawn.size - 0.1).max() < 0.01
