"""Near-duplicates, dense blocks and time bursts: against brute force, and on logs with a planted group."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import poisson
from sklearn.metrics import roc_auc_score

from robust.defense import Detector
from robust.defenses.sanitizers.contents import contents
from robust.defenses.sanitizers.dense_blocks import ONE, DenseBlocks, peel
from robust.defenses.sanitizers.near_duplicates import NearDuplicates, Sets, compare
from robust.defenses.sanitizers.time_bursts import DAY, Clock, TimeBursts, cusum_tail, share_below, window_tail
from robust.errors import InputError
from robust.log import InteractionLog, LogEdit

GENUINE, FAKES, ITEMS, LENGTH, DAYS = 500, 20, 1000, 20, 200
DETECTORS = [NearDuplicates(), DenseBlocks(), TimeBursts()]
by_name = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)


def random_log(users: int = GENUINE, seed: int = 0) -> InteractionLog:
    """Users of 10 to 30 random items, some liked more than others, in sessions at times of their own."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(10, 31, users)
    weight = np.arange(1, ITEMS + 1) ** -0.5
    items = [rng.choice(ITEMS, size, replace=False, p=weight / weight.sum()) + 1 for size in lengths]
    starts = np.repeat(rng.integers(0, DAYS * DAY, users), lengths)
    gaps = rng.exponential(60, lengths.sum()) + (rng.random(lengths.sum()) < 0.1) * rng.exponential(DAY, lengths.sum())
    user = np.repeat(np.arange(users), lengths)
    walk = np.cumsum(gaps)
    since = walk - np.repeat(walk[np.cumsum(lengths) - lengths], lengths)
    return InteractionLog.from_columns(
        user, np.concatenate(items), (starts + since).astype(np.int64), n_users=users, n_items=ITEMS
    )


LOG = random_log()


