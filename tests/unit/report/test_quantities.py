"""Numbers in words, against cases worked out by hand."""

from __future__ import annotations

import pytest

from robust.report.quantities import Quantity, decimals_for, duration, figures, fixed, p_value
from robust.report.text import bound_text, moment, visible
from robust.runner.results import BoundResult, MetricResult
from tests.unit.report.example import EXPOSURE, QUALITY, cell


@pytest.mark.parametrize(
    ("uncertainty", "decimals"),
    [
        (25.0, 0),
        (6.1, 0),
        (3.6, 0),
        (3.5, 1),
        (2.1, 1),
        (0.99, 1),
        (0.96, 1),
        (0.94, 1),
        (0.6, 1),
        (0.36, 1),
        (0.35, 2),
    ],
)
def test_decimals_follow_the_particle_data_groups_rule(uncertainty: float, decimals: int) -> None:
    assert decimals_for(uncertainty) == decimals


def test_drops_are_percent_and_rises_are_points() -> None:
    drop = figures(cell("t", "a", ("1 edit", 1.0), QUALITY, 0.118, 0.026, "INCONCLUSIVE"))
    assert (drop.change, drop.interval, drop.level) == ("11.8%", "9.2…14.4", "0.522 → 0.460")
    rise = figures(cell("t", "a", ("1% fake users", 0.01), EXPOSURE, 0.012, 0.006, "PASS"))
    assert (rise.change, rise.interval, rise.level) == ("+1.2\u00a0pp", "0.6…1.8", "0.3 → 1.5%")


def test_a_level_is_the_number_itself() -> None:
    bound = BoundResult(metric="auc", kind="level", limit=0.6)
    assert bound_text(bound) == "AUC is at most 0.6"
    assert Quantity.of(bound).change(0.55, 2) == "0.55"


def test_bits_are_not_percent() -> None:
    shift = Quantity.of(BoundResult(metric="rank_shift", kind="rise", limit=1.5))
    assert (shift.change(0.75, 2), shift.amount(1.5)) == ("+0.75", "1.5")


def test_rounding_never_puts_an_interval_on_a_bound_that_it_misses() -> None:
    close = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.05, 0.0496, "PASS")
    assert figures(close).change == "5%"
    assert figures(close).interval.endswith("9.96")


def test_without_an_interval_there_are_few_digits() -> None:
    lone = cell("t", "a", ("1 edit", 1.0), QUALITY, 0.0, 0.0, "PASS", metrics={
        "ndcg@10": MetricResult(clean=0.52234, attacked=0.41321, change=0.20894)})  # fmt: skip
    found = figures(lone)
    assert (found.change, found.interval, found.level) == ("20.9%", "", "0.522 → 0.413")


def test_no_negative_zero_and_true_minus_signs() -> None:
    assert fixed(-0.0001, 1) == "0.0"
    assert fixed(-1.25, 1) == "−1.2"
    assert fixed(1.0, 1, signed=True) == "+1.0"
    assert fixed(None, 1) == fixed(float("nan"), 1) == fixed(float("inf"), 1) == "–"


def test_small_p_values_and_durations() -> None:
    assert [p_value(p) for p in (0.0004, 0.0123)] == ["p < 0.001", "p = 0.012"]
    assert [duration(s) for s in (2.34, 42.4, 200, 7500)] == ["2.3 s", "42 s", "3 min 20 s", "2 h 5 min"]


def test_moments_are_spelt_out_and_anything_else_stays() -> None:
    assert moment("2026-11-24T16:07:43+00:00") == "24 November 2026, 16:07 UTC"
    assert moment("yesterday") == "yesterday"


def test_visible_keeps_writing_systems_and_replaces_disguises() -> None:
    assert visible("ε = 0.5, 日本語, नमस्ते, naïve\n") == "ε = 0.5, 日本語, नमस्ते, naïve\n"
    assert visible("a\x1b[31mb\u202ec\x00\td") == "a\ufffd[31mb\ufffdc\ufffd d"
