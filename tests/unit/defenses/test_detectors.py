"""Profile features, isolation forest, sequence likelihood, rank average: by hand, by brute force, on planted fakes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log as ln
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from robust import plugins
from robust.datasets.flights import load as flights
from robust.defense import Detector
from robust.defenses.sanitizers import profile_features as features_of
from robust.defenses.sanitizers.isolation_forest import IsolationForest
from robust.defenses.sanitizers.profile_features import NAMES, beside_length, profile_features, profile_keys
from robust.defenses.sanitizers.rank_average import RankAverage, power_mean, ranks
from robust.defenses.sanitizers.sequence_likelihood import (
    SequenceLikelihood,
    cross_fitted,
    robust_units,
    summaries,
)
from robust.defenses.sanitizers.supervised import Supervised
from robust.errors import InputError, UnknownName
from robust.log import InteractionLog, LogEdit
from robust.metrics.detection import auc
from tests.toys import chain_log, taste_log

QUICK: list[Detector] = [
    IsolationForest(trees=50),
    SequenceLikelihood(),
    Supervised(kinds=("random",)),
    RankAverage(members=("pca", {"name": "isolation-forest", "params": {"trees": 50}}, "sequence-likelihood")),
]


def lists(*sequences: list[int], n_items: int | None = None) -> InteractionLog:
    user = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    item = [item for sequence in sequences for item in sequence]
    return InteractionLog.from_columns(user, item, np.arange(len(item)), n_users=len(sequences), n_items=n_items)


def column(log: InteractionLog, name: str, **more: Any) -> NDArray[np.float64]:
    return profile_features(log, np.flatnonzero(log.lengths > 0), 0, **more)[:, NAMES.index(name)]


# holders: item 1 four, 2 two, 3 two, 4 one; user 2 has no rows, user 1 repeats an item
LOG = lists([1, 2, 3, 4], [1, 1, 2], [], [1, 3], [1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("degree_mean", [ln(9 / 4), ln(3), ln(3), ln(4)]),
        ("degree_range", [ln(4), ln(3), ln(3), 0.0]),
        ("degree_lower_quartile", [0.0, ln(2), ln(2), ln(4)]),
        ("length", [ln(4), ln(2), ln(2), 0.0]),
        # mean length 9/4, Σ of squared deviations 19/4, times 4 users
        ("length_deviation", [ln(1 + 7 / 19 * 4), ln(1 + 1 / 19 * 4), ln(1 + 1 / 19 * 4), ln(1 + 5 / 19 * 4)]),
        ("rdma", [ln((1 / 4 + 1 / 2 + 1 / 2 + 1) / 4), ln(3 / 8), ln(3 / 8), ln(1 / 4)]),
        ("wdma", [ln((1 / 16 + 1 / 4 + 1 / 4 + 1) / 4), ln(5 / 32), ln(5 / 32), ln(1 / 16)]),
        # cosines: 0–1 2/√8, 0–3 2/√8, 0–4 1/2, 1–3 1/2, 1–4 1/√2, 3–4 1/√2
        ("deg_sim", [(4 / 8**0.5) / 2, (2 / 8**0.5 + 0.5**0.5) / 2, (2 / 8**0.5 + 0.5**0.5) / 2, 0.5**0.5]),
        ("repetition", [1, 3 / 2, 1, 1]),
    ],
)
def test_features_by_hand(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(column(LOG, name, neighbours=2), expected, rtol=1e-6)


def test_entropy_over_tenths_of_the_rows() -> None:
    # ten items of clearly different popularity: one tenth of the rows cannot be hit by all, so count by brute force
    log = taste_log(users=60, n_items=30)
    popularity = np.bincount(log.item, minlength=31)
    levels = sorted(set(popularity.tolist()))
    upto = {level: sum(p for p in popularity.tolist() if p <= level) for level in levels}
    group = [min((upto[p] - 1) * 10 // len(log), 9) for p in popularity.tolist()]
    expected = []
    for user in range(log.n_users):
        counts = Counter(group[item] for item in set(log.item[log.user == user].tolist()))
        shares = np.array(list(counts.values())) / sum(counts.values())
        expected.append(-(shares * np.log(shares)).sum())
    np.testing.assert_allclose(column(log, "popularity_entropy"), expected, atol=1e-9)


def test_similarity_is_that_of_the_dense_matrix_and_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    log = taste_log(users=90)
    held = np.zeros((90, 81))
    held[log.user, log.item] = 1
    held /= np.linalg.norm(held, axis=1, keepdims=True)
    cosine = held @ held.T
    np.fill_diagonal(cosine, -1)
    expected = np.sort(cosine, axis=1)[:, -25:].mean(axis=1)
    monkeypatch.setattr(features_of, "BLOCK", 90 * 7)
    np.testing.assert_allclose(column(log, "deg_sim"), expected, atol=1e-5)


def test_reference_users_are_a_sample_that_leaves_oneself_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # all profiles differ in every item: whoever met themselves would have similarity above 0
    monkeypatch.setattr(features_of, "REFERENCES", 5)
    assert not column(lists(*([3 * u + 1, 3 * u + 2] for u in range(20))), "deg_sim", neighbours=1).any()


def test_beside_length_leaves_nothing_of_a_quadratic_in_log_length() -> None:
    length = np.array([3, 5, 8, 20, 50, 120])
    values = np.stack([2 + 3 * np.log(length) - np.log(length) ** 2, np.full(6, 7.0)], axis=1)
    np.testing.assert_allclose(beside_length(values, length), 0, atol=1e-9)
    assert np.isfinite(beside_length(values, np.full(6, 4))).all(), "users of one length have a mean to compare with"


def test_keys_go_by_the_items_held_and_the_seed() -> None:
    log = lists([1, 2, 3], [3, 1, 2], [1, 2], [2, 2, 1])
    keys = profile_keys(log, 5)
    assert keys[0] == keys[1], "order is no part of it"
    assert len(set(keys[1:].tolist())) == 3
    assert not np.isin(profile_keys(log, 6), keys).any()


def brute_force_surprise(log: InteractionLog, fold: NDArray[np.int64]) -> list[float]:
    """−log p by Witten and Bell's formula, with dictionaries."""
    found = []
    for user in range(log.n_users):
        own = log.item[log.user == user].tolist()
        others = [log.item[log.user == v].tolist() for v in range(log.n_users) if fold[v] != fold[user]]
        rows = [item for sequence in others for item in sequence]
        pairs = Counter(pair for sequence in others for pair in pairwise(sequence))
        for place, item in enumerate(own):
            p = (rows.count(item) + 1) / (len(rows) + log.n_items)
            if place:
                after = {y: c for (x, y), c in pairs.items() if x == own[place - 1]}
                if after:
                    p = (after.get(item, 0) + len(after) * p) / (sum(after.values()) + len(after))
            found.append(-ln(p))
    return found


