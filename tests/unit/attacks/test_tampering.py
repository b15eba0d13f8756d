"""What happens to genuine rows: which, how many, and when they happen afterwards."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from robust import plugins
from robust.attack import PoisoningAttack
from robust.attacks.tampering.cascade import cascade_sizes, followers
from robust.attacks.tampering.casper import Casper
from robust.attacks.tampering.operations import share_out
from robust.attacks.tampering.position_removal import PositionRemoval
from robust.attacks.tampering.random_tampering import RandomTampering
from robust.attacks.tampering.timestamps import Timestamps
from robust.errors import NotApplicable, NotKnown
from robust.log import InteractionLog, LogEdit
from robust.threat import Budget, Degrade, Knowledge, Promote
from tests.toys import taste_log, view

LOG = taste_log()
ONE = InteractionLog.from_columns([0] * 11, range(1, 12), range(0, 110, 10), n_users=2)
"""One user with 11 train rows, and one with none."""


def edit(attack: PoisoningAttack, log: InteractionLog, rows: int, seed: int = 0) -> LogEdit:
    return attack(view(log=log), Degrade(), Budget(rows=rows), np.random.default_rng(seed)).edit


def left(attack: PoisoningAttack, log: InteractionLog, rows: int) -> list[int]:
    return [int(item) for item in edit(attack, log, rows).apply(log).item]


# --- position removal


@pytest.mark.parametrize(
    ("where", "n", "kept"),
    [
        ("beginning", 4, [5, 6, 7, 8, 9, 10, 11]),
        ("end", 4, [1, 2, 3, 4, 5, 6, 7]),
        # a = ⌊(11 − 4)/2⌋ = 3 and b = ⌊(11 + 4)/2⌋ = 7: items 1 … 3 and 8 … 11
        ("middle", 4, [1, 2, 3, 8, 9, 10, 11]),
        # a = 4, b = 7
        ("middle", 3, [1, 2, 3, 4, 8, 9, 10, 11]),
    ],
)
def test_n_rows_go_where_the_paper_says(where: Any, n: int, kept: list[int]) -> None:
    assert left(PositionRemoval(where=where, n=n), ONE, 99) == kept


@pytest.mark.parametrize("where", ["beginning", "middle", "end"])
def test_a_short_user_keeps_the_minimum(where: Any) -> None:
    assert len(left(PositionRemoval(where=where, n=10), ONE, 99)) == 1
    assert len(left(PositionRemoval(where=where, n=20, keep=3), ONE, 99)) == 3
    assert left(PositionRemoval(where=where, n=20, keep=12), ONE, 99) == ONE.item.tolist()
    assert left(PositionRemoval(where=where, n=11, keep=0), ONE, 99) == []


@pytest.mark.parametrize("rows", [0, 1, 7, 99, 100, 101, 10_000])
def test_the_budget_is_spent_to_the_unit_on_as_many_users_as_it_reaches(rows: int) -> None:
    removed = edit(PositionRemoval(n=5), LOG, rows).remove
    lost = np.bincount(LOG.user[removed], minlength=LOG.n_users)
    wanted = np.clip(LOG.lengths - 1, 0, 5)
    assert len(removed) == min(rows, wanted.sum())
    assert np.count_nonzero((lost > 0) & (lost < wanted)) <= 1, "all lose n, but for the last one reached"


def test_users_are_reached_in_random_order_and_more_rows_reach_more_of_them() -> None:
    small, large, other = (edit(PositionRemoval(), LOG, rows, seed) for rows, seed in ((60, 0), (600, 0), (60, 1)))
    assert set(small.remove.tolist()) < set(large.remove.tolist())
    assert set(LOG.user[small.remove].tolist()) != set(LOG.user[other.remove].tolist())


def test_its_control_takes_as_many_rows_of_the_same_users() -> None:
    attack = PositionRemoval(where="beginning", n=4, keep=2, scope="train")
    name, parameters = attack.control_attack(Budget(rows=50))
    for rows in (50, 10_000):
        removed, beside = edit(attack, LOG, rows), edit(plugins.build("attacks", name, parameters), LOG, rows)
        per_user = [np.bincount(LOG.user[e.remove], minlength=LOG.n_users).tolist() for e in (removed, beside)]
        assert per_user[0] == per_user[1]
        assert beside.scope == "train"
        assert 0 < LOG.position[removed.remove].mean() < LOG.position[beside.remove].mean()


def test_sharing_out_gives_the_last_user_what_is_left() -> None:
    log = InteractionLog.from_columns(np.repeat([0, 1, 2], [9, 2, 5]), np.ones(16), np.arange(16), n_users=4)
    assert share_out(log, 4, 1, 99, np.random.default_rng(0)).tolist() == [4, 1, 4, 0]
    for seed in range(20):
        lost = share_out(log, 4, 1, 6, np.random.default_rng(seed))
        assert lost.sum() == 6
        assert np.all(lost <= [4, 1, 4, 0])


# --- CASPER

CASCADE = InteractionLog.from_columns(
    # user 0: rows 0 1 2; user 1: rows 3 4; user 2: rows 5 6
    user=[0, 0, 0, 1, 1, 2, 2],
    item=[1, 2, 3, 2, 4, 5, 4],
    timestamp=[1, 3, 9, 5, 6, 2, 8],
)
"""0 → 1 → 2 (user 0), 3 → 4 (user 1), 5 → 6 (user 2); 1 → 3 (item 2), 4 → 6 (item 4)."""


def test_cascades_by_hand() -> None:
    assert followers(CASCADE.user, CASCADE.timestamp, 50).tolist() == [1, 2, -1, 4, -1, 6, -1]
    assert followers(CASCADE.item, CASCADE.timestamp, 50).tolist() == [-1, 3, -1, -1, 6, -1, -1]
    # row 0 reaches 1 2 3 4 6, row 5 reaches 6; an edge leads to every other row
    assert cascade_sizes(CASCADE, 50).tolist() == [5, 0, 0, 0, 0, 1, 0]


def test_the_window_cuts_old_rows_off() -> None:
    """Of user 0 only rows 1 and 2 are linked, so row 0 stands alone and row 1 is a root."""
    assert cascade_sizes(CASCADE, 2).tolist() == [0, 4, 0, 0, 0, 1, 0]


def brute_force(log: InteractionLog, window: int) -> list[int]:
    """As released: a search from every row that no edge leads to."""
    edges: list[list[int]] = [[] for _ in range(len(log))]
    into = [0] * len(log)
    for owner in (log.user.tolist(), log.item.tolist()):
        for one in set(owner):
            rows = sorted((int(log.timestamp[r]), r) for r in range(len(log)) if owner[r] == one)[-window:]
            for (_, before), (_, after) in pairwise(rows):
                edges[before].append(after)
                into[after] += 1
    sizes = [0] * len(log)
    for root in (r for r in range(len(log)) if into[r] == 0):
        found, waiting = {root}, [root]
        while waiting:
            for row in edges[waiting.pop()]:
                if row not in found:
                    found.add(row)
                    waiting.append(row)
        sizes[root] = len(found) - 1
    return sizes


@pytest.mark.parametrize("seed", range(12))
def test_cascades_by_brute_force(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    users, items, rows = (int(rng.integers(1, most)) for most in (90, 40, 400))
    # ties in time, users without rows, and more roots than one block of 64 holds
    log = InteractionLog.from_columns(
        rng.integers(0, users, rows), rng.integers(1, items + 1, rows), rng.integers(0, 60, rows), n_users=users + 1
    )
    window = int(rng.integers(2, 9))
    monkeypatch.setattr("robust.attacks.tampering.cascade.BYTE_LIMIT", 1)
    assert cascade_sizes(log, window).tolist() == brute_force(log, window)


def test_a_log_without_edges_has_no_cascades() -> None:
    for rows in (0, 3):
        log = InteractionLog.from_columns(range(rows), range(1, rows + 1), range(rows), n_users=4, n_items=4)
        assert cascade_sizes(log, 50).tolist() == [0] * rows


def test_the_largest_cascade_goes_first() -> None:
    assert edit(Casper(), CASCADE, 1).remove.tolist() == [0]
    assert edit(Casper(), CASCADE, 2).remove.tolist() == [0, 5]
    assert sorted(edit(Casper(), CASCADE, 99).remove.tolist()) == list(range(7))
    assert edit(Casper(window=2), CASCADE, 1).remove.tolist() == [1]


def test_equal_cascades_come_in_random_order() -> None:
    log = InteractionLog.from_columns(range(30), range(1, 31), range(30))
    first = {int(edit(Casper(), log, 1, seed).remove[0]) for seed in range(20)}
    assert len(first) > 5


def test_casper_replaces_and_inserts_the_least_popular_item() -> None:
    rarest = int(np.flatnonzero(LOG.popularity)[np.argmin(LOG.popularity[LOG.popularity > 0])])
    deleted, replaced = edit(Casper(), LOG, 5), edit(Casper(operation="replacement"), LOG, 5)
    inserted = edit(Casper(operation="insertion"), LOG, 5)
    assert replaced.replace_rows.tolist() == deleted.remove.tolist()
    assert replaced.replace_items.tolist() == [rarest] * 5
    assert inserted.insert_users.tolist() == LOG.user[deleted.remove].tolist()
    assert inserted.insert_times.tolist() == LOG.timestamp[deleted.remove].tolist()
    assert inserted.insert_items.tolist() == [rarest] * 5
    assert replaced.touched_rows == inserted.touched_rows == deleted.touched_rows == 5
    assert len(inserted.apply(LOG)) == len(LOG) + 5


# --- the control


@pytest.mark.parametrize("item", ["uniform", "unpopular"])
def test_no_item_is_replaced_by_itself(item: Any) -> None:
    found = edit(RandomTampering(operation="replacement", item=item), LOG, len(LOG))
    assert np.all(found.replace_items != LOG.item[found.replace_rows])
    assert np.all(LOG.popularity[found.replace_items] > 0) or item == "uniform"


def test_replaced_items_are_uniform() -> None:
    items = edit(RandomTampering(operation="replacement"), LOG, len(LOG)).replace_items
    counts, expected = np.bincount(items, minlength=81)[1:], len(LOG) / 80
    assert np.abs(counts - expected).max() < 5 * expected**0.5


def test_an_inserted_row_stands_right_after_the_one_that_it_was_drawn_with() -> None:
    found = edit(RandomTampering(operation="insertion", item="unpopular"), ONE, 1)
    items = found.apply(ONE).item.tolist()
    place = int(found.insert_times[0]) // 10
    assert items == [*range(1, place + 2), int(found.insert_items[0]), *range(place + 2, 12)]


def test_moved_rows_happen_when_others_happened() -> None:
    found = edit(RandomTampering(operation="move"), LOG, 200)
    assert np.isin(found.move_times, LOG.timestamp).all()
    assert np.count_nonzero(found.move_times == LOG.timestamp[found.move_rows]) < 5


def test_rows_are_drawn_evenly() -> None:
    drawn = np.concatenate([edit(RandomTampering(), ONE, 3, seed).remove for seed in range(2_000)])
    # 6,000 rows among 11: 545 expected each, standard deviation at most 20
    assert np.abs(np.bincount(drawn, minlength=11) - 6_000 / 11).max() < 5 * 20


# --- times


def test_each_kind_moves_rows_as_it_says() -> None:
    first, last = LOG.timestamp.min(), LOG.timestamp.max()
    jitter = edit(Timestamps(kind="jitter", seconds=60), LOG, len(LOG))
    moved = jitter.move_times - LOG.timestamp[jitter.move_rows]
    assert abs(moved.mean()) < 5 * 60 / len(LOG) ** 0.5
    assert moved.std() == pytest.approx(60, rel=0.05)
    rounded = edit(Timestamps(kind="quantise", seconds=3_600), LOG, len(LOG))
    old = LOG.timestamp[rounded.move_rows]
    assert np.all(rounded.move_times == np.maximum(old - old % 3_600, first))
    shifted = edit(Timestamps(kind="shift", seconds=-500), LOG, len(LOG))
    assert np.all(shifted.move_times == np.maximum(LOG.timestamp[shifted.move_rows] - 500, first))
    burst = edit(Timestamps(kind="burst", seconds=1_000), LOG, 400)
    assert np.ptp(burst.move_times) <= 1_000
    order = np.argsort(LOG.timestamp[burst.move_rows], kind="stable")
    assert np.all(np.diff(burst.move_times[order]) >= 0), "in proportion, so in the same order"
    assert first <= burst.move_times.min()
    assert burst.move_times.max() <= last


@pytest.mark.parametrize("kind", ["jitter", "quantise", "shift", "burst"])
@pytest.mark.parametrize("seconds", [1, 3_600, 10**9])
def test_no_row_leaves_the_span_of_the_train_rows(kind: Any, seconds: int) -> None:
    for size in (seconds, -seconds) if kind == "shift" else (seconds,):
        for log in (LOG, ONE):
            edited = edit(Timestamps(kind=kind, seconds=size), log, len(log)).apply(log)
            assert edited.timestamp.min() >= log.timestamp.min()
            assert edited.timestamp.max() <= log.timestamp.max()
            assert np.sort(edited.item).tolist() == np.sort(log.item).tolist()


def test_rounding_all_times_reorders_nothing_unless_ties_are_broken_anyhow() -> None:
    whole = Timestamps(kind="quantise", seconds=50)
    assert left(whole, ONE, 11) == ONE.item.tolist(), "order of arrival is kept"
    shuffled = edit(whole.model_copy(update={"ties": "shuffled"}), ONE, 11)
    assert shuffled.touched_rows == 11, "a row that moves and changes its item counts once"
    items = shuffled.apply(ONE).item.tolist()
    assert items != ONE.item.tolist()
    assert [sorted(items[:5]), sorted(items[5:10]), items[10:]] == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11]]


def test_rounding_some_times_puts_rows_past_others() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 0], [1, 2, 3, 4], [0, 5, 8, 30])
    orders = {}
    for seed in range(30):
        found = edit(Timestamps(kind="quantise", seconds=9), log, 1, seed)
        orders[int(found.move_rows[0])] = found.apply(log).item.tolist()
    unchanged = [1, 2, 3, 4]
    # 8 becomes 0 and passes 5; it ties with the first row, which arrived before it
    assert orders == {0: unchanged, 1: unchanged, 2: [1, 3, 2, 4], 3: unchanged}


def test_positions_are_no_times() -> None:
    positional = InteractionLog.from_columns([0, 0, 1], [1, 2, 3], [0, 1, 0])
    with pytest.raises(NotApplicable, match="positions"):
        edit(Timestamps(), positional, 2)


@pytest.mark.parametrize(("kind", "seconds"), [("jitter", 0), ("shift", 0), ("quantise", -5), ("burst", -1)])
def test_a_size_that_means_nothing_is_refused(kind: Any, seconds: int) -> None:
    with pytest.raises(ValueError, match="seconds: above 0"):
        Timestamps(kind=kind, seconds=seconds)


# --- all of them

EVERY: list[PoisoningAttack] = [PositionRemoval(), Casper(), Timestamps(), RandomTampering(per_user=2)]


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: attack.name)
def test_what_it_cannot_do_is_said(attack: PoisoningAttack) -> None:
    rng, budget = np.random.default_rng(0), Budget(rows=3)
    with pytest.raises(NotApplicable, match=f"'{attack.name}' poisons a log: its budget states rows"):
        attack(view(log=LOG), Degrade(), Budget(users=3, profile_length=5), rng)
    with pytest.raises(NotApplicable, match="degrade, not promote"):
        attack(view(log=LOG), Promote(items=(1,)), budget, rng)
    with pytest.raises(NotKnown, match="train rows"):
        attack(view(log=LOG, knowledge=Knowledge(log="popularity")), Degrade(), budget, rng)


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: attack.name)
@pytest.mark.parametrize("scope", ["train", "history"])
def test_the_scope_is_carried_by_the_edit(attack: PoisoningAttack, scope: Any) -> None:
    assert edit(attack.model_copy(update={"scope": scope}), LOG, 3).scope == scope


@pytest.mark.parametrize("attack", [a for a in EVERY if a.name != "timestamps"], ids=lambda attack: attack.name)
def test_an_empty_log_has_nothing_to_change(attack: PoisoningAttack) -> None:
    empty = InteractionLog.from_columns([], [], [], n_users=2, n_items=3)
    assert edit(attack, empty, 5).touched_rows == 0
