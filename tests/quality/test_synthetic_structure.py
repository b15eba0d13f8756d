"""What the generator claims is in the log, is in the log: order, concentration, trend, season and drift."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robust.datasets.synthetic import DAY, Synthetic, generate
from robust.log import InteractionLog


def contexts(log: InteractionLog, order: int) -> tuple[np.ndarray, np.ndarray]:
    """The last `order` items before each row that has as many [n, order], and these rows [n]."""
    rows = np.flatnonzero(log.position >= order)
    return np.stack([log.item[rows - back] for back in range(order, 0, -1)], axis=1), rows


def transition_counts(log: InteractionLog, rows: np.ndarray) -> np.ndarray:
    """[n_items, n_items], how often one item follows the other, over the given rows."""
    counts = np.zeros((log.n_items, log.n_items))
    np.add.at(counts, (log.item[rows - 1] - 1, log.item[rows] - 1), 1)
    return counts


def test_first_order_transitions_match_the_table() -> None:
    made = generate(users=3000, items=12, length=40, rng=np.random.default_rng(0), concentration=0.7, popularity=0.5)
    log = made.log
    counts = transition_counts(log, contexts(log, 1)[1])
    truth = made.structure.probabilities(np.arange(1, 13)[:, None], np.zeros(12))[:, 1:]
    expected = truth * counts.sum(axis=1, keepdims=True)
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, df=12 * 11) > 1e-3


@pytest.mark.parametrize("order", [2, 3])
def test_higher_order_says_nothing_at_a_lower_order(order: int) -> None:
    made = generate(users=4000, items=10, length=30, rng=np.random.default_rng(order), order=order)
    log = made.log
    for lower in range(1, order):
        history, rows = contexts(log, order)
        state = history[:, -lower:].astype(np.int64) @ 11 ** np.arange(lower)
        table = stats.contingency.crosstab(state, log.item[rows]).count
        assert stats.chi2_contingency(table).pvalue > 1e-3
    history, rows = contexts(log, order)
    top = made.structure.best(history, log.timestamp[rows], 1)[:, 0]
    assert (top == log.item[rows]).mean() == pytest.approx(0.8 * 4 / 7 + 0.2 / 10, abs=0.01)


def test_the_optimal_ranking_hits_as_often_as_its_probabilities_say_and_no_ranking_more() -> None:
    rng = np.random.default_rng(4)
    made = generate(users=3000, items=40, length=25, rng=rng, order=2, popularity=0.8, trend=1, season=1, drift=0.5)
    log = made.log
    history, rows = contexts(log, 2)
    times, truth = log.timestamp[rows], log.item[rows]
    best = made.structure.best(history, times, 5)
    hit = (best == truth[:, None]).any(axis=1).mean()
    table = made.structure.probabilities(history, times)
    assert hit == pytest.approx(np.take_along_axis(table, best.astype(np.int64), 1).sum(axis=1).mean(), abs=0.006)
    stale = made.structure.best(history, np.zeros_like(times), 5)  # blind to time
    assert (stale == truth[:, None]).any(axis=1).mean() < hit - 0.02


def background_only(**structure: float) -> Synthetic:
    return generate(users=3000, items=20, length=30, rng=np.random.default_rng(7), concentration=0, **structure)  # type: ignore[arg-type]


def shares(log: InteractionLog, rows: np.ndarray) -> np.ndarray:
    """[n_items], each item's share of these rows."""
    counts = np.bincount(log.item[rows], minlength=log.n_items + 1)[1:]
    return np.asarray(counts / counts.sum())


def test_trend_moves_popularity_the_way_of_the_slopes() -> None:
    made = background_only(trend=2)
    log, span = made.log, made.structure.span
    change = np.log(shares(log, log.timestamp > 0.75 * span) / shares(log, log.timestamp < 0.25 * span))
    assert np.corrcoef(change, made.structure.slope)[0, 1] > 0.98
    still = background_only(trend=0)
    rows = [still.log.timestamp > 0.5 * span, still.log.timestamp <= 0.5 * span]
    counts = np.array([np.bincount(still.log.item[half], minlength=21)[1:] for half in rows])
    assert stats.chi2_contingency(counts).pvalue > 1e-3


def test_season_returns_after_one_period_and_opposes_after_half() -> None:
    log = background_only(season=1).log
    day = log.timestamp // DAY % 7
    week = log.timestamp // (7 * DAY)
    profiles = {(w, d): shares(log, (week == w) & (day == d)) for w in (1, 2) for d in (0, 3, 4)}
    same = np.corrcoef(profiles[1, 0], profiles[2, 0])[0, 1]
    opposed = np.corrcoef(profiles[1, 0], (profiles[1, 3] + profiles[1, 4]) / 2)[0, 1]
    assert same > 0.7
    assert opposed < -0.3


def test_drift_turns_the_chain_into_another() -> None:
    made = generate(users=3000, items=30, length=40, rng=np.random.default_rng(9), concentration=1, branches=1, drift=1)
    log, truth = made.log, made.structure
    history, rows = contexts(log, 1)
    late = log.timestamp[rows] > 0.9 * truth.span
    early = log.timestamp[rows] < 0.1 * truth.span
    by_before = truth.best(history, np.zeros(len(rows)), 1)[:, 0] == log.item[rows]
    by_after = truth.best(history, np.full(len(rows), truth.span), 1)[:, 0] == log.item[rows]
    assert by_before[early].mean() > 0.9
    assert by_after[late].mean() > 0.9
    assert by_before[late].mean() < 0.15