def test_nobody_is_scored_by_a_chain_that_counted_them() -> None:
    log = chain_log(users=12, n_items=6, length=5, noise=0.4)
    fold = np.arange(12) % 3
    np.testing.assert_allclose(cross_fitted(log, fold), brute_force_surprise(log, fold), rtol=1e-9)


def test_summaries_by_hand() -> None:
    log = lists([1, 2, 3, 4], [1], [], [2, 3])
    surprise = np.array([1.0, 4.0, 2.0, 3.0, 5.0, 2.0, 4.0])
    found = summaries(log, surprise, window=2)
    expected = [[2.5, 3.0, 2.5, 1.25**0.5], [5.0, 5.0, 5.0, 0.0], [3.0, 3.0, 3.0, 1.0]]
    np.testing.assert_allclose(found, np.array(expected))
    # no window of three in the last: the whole of it
    wider = summaries(log, surprise, window=3)[:, 1:3]
    np.testing.assert_allclose(wider, np.array([[3, 7 / 3], [5, 5], [3, 3]]))


def test_robust_units_have_a_scale_for_each_side() -> None:
    # median 4; below it distances 0, 1, 2 (median 1), above it 0, 4, 8 (median 4)
    np.testing.assert_allclose(robust_units(np.array([2.0, 3, 4, 8, 12])), [2, 1, 0, 1, 2])
    # most at the median: the mean distance, (0 + 0 + 0 + 6) / 4
    np.testing.assert_allclose(robust_units(np.array([1.0, 1, 1, 7])), [0, 0, 0, 4])
    assert not robust_units(np.full(3, 2.5)).any()


def with_fakes(log: InteractionLog, profiles: NDArray[Any]) -> tuple[InteractionLog, NDArray[np.bool_]]:
    poisoned = LogEdit(add=profiles.astype(np.int32)).apply(log)
    return poisoned, np.arange(poisoned.n_users) >= log.n_users