def genuine_times(profiles: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.integers(0, DAYS * DAY, (len(profiles), 1)) + np.sort(rng.integers(0, DAY, profiles.shape), axis=1)


def near_copies(log: InteractionLog) -> InteractionLog:
    """One profile, in which each copy has 3 items of its own."""
    rng = np.random.default_rng(1)
    profiles = np.tile(rng.choice(ITEMS, LENGTH, replace=False) + 1, (FAKES, 1)).astype(np.int32)
    places = np.argsort(rng.random(profiles.shape), axis=1)[:, :3]
    np.put_along_axis(profiles, places, rng.integers(1, ITEMS + 1, places.shape).astype(np.int32), axis=1)
    return LogEdit(add=profiles, times=genuine_times(profiles, rng)).apply(log)


def dense_block(log: InteractionLog) -> InteractionLog:
    """Fakes who hold 36 of the 40 rarest items each, and 15 random ones as camouflage."""
    rng = np.random.default_rng(1)
    rare = np.argsort(log.popularity[1:], kind="stable")[:40] + 1
    block = np.stack([rng.choice(rare, 36, replace=False) for _ in range(FAKES)])
    profiles = np.concatenate([block, rng.integers(1, ITEMS + 1, (FAKES, 15))], axis=1).astype(np.int32)
    return LogEdit(add=profiles, times=genuine_times(profiles, rng)).apply(log)


def burst(log: InteractionLog) -> InteractionLog:
    """Random profiles with three targets, all within two hours."""
    rng = np.random.default_rng(1)
    profiles = rng.integers(1, ITEMS + 1, (FAKES, LENGTH)).astype(np.int32)
    profiles[:, :3] = (7, 77, 177)
    times = 100 * DAY + np.sort(rng.choice(7200, profiles.shape, replace=False), axis=1)
    return LogEdit(add=rng.permuted(profiles, axis=1), times=times).apply(log)


def whole_months(log: InteractionLog) -> InteractionLog:
    """The burst by a clock that knows months only, so that many rows tie."""
    days = burst(log)
    return InteractionLog(
        days.user, days.item, days.timestamp // (30 * DAY) * (30 * DAY), n_users=days.n_users, n_items=days.n_items
    )


def suspected(detector: Detector, log: InteractionLog, seed: int = 0) -> NDArray[np.float64]:
    return detector.suspicion(log, np.random.default_rng(seed))


PLANTED: list[tuple[Detector, Any]] = [
    (NearDuplicates(), near_copies),
    (DenseBlocks(), dense_block),
    (TimeBursts(), burst),
]


@pytest.mark.parametrize(("detector", "plant"), PLANTED, ids=lambda value: getattr(value, "name", ""))
def test_a_planted_group_is_found_and_genuine_users_are_not_it(detector: Detector, plant: Any) -> None:
    log = plant(LOG)
    fake = np.arange(log.n_users) >= GENUINE
    suspicion = suspected(detector, log)
    assert roc_auc_score(fake, suspicion) > 0.95
    # nobody among the genuine is as suspicious where there are no fakes as the usual fake is
    assert suspected(detector, LOG).max() < np.median(suspicion[fake])


@by_name
@pytest.mark.parametrize("plant", [near_copies, dense_block, burst, whole_months])
def test_user_numbers_change_nothing(detector: Detector, plant: Any) -> None:
    log = plant(random_log(120))
    # copies that nothing but their number tells apart, and a user without rows
    twice = LogEdit(add=np.tile(log.item[:8], (4, 1)), times=np.tile(log.timestamp[:8], (4, 1))).apply(log)
    log = twice.without_users(np.arange(twice.n_users) == 3)
    renamed = np.random.default_rng(5).permutation(log.n_users)
    other = InteractionLog.from_columns(
        renamed[log.user], log.item, log.timestamp, n_users=log.n_users, n_items=log.n_items
    )
    np.testing.assert_allclose(suspected(detector, other)[renamed], suspected(detector, log), rtol=1e-12)


def test_ties_are_not_broken_by_user_numbers() -> None:
    """Four minima only, and copies of many lengths: whom a profile is compared with depends on how ties are broken."""
    lengths = np.random.default_rng(2).integers(10, 60, 80)
    items = np.concatenate([np.arange(1, length + 1) for length in lengths])
    place = np.concatenate([np.arange(length) for length in lengths])
    user = np.repeat(np.arange(80), lengths)
    renamed = np.random.default_rng(5).permutation(80)
    detector = NearDuplicates(permutations=4)
    found = suspected(detector, InteractionLog.from_columns(user, items, place, n_items=60))
    other = suspected(detector, InteractionLog.from_columns(renamed[user], items, place, n_items=60))
    assert np.array_equal(other[renamed], found)


def test_users_who_hold_the_same_are_peeled_alike_whatever_their_numbers() -> None:
    """Small logs, in which many nodes have the same weight left: the order of equals decides which set is densest."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        users, items = int(rng.integers(4, 12)), int(rng.integers(3, 8))
        user, item = np.nonzero(rng.random((users, items)) < rng.uniform(0.2, 0.7))
        renamed = rng.permutation(users)
        found, other = (
            suspected(
                DenseBlocks(),
                InteractionLog.from_columns(named, item + 1, np.arange(len(item)), n_users=users, n_items=items),
            )
            for named in (user, renamed[user])
        )
        np.testing.assert_allclose(other[renamed], found, rtol=1e-12)


@by_name
def test_users_without_rows_are_least_suspicious_and_the_seed_decides(detector: Detector) -> None:
    log = LOG.without_users(np.arange(LOG.n_users) % 5 == 0)
    suspicion = suspected(detector, log)
    assert suspicion[log.lengths == 0].max() < suspicion[log.lengths > 0].min()
    assert np.array_equal(suspicion, suspected(detector, log))
    assert len(np.unique(suspicion)) > 20, "graded"


@by_name
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(0, 1, 5)],
        [(0, 1, 5), (1, 1, 5)],
        [(0, 1, 5), (1, 2, 9)],
        [(0, 1, 5), (0, 1, 6), (0, 1, 7)],
        [(0, 1, 5), (0, 2, 5), (2, 1, 5), (2, 2, 2**40)],
    ],
)
def test_tiny_logs(detector: Detector, rows: list[tuple[int, int, int]]) -> None:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    log = InteractionLog.from_columns(*columns, n_users=4, n_items=3)
    suspicion = suspected(detector, log)
    assert suspicion.shape == (4,)
    assert np.isfinite(suspicion).all()
    assert (suspicion[log.lengths == 0] == -1).all()
    assert (suspicion[log.lengths > 0] > -1).all()


def test_contents_tell_sequences_apart_and_nothing_else() -> None:
    log = InteractionLog.from_columns([0, 0, 1, 1, 2, 2, 3], [1, 2, 1, 2, 2, 1, 1], [0, 9, 3, 4, 0, 1, 0], n_users=5)
    found = contents(log)
    assert found[0] == found[1]
    assert len(np.unique(found)) == 4
    assert found[4] == 0


# near duplicates


def jaccard(one: set[Any], two: set[Any]) -> float:
    return len(one & two) / len(one | two)


def profiles_of(log: InteractionLog, view: str) -> list[set[Any]]:
    sequences = [log.item[log.offsets[u] : log.offsets[u + 1]].tolist() for u in range(log.n_users)]
    if view == "items":
        return [set(sequence) for sequence in sequences]
    return [set(pairwise(sequence)) for sequence in sequences]


@pytest.mark.parametrize("view", ["items", "bigrams"])
def test_equal_minima_estimate_the_jaccard_index(view: str) -> None:
    """4,000 draws: 4.5 standard deviations are at most .036."""
    log = near_copies(random_log(10))
    sets = Sets.of_items(log) if view == "items" else Sets.of_bigrams(log)
    minima = sets.minima(4000, np.random.default_rng(0))
    expected = profiles_of(log, view)
    pairs = list(combinations(range(log.n_users), 2))
    estimated = [np.mean(minima[one] == minima[two]) for one, two in pairs]
    exact = [jaccard(expected[one], expected[two]) for one, two in pairs]
    assert max(exact) > 0.5
    np.testing.assert_allclose(estimated, exact, atol=0.036)


def test_all_links_are_near_and_no_near_copy_is_without_one() -> None:
    log = near_copies(LOG)
    sets = Sets.of_items(log)
    nearest, links = compare(sets, sets.minima(128, np.random.default_rng(0)), contents(log), 0.5)
    held = profiles_of(log, "items")
    assert min(jaccard(held[one], held[two]) for one, two in links.T) > 0.3, ".5 less 4.5 standard deviations"
    assert np.isin(np.arange(GENUINE, log.n_users), links).all()
    exact = [max(jaccard(held[u], held[v]) for v in range(log.n_users) if v != u) for u in range(log.n_users)]
    # the nearest profile that it met is nearly as near as the nearest of all
    missed = np.array(exact)[GENUINE:] - nearest[GENUINE:]
    assert missed.max() < 0.25


def test_a_cluster_counts_by_its_size_and_by_an_item_of_its_own() -> None:
    """Everybody holds items 1 to 20; four users hold 21 too, which nobody else does, in one order."""
    rng = np.random.default_rng(0)
    alike = np.tile(np.arange(1, 22), (4, 1))
    others = np.stack([rng.permutation(np.arange(22, 122))[:21] for _ in range(30)])
    items = np.concatenate([alike, others])
    items[4:, :3] = np.arange(1, 4)
    log = InteractionLog.from_columns(
        np.repeat(np.arange(34), 21), items.ravel(), np.tile(np.arange(21), 34), n_users=34, n_items=121
    )
    suspicion = suspected(NearDuplicates(), log)
    # bigrams: J = 1, shrunk to 20 / 22, times two; log₂ 4, since item 21 is held by all four and nobody else
    np.testing.assert_allclose(suspicion[:4], 2 * 20 / 22 + 2)
    assert suspicion[4:].max() < 0.5
    assert suspicion.min() > 0
    assert (suspicion == suspicion.min()).sum() >= 17, "to be less alike than most is no sign of anything"
    spread = InteractionLog.from_columns(
        np.concatenate([log.user, np.arange(4, 34).repeat(18), [0]]),
        np.concatenate([log.item, np.tile(np.arange(21, 3, -1), 30), [122]]),
        np.concatenate([log.timestamp, np.tile(np.arange(30, 48), 30), [99]]),
        n_users=34,
        n_items=122,
    )
    common = suspected(NearDuplicates(jaccard=0.8, ordered=0.8), spread)
    # all that the four hold is common, but for an item that one of them has and nobody else
    np.testing.assert_allclose(common[1:4], 21 / 23 + 2 * 1 / 4)


def test_who_follows_one_order_is_linked_where_the_items_alone_would_not() -> None:
    """Twelve of thirty items in one order, at the same place: J = 12 / 48 of the items, which many have by chance."""
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(np.arange(13, 400))[:30] for _ in range(40)])
    items[:10, 5:17] = np.arange(1, 13)
    log = InteractionLog.from_columns(
        np.repeat(np.arange(40), 30), items.ravel(), np.tile(np.arange(30), 40), n_items=400
    )
    followers = suspected(NearDuplicates(permutations=512, ordered=0.15), log)
    assert followers[:10].min() > 1 > followers[10:].max()
    assert suspected(NearDuplicates(permutations=512, ordered=0.5), log)[:10].max() < 0.5


def test_profiles_of_one_common_item_are_no_duplicates() -> None:
    log = InteractionLog.from_columns(np.arange(30), np.ones(30, dtype=int), np.arange(30), n_items=5)
    np.testing.assert_allclose(suspected(NearDuplicates(), log), 1 / 3)


# dense blocks


def greedy_by_definition(held: NDArray[np.bool_], weight: NDArray[np.int64]) -> tuple[list[float], NDArray[np.float64]]:
    """The densities on the way of a peel by plain loops, and the core numbers of users, in whatever order of ties."""
    table = held * weight[None, :]
    users, items = set(range(len(held))), set(range(held.shape[1]))
    densities, core, reached = [], np.zeros(len(held)), 0.0
    while users or items:
        inside = table[np.ix_(sorted(users), sorted(items))]
        densities.append(inside.sum() / (len(users) + len(items)) / ONE)
        left = {("user", u): inside[n].sum() for n, u in enumerate(sorted(users))}
        left |= {("item", i): inside[:, n].sum() for n, i in enumerate(sorted(items))}
        kind, number = min(left, key=lambda node: (left[node], node[0] == "item", node[1]))
        reached = max(reached, left[kind, number] / ONE)
        if kind == "user":
            core[number] = reached
            users.remove(number)
        else:
            items.remove(number)
    return densities, core


def weights(held: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(np.rint(ONE / np.log(held.sum(axis=0) + 5.0)), dtype=np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_peeling_is_the_greedy_algorithm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held = rng.random((25, 18)) < rng.random(18) * 0.5
    held[:8, :5] |= rng.random((8, 5)) < 0.9
    weight = weights(held)
    user, item = np.nonzero(held)
    block = peel(user, item, weight, len(held))
    densities, core = greedy_by_definition(held, weight)
    assert block.density == pytest.approx(max(densities))
    np.testing.assert_allclose(block.core, core)
    inside = (held * weight)[np.ix_(block.users, block.items)].sum() / ONE
    assert block.density == pytest.approx(inside / (block.users.sum() + block.items.sum())), "it is the block's density"
    assert (block.core[~block.users] < 2 * block.density).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_block_has_at_least_half_the_greatest_density(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held = rng.random((6, 6)) < 0.45
    weight = weights(held)
    table = held * weight / ONE
    subsets = [np.array(chosen) for size in range(1, 7) for chosen in combinations(range(6), size)]
    greatest = max(table[np.ix_(u, i)].sum() / (len(u) + len(i)) for u in subsets for i in subsets)
    user, item = np.nonzero(held)
    density = peel(user, item, weight, 6).density
    assert greatest / 2 <= density <= greatest + 1e-9


def test_each_block_is_suspected_by_its_density_and_the_second_is_found_without_the_first() -> None:
    """Two complete blocks of 10 × 10 and 6 × 6, and users of one item each."""
    user, item = [], []
    for users, items in ((range(10), range(1, 11)), (range(10, 16), range(11, 17))):
        user += np.repeat(users, len(items)).tolist()
        item += np.tile(items, len(users)).tolist()
    user += range(16, 40)
    item += range(17, 41)
    log = InteractionLog.from_columns(user, item, np.arange(len(user)), n_users=40, n_items=40)
    found = suspected(DenseBlocks(blocks=2), log)
    np.testing.assert_allclose(found[:10], 100 / 20 / np.log(15) * 1.001)
    np.testing.assert_allclose(found[10:16], 36 / 12 / np.log(11) * 1.001)
    np.testing.assert_allclose(found[16:], 1 / np.log(6) / 2)
    first = suspected(DenseBlocks(blocks=1), log)
    np.testing.assert_allclose(first[10:16], 6 / np.log(11) / 2)  # half its core number


# time bursts


def events(log: InteractionLog) -> tuple[Any, Any, Clock]:
    order = np.lexsort((log.timestamp, log.item))
    return log.item[order], log.timestamp[order], Clock(log.timestamp, 30 * DAY)


def share_up_to(log: InteractionLog, time: float) -> float:
    """Λ by definition: whole seasons, and a share of the one that it is in."""
    first, last = int(log.timestamp.min()), int(log.timestamp.max())
    seasons = max(round((last - first) / (30 * DAY)), 1)
    width, total = (last - first) / seasons, 0.0
    for season in range(seasons):
        begin, end = first + season * width, first + (season + 1) * width
        closed = log.timestamp <= end if season == seasons - 1 else log.timestamp < end
        within = int(((log.timestamp >= begin) & closed).sum())
        total += within * min(max((time - begin) / width, 0.0), 1.0)
    return total / len(log)


def small() -> InteractionLog:
    """The most popular items of a log with a burst, no two rows at once."""
    log = burst(random_log(60))
    once = np.sort(np.unique(log.timestamp, return_index=True)[1])
    return log.rows(once[log.item[once] <= 80])


SMALL = small()


def test_windows_are_counted_and_have_a_poisson_tail() -> None:
    item, time, clock = events(SMALL)
    found = window_tail(item, time, clock, DAY)
    for event in range(0, len(item), 7):
        same = time[item == item[event]]
        others = int((np.abs(same - time[event]) <= DAY // 2).sum()) - 1
        ahead, behind = (share_up_to(SMALL, time[event] + side * DAY / 2) for side in (1, -1))
        expected = poisson.sf(others - 1, (len(same) - 1) * (ahead - behind)) if others else 1.0
        assert found[event] == pytest.approx(np.log(expected), abs=1e-6)


def test_a_tail_too_small_for_a_float_is_still_a_number() -> None:
    time = np.concatenate([np.arange(3000), 1000 * DAY + np.arange(3000) * 40])
    item = np.repeat([1, 2], 3000).astype(np.int32)
    found = window_tail(item, time, Clock(np.repeat(np.arange(1000), 100) * DAY, 30 * DAY), DAY)
    assert np.isfinite(found).all()
    assert found[:3000].max() < -5000
    assert found[3000] > found[:3000].max()


def test_the_cumulative_sum_is_reflected_at_zero_and_starts_anew_with_each_item() -> None:
    item, time, clock = events(SMALL)
    found = cusum_tail(item, time, clock, 5.0)
    for wanted in np.unique(item):
        places = np.flatnonzero(item == wanted)
        moments = [share_up_to(SMALL, t + 0.5 * clock.step) for t in time[places]]
        gains = [np.log(5) - 4 * len(places) * (two - one) for one, two in pairwise(moments)]
        forward, backward = [0.0], [0.0]
        for gain in gains:
            forward.append(max(0.0, forward[-1] + gain))
        for gain in reversed(gains):
            backward.append(max(0.0, backward[-1] + gain))
        total = np.array(forward) + np.array(backward[::-1])
        np.testing.assert_allclose(found[places], np.log1p(total) - total, atol=1e-6)


def test_tail_probabilities_hold_where_nothing_bursts() -> None:
    """400 items, of 100 events each that fall anywhere: p ≤ level in at most a share of `level` of the events."""
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(1, 401), 100).astype(np.int32)
    time = rng.integers(0, 300 * DAY, len(item))
    order = np.lexsort((time, item))
    clock = Clock(time, 30 * DAY)
    for found in (
        window_tail(item[order], time[order], clock, DAY),
        cusum_tail(item[order], time[order], clock, 5.0),
    ):
        for level in (0.1, 0.01, 0.001):
            # an item's events share their luck, so that a share spreads more than independent ones would
            by_item = (found.reshape(400, 100) <= np.log(level)).mean(axis=1)
            assert by_item.mean() <= level + 3 * by_item.std() / np.sqrt(400)
            assert level < 0.05 or by_item.mean() > 0


def test_a_log_of_whole_days_is_no_series_of_bursts() -> None:
    """Times rounded to days make what is usual hardly more suspicious: events of a day are spread over it."""
    rounded = InteractionLog(LOG.user, LOG.item, LOG.timestamp // DAY * DAY, n_users=LOG.n_users, n_items=LOG.n_items)
    exact, coarse = (cusum_tail(*events(log), 5.0) for log in (LOG, rounded))
    assert np.quantile(coarse, 0.01) > np.quantile(exact, 0.01) - 1


@pytest.mark.parametrize("even", [True, False])
def test_pace_unlike_others_is_suspected_whatever_the_items_do(even: bool) -> None:
    """Users who act once an hour to the second, or after a second to ten days, among users of sessions."""
    rng = np.random.default_rng(3)
    profiles = rng.integers(1, ITEMS + 1, (10, LENGTH)).astype(np.int32)
    gaps = np.full(profiles.shape, 3600) if even else np.exp(rng.uniform(0, np.log(10 * DAY), profiles.shape))
    times = rng.integers(0, DAYS * DAY, (10, 1)) + np.cumsum(gaps, axis=1).astype(np.int64)
    log = LogEdit(add=profiles, times=times).apply(LOG)
    assert roc_auc_score(np.arange(log.n_users) >= GENUINE, suspected(TimeBursts(), log)) > 0.9


def test_empirical_p_values_are_counted_within_a_stratum() -> None:
    rng = np.random.default_rng(0)
    value, stratum = rng.integers(0, 9, 60), rng.integers(0, 3, 60)
    expected = [np.mean(value[stratum == own] <= least) for least, own in zip(value, stratum, strict=True)]
    np.testing.assert_allclose(share_below(value, stratum), expected)


def test_one_user_is_no_burst() -> None:
    """Who takes one rare item 30 times within an hour; were the events independent, p would be below 10⁻³⁰."""
    times = LOG.timestamp[LOG.offsets[:1], None] + 120 * np.arange(1, 31)
    log = LogEdit(add=np.full((1, 30), ITEMS, dtype=np.int32), times=times).apply(LOG)
    assert suspected(TimeBursts(), log)[-1] < 3


@pytest.mark.parametrize("times", ["positions", "equal", "positions and a few fakes with times"])
def test_a_log_without_times_is_refused_and_nobody_is_suspected(times: str) -> None:
    made = LOG.position if times.startswith("positions") else np.full(len(LOG), 17)
    log = InteractionLog(LOG.user, LOG.item, made, n_users=LOG.n_users, n_items=LOG.n_items, name="this log")
    if "fakes" in times:
        log = LogEdit(add=np.full((5, 3), 7, dtype=np.int32), times=np.tile([40, 900, 4000], (5, 1))).apply(log)
    with pytest.raises(InputError, match=r"times.*this log"):
        TimeBursts().check_log(log)
    assert set(suspected(TimeBursts(), log)) == {0.0}
    TimeBursts().check_log(LOG)
