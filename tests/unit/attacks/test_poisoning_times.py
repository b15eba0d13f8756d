"""When fake profiles act."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from robust.attacks.poisoning.random import Random
from robust.attacks.poisoning.times import BURST, TIMES, Times, burst, policy, recent, uniform
from robust.log import InteractionLog
from robust.threat import Budget, Knowledge, Promote
from tests.toys import taste_log, view

LOG = taste_log()
FIRST, LAST = int(LOG.timestamp.min()), int(LOG.timestamp.max())
RNG = np.random.default_rng


def test_uniform_times_fill_the_span() -> None:
    times = uniform(LOG, RNG(0), (2000, 3))
    share = (times - FIRST) / (LAST - FIRST)
    assert abs(float(share.mean()) - 0.5) < 5 * 0.29 / 6000**0.5
    assert float(share.min()) < 0.001
    assert float(share.max()) > 0.999
    # the expected places of three sorted uniform draws
    assert share.mean(axis=0) == pytest.approx([0.25, 0.5, 0.75], abs=0.03)


def test_a_burst_is_one_window_for_all_fake_users() -> None:
    log = InteractionLog.from_columns(LOG.user, LOG.item, LOG.timestamp * 100, n_users=LOG.n_users, n_items=LOG.n_items)
    windows = [burst(log, RNG(seed), (50, 9)) for seed in range(30)]
    assert all(int(times.max() - times.min()) <= BURST for times in windows)
    assert all(int(times.max() - times.min()) > 0.9 * BURST for times in windows), "the whole of it"
    begin = np.array([times.min() for times in windows])
    assert np.ptp(begin) > 0.5 * (log.timestamp.max() - log.timestamp.min()), "anywhere"


def test_a_burst_of_many_events_takes_as_many_units() -> None:
    times = burst(InteractionLog.from_columns([0, 0], [1, 2], [0, 10 * BURST]), RNG(0), (2, BURST + 11))
    assert np.all(np.diff(times, axis=1) == 1)


def test_recent_profiles_end_one_real_gap_before_the_last_row() -> None:
    log = InteractionLog.from_columns([0] * 6, [1, 2, 3, 1, 2, 3], np.arange(0, 600, 100))
    assert recent(log, RNG(0), (3, 3)).tolist() == [[200, 300, 400]] * 3
    assert recent(log, RNG(0), (2, 6)).tolist() == [[0, 100, 200, 300, 400, 500]] * 2, "no room for a pause"
    pauses = LAST - recent(LOG, RNG(0), (400, 8))[:, -1]
    gaps = np.diff(LOG.timestamp)[LOG.user[1:] == LOG.user[:-1]]
    assert set(pauses.tolist()) <= set(gaps.tolist())
    assert len(set(pauses.tolist())) > 50


@pytest.mark.parametrize("name", get_args(Times))
def test_no_profile_acts_after_the_last_row_whatever_the_log(name: Times) -> None:
    tied = InteractionLog.from_columns([0, 0, 1], [1, 2, 1], [7, 7, 7])
    positions = InteractionLog.from_columns(np.repeat([0, 1], 5), np.tile(np.arange(1, 6), 2), np.tile(np.arange(5), 2))
    for log in (tied, positions, LOG):
        for length in (1, 5, 40):
            times = policy(name)(log, RNG(1), (6, length))
            assert times.shape == (6, length)
            assert np.all(np.diff(times, axis=1) > 0)
            assert times.max() <= log.timestamp.max()
            if log.timestamp.max() - log.timestamp.min() >= length - 1:
                assert times.min() >= log.timestamp.min()
    assert policy(name)(LOG, RNG(0), (0, 4)).shape == (0, 4)
    empty = InteractionLog.from_columns([], [], [], n_users=1, n_items=3)
    assert np.all(np.diff(policy(name)(empty, RNG(0), (2, 4)), axis=1) > 0)


def test_a_policy_sees_no_items() -> None:
    seen: list[InteractionLog] = []

    def spy(log: InteractionLog, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        seen.append(log)
        return np.tile(np.arange(shape[1]), (shape[0], 1))

    access = view(log=LOG, knowledge=Knowledge(log="popularity"))
    assert access.timeline(RNG(0), (2, 3), spy).tolist() == [[0, 1, 2]] * 2
    assert not seen[0].item.any()
    assert np.array_equal(seen[0].timestamp, LOG.timestamp)


def test_times_are_a_field_of_every_template() -> None:
    budget, goal = Budget(users=4, profile_length=6), Promote(items=(1,))
    edits = {name: Random(times=name)(view(log=LOG), goal, budget, RNG(0)).edit for name in TIMES}
    assert len({edit.times.tobytes() for edit in edits.values() if edit.times is not None}) == len(TIMES)
    assert len({edit.add.tobytes() for edit in edits.values()}) == 1, "and change nothing else"