def test_likelihood_is_two_sided() -> None:
    # genuine users jump a third of the time; fakes always jump, or never
    log = chain_log(users=400, n_items=20, length=20, noise=0.33)
    rng = np.random.default_rng(1)
    jumping = rng.integers(1, 21, size=(12, 20))
    walking = (rng.integers(0, 20, size=(12, 1)) + np.arange(20)) % 20 + 1
    for profiles in (jumping, walking):
        poisoned, fake = with_fakes(log, profiles)
        assert auc(SequenceLikelihood().suspicion(poisoned, np.random.default_rng(0)), fake) > 0.9


def test_copies_do_not_vouch_for_each_other() -> None:
    # many copies of one improbable sequence would make it probable, if some of them were counted for the others
    log = chain_log(users=300, n_items=20, length=15, noise=0.2)
    copies = np.tile(np.random.default_rng(3).integers(1, 21, 15), (15, 1))
    poisoned, fake = with_fakes(log, copies)
    assert auc(SequenceLikelihood().suspicion(poisoned, np.random.default_rng(0)), fake) > 0.95
    apart = cross_fitted(poisoned, np.arange(poisoned.n_users) % 5)
    together = cross_fitted(poisoned, (profile_keys(poisoned, 0) % np.uint64(5)).astype(np.int64))
    assert apart[fake[poisoned.user]].mean() < together[fake[poisoned.user]].mean() - 0.5


def test_the_forest_finds_profiles_of_rare_items() -> None:
    log = taste_log(users=400)
    rare = np.argsort(log.popularity[1:])[:30] + 1
    rng = np.random.default_rng(0)
    poisoned, fake = with_fakes(log, np.stack([rng.choice(rare, 15, replace=False) for _ in range(12)]))
    forest = IsolationForest()
    assert auc(forest.suspicion(poisoned, np.random.default_rng(0)), fake) > 0.95
    assert forest.suspects(forest.suspicion(poisoned, np.random.default_rng(0)), poisoned)[fake].mean() > 0.6


def test_supervised_finds_a_kind_that_it_was_not_trained_on() -> None:
    log = taste_log(users=400)
    popular = np.argsort(-log.popularity[1:])[:3] + 1
    rng = np.random.default_rng(0)
    filler = [rng.choice(np.setdiff1d(np.arange(1, 81), popular), 12, replace=False) for _ in range(15)]
    poisoned, fake = with_fakes(log, np.stack([np.concatenate([popular, items]) for items in filler]))
    assert auc(Supervised(kinds=("random",)).suspicion(poisoned, np.random.default_rng(0)), fake) > 0.85


@pytest.mark.parametrize("kind", ["alternating", "substitution"])
def test_kinds_that_cannot_be_simulated_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match=f"'{kind}' is no such attack"):
        Supervised(kinds=(kind,), share=0.1).check_log(taste_log(users=50))


class Fixed(Detector):
    """Suspects as it is told."""

    name: ClassVar[str] = "fixed"
    source: ClassVar[str] = "test"
    values: tuple[float, ...]

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.array(self.values)


def test_rank_average_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda kind, name: Fixed)
    log = lists([1], [1], [], [2], [2])
    one, other = (3.0, 1.0, 99.0, 2.0, np.inf), (0.0, 0.0, -5.0, 0.0, 1.0)
    members = tuple({"name": "fixed", "params": {"values": values}} for values in (one, other))
    found = RankAverage(members=members, power=2).suspicion(log, np.random.default_rng(0))
    first, second = np.array([5, 1, 3, 7]) / 8, np.array([3, 3, 3, 7]) / 8
    np.testing.assert_allclose(found[[0, 1, 3, 4]], np.sqrt((first**2 + second**2) / 2))
    assert found[2] == 0, "a user without rows has no rank, whatever a member says"
    plain = RankAverage(members=members, power=1).suspicion(log, np.random.default_rng(0))
    np.testing.assert_allclose(plain[[0, 1, 3, 4]], (first + second) / 2)


def test_a_silent_member_has_no_say() -> None:
    rng = np.random.default_rng(0)
    told = ranks(rng.random(50))
    silent = ranks(np.full(50, 0.1) + 1e-12 * rng.random(50))
    assert np.ptp(silent) == 0
    np.testing.assert_array_equal(rankdata(power_mean([told, silent, silent], 4)), rankdata(told))


