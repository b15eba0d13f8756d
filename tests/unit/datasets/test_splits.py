"""Splits and filters on a log that a hand can follow."""

from __future__ import annotations

import numpy as np
import pytest

from robust.datasets import default_seen, global_time, is_positional, k_core, leave_last_out, repeat_share
from robust.errors import InputError
from robust.log import InteractionLog

# user 0: 1 2 3, user 1: 2, user 2: 4 4 (both at time 60), user 3: 1 5; user 4 has no rows
LOG = InteractionLog.from_columns(
    [0, 0, 0, 1, 2, 2, 3, 3], [1, 2, 3, 2, 4, 4, 1, 5], [10, 20, 70, 30, 60, 60, 80, 90], n_users=5, n_items=6
)


def test_leave_last_out() -> None:
    split = leave_last_out(LOG)
    assert split.users.tolist() == [0, 2, 3]
    assert split.targets.tolist() == [3, 4, 5]
    assert split.targets.dtype == np.int32
    assert split.train.user.tolist() == [0, 0, 1, 2, 3]
    assert split.train.item.tolist() == [1, 2, 2, 4, 1]
    assert split.train.n_users == 5
    assert split.unseen_target_share == pytest.approx(2 / 3)
    assert split.notes == ("1 users with one interaction are in train but not evaluated",)


def test_histories_are_the_newest_train_rows() -> None:
    batch = leave_last_out(LOG).histories(3)
    assert batch.items.tolist() == [[0, 1, 2], [0, 0, 4], [0, 0, 1]]
    assert batch.users.tolist() == [0, 2, 3]
    assert leave_last_out(LOG).histories(1).items.tolist() == [[2], [4], [1]]


def test_global_time_cuts_everyone_at_one_moment() -> None:
    split = global_time(LOG, 0.6)  # the fifth of eight times is 60: both rows at 60 stay in train
    assert split.train.item.tolist() == [1, 2, 2, 4, 4]
    assert split.users.tolist() == [0]
    assert split.targets.tolist() == [3]
    assert split.histories(4).items.tolist() == [[0, 0, 1, 2]]
    assert split.notes[0].startswith("1 users who begin after the cut")
    assert split.notes[1].startswith("2 rows after the cut")


def test_global_time_takes_the_first_row_after_the_cut() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 0], [1, 2, 3, 4], [0, 5, 9, 9])
    split = global_time(log, 0.5)
    assert split.targets.tolist() == [3]


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 90.0])
def test_a_share_outside_its_range(share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        global_time(LOG, share)


def test_positions_are_no_times() -> None:
    log = InteractionLog.from_columns([0, 0, 1, 1, 1], [1, 2, 1, 2, 3], [0, 1, 0, 1, 2])
    assert is_positional(log)
    assert not is_positional(LOG)
    with pytest.raises(InputError, match="leave-last-out"):
        global_time(log)


def test_positions_stay_positions_in_a_core_and_a_split() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 1, 1], [1, 9, 2, 1, 2], [0, 1, 2, 0, 1])
    core = k_core(log, 2)
    assert core.item.tolist() == [1, 2, 1, 2]
    assert is_positional(core)
    assert is_positional(leave_last_out(core).train)


def test_nobody_to_evaluate() -> None:
    with pytest.raises(InputError, match="no user has two interactions"):
        leave_last_out(InteractionLog.from_columns([0, 1], [1, 1], [5, 6]))
    with pytest.raises(InputError, match="nobody has rows both"):
        global_time(InteractionLog.from_columns([0, 0], [1, 2], [5, 5]))


def test_core_peels_until_nothing_changes() -> None:
    # item 3 falls first, then user 2 is left with one row, and item 2 with it
    log = InteractionLog.from_columns([0, 0, 1, 1, 2, 2, 0], [1, 4, 1, 4, 2, 3, 2], [1, 2, 3, 4, 5, 6, 7])
    core = k_core(log, 2)
    assert core.user.tolist() == [0, 0, 1, 1]
    assert core.item.tolist() == [1, 4, 1, 4]
    assert (core.n_users, core.n_items) == (log.n_users, log.n_items)
    assert k_core(log, 1) is log


def test_repeats() -> None:
    assert repeat_share(LOG) == 1 / 8
    assert default_seen(LOG) == "keep"
    never = InteractionLog.from_columns(np.zeros(200), np.arange(1, 201), np.arange(200))
    assert repeat_share(never) == 0
    assert default_seen(never) == "exclude"
    once = InteractionLog.from_columns(np.zeros(200), [*range(1, 200), 1], np.arange(200))
    assert default_seen(once) == "exclude"  # 0.5%
    assert repeat_share(LOG.rows(np.zeros(8, dtype=bool))) == 0
