"""Changed rows keep their promises for all shapes of log and budget; definitions are read one user at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robust.attack import PoisoningAttack
from robust.attacks.tampering.casper import Casper
from robust.attacks.tampering.position_removal import PositionRemoval
from robust.attacks.tampering.random_tampering import RandomTampering
from robust.attacks.tampering.timestamps import Timestamps
from robust.log import InteractionLog, LogEdit
from robust.threat import Budget, Degrade
from tests.toys import view

seeds = st.integers(0, 2**32 - 1)
lengths = st.lists(st.integers(0, 9), min_size=1, max_size=6)


def log_of(lengths: list[int], seed: int) -> InteractionLog:
    """Users of these lengths, ties in time, five items; no time is 0, so that times are no positions."""
    rng, rows = np.random.default_rng(seed), sum(lengths)
    time = rng.integers(7, 40, rows)
    users = np.repeat(np.arange(len(lengths)), lengths)
    return InteractionLog.from_columns(users, rng.integers(1, 6, rows), time, n_users=len(lengths), n_items=5)


def edit(attack: PoisoningAttack, log: InteractionLog, rows: int, seed: int) -> LogEdit:
    return attack(view(log=log), Degrade(), Budget(rows=rows), np.random.default_rng(seed)).edit


@given(lengths, st.sampled_from(["beginning", "middle", "end"]), st.integers(1, 6), st.integers(0, 3), seeds)
def test_position_removal_is_the_papers_slices(lengths: list[int], where: Any, n: int, keep: int, seed: int) -> None:
    log = log_of(lengths, seed)
    edited = edit(PositionRemoval(where=where, n=n, keep=keep), log, len(log), seed).apply(log)
    for user, length in enumerate(lengths):
        items = log.item[log.user == user].tolist()
        gone = max(min(n, length - keep), 0)
        kept = {
            "beginning": items[gone:],
            "middle": items[: (length - gone) // 2] + items[(length + gone) // 2 :],
            "end": items[: length - gone],
        }[where]
        assert edited.item[edited.user == user].tolist() == kept


@given(lengths, st.integers(0, 30), seeds)
def test_budgets_are_spent_whole_and_larger_ones_go_on(lengths: list[int], rows: int, seed: int) -> None:
    log = log_of(lengths, seed)
    attacks: list[PoisoningAttack] = [
        Casper(window=3),
        Casper(operation="insertion"),
        RandomTampering(operation="replacement"),
        RandomTampering(operation="move"),
    ]
    if len(log):  # no rows are positions of rows
        attacks += [Timestamps(kind="burst", seconds=5), Timestamps(kind="quantise", seconds=10, ties="shuffled")]
    for attack in attacks:
        less, more = edit(attack, log, rows, seed), edit(attack, log, rows + 1, seed)
        assert less.touched_rows == min(rows, len(log))
        chosen = [
            np.concatenate([e.remove, e.replace_rows, e.move_rows, e.insert_times]).tolist() for e in (less, more)
        ]
        assert set(chosen[0]) <= set(chosen[1])
        edited = less.apply(log)
        if len(edited):
            assert log.timestamp.min() <= edited.timestamp.min()
            assert edited.timestamp.max() <= log.timestamp.max()