def test_one_good_detector_among_bad_ones_is_heard_better_than_by_plain_ranks() -> None:
    # two detectors at AUC .92, three at chance and one whose least suspicious users are the fakes
    rng = np.random.default_rng(0)
    fake = np.arange(5000) < 250
    shifts = [2.0, 2.0, 0.0, 0.0, 0.0, -2.0]
    members = [ranks(rng.standard_normal(5000) + shift * fake) for shift in shifts]
    assert auc(power_mean(members, 4), fake) > 0.8 > auc(power_mean(members, 1), fake)


@pytest.mark.parametrize("detector", QUICK, ids=lambda detector: detector.name)
def test_other_user_numbers_permute_the_suspicion(detector: Detector) -> None:
    log = taste_log(users=150)
    poisoned, _ = with_fakes(log, np.random.default_rng(2).integers(1, 81, size=(8, 12)))
    renamed = np.random.default_rng(4).permutation(poisoned.n_users)
    other = InteractionLog.from_columns(
        renamed[poisoned.user], poisoned.item, poisoned.timestamp, n_users=poisoned.n_users, n_items=poisoned.n_items
    )
    before, after = (detector.suspicion(which, np.random.default_rng(0)) for which in (poisoned, other))
    np.testing.assert_allclose(after[renamed], before, rtol=1e-4)


@pytest.mark.parametrize("detector", QUICK, ids=lambda detector: detector.name)
def test_logs_without_much_in_them(detector: Detector) -> None:
    for log in (
        lists([], [], n_items=3),
        lists([1], n_items=1),
        lists([1], [], [1]),
        lists([1, 1, 1], [2], [1, 2], [2, 2]),
        lists(*([1, 2, 3] for _ in range(10))),
    ):
        found = detector.suspicion(log, np.random.default_rng(0))
        assert found.shape == (log.n_users,)
        assert np.isfinite(found).all()
        assert (found[log.lengths == 0] <= found.min()).all(), "users without rows are least suspicious"


def test_what_a_rank_average_cannot_do_is_said_before_training() -> None:
    log = taste_log(users=50)
    with pytest.raises(UnknownName, match="isolation-forrest"):
        RankAverage(members=("pca", "isolation-forrest"), share=0.1).check_log(log)
    with pytest.raises(InputError, match="'surprise' suspects nobody"):
        RankAverage(members=("surprise",), share=0.1).check_log(log)
    with pytest.raises(UnknownName, match="tree"):
        RankAverage(members=({"name": "isolation-forest", "params": {"tree": 3}},), share=0.1).check_log(log)
    RankAverage(members=({"name": "pca", "params": {"components": 2}}, "sequence-likelihood"), share=0.1).check_log(log)


def test_all_members_work_together_on_flights() -> None:
    log = flights()
    rng = np.random.default_rng(0)
    fakes = np.stack([rng.choice(log.n_items, 40, replace=False) + 1 for _ in range(30)])
    poisoned, fake = with_fakes(log, fakes)
    for name in ("isolation-forest", "sequence-likelihood"):
        detector = plugins.build("defenses", name, {})
        assert auc(detector.suspicion(poisoned, np.random.default_rng(0)), fake) > 0.9, name
    combined = plugins.build("defenses", "rank-average", {})
    assert auc(combined.suspicion(poisoned, np.random.default_rng(0)), fake) > 0.8


def test_a_member_that_cannot_judge_a_log_has_no_say_and_refuses_it_only_if_all_do() -> None:
    users, length = 40, 3
    item = np.random.default_rng(3).integers(1, 9, size=users * length)
    position = np.tile(np.arange(length), users)  # in place of times
    log = InteractionLog.from_columns(np.repeat(np.arange(users), length), item, position)
    with pytest.raises(InputError, match="none of its members"):
        RankAverage(members=("time-bursts",), share=0.1).check_log(log)
    several = RankAverage(members=("time-bursts", "pca"), share=0.1)
    several.check_log(log)
    alone = RankAverage(members=("pca",), share=0.1).suspicion(log, np.random.default_rng(0))
    both = several.suspicion(log, np.random.default_rng(0))
    assert np.array_equal(np.argsort(both, kind="stable"), np.argsort(alone, kind="stable"))
