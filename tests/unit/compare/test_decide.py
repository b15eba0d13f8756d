"""Which outcome follows from which interval, how seeds pair, and what keeps two runs from being compared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.compare.baseline import first_of
from robust.compare.comparable import check_comparable
from robust.compare.console import print_comparison, render_markdown
from robust.compare.decide import Margins, adjusted, align, decide, outcome
from robust.compare.record import Comparison
from robust.compare.runs import Run, Values
from robust.errors import InputError
from robust.runner.results import BoundResult, CellResult, Flag, MetricResult, Point, Results, ThreatResult
from robust.statistics import Limits
from robust.statistics.differences import Difference
from tests.unit.report.example import example

USERS = 800
SCENARIO: dict[str, Any] = {
    "split": "leave-last-out",
    "users": 1000,
    "seeds": [3],
    "retrain": {"warm": 0.25},
    "threats": [
        {
            "id": "edits",
            "title": "Edits",
            "goal": {"degrade": True},
            "knowledge": {"log": "full"},
            "attacks": [{"name": "substitution", "parameters": {}}],
            "budgets": [{"edits": 1}, {"edits": 2}],
            "defenses": [{"name": "none"}],
            "plan": ["plain"],
            "surrogate": {"name": "gru4rec"},
            "bound": {"metric": "ndcg@10", "kind": "drop", "limit": 0.1},
        }
    ],
}


def run(
    levels: tuple[float, ...] = (0.3, 0.2), seeds: tuple[int, ...] = (0, 1, 2), clean: float = 0.5, **more: Any
) -> Run:
    """A run with a cell for each attacked level; users differ, and so do seeds, a little."""
    rng = np.random.default_rng(sum(seeds))
    user = np.random.default_rng(9).random(USERS)
    victim, cells, values = more.pop("victim", "gru4rec"), [], {}
    for edits, level in enumerate(levels, start=1):
        draw = 0.02 * rng.standard_normal((2, len(seeds), 1))
        before, after = (np.clip(m * (0.5 + user) * (1 + d), 0, 1) for m, d in zip((clean, level), draw, strict=True))
        fixed = len(seeds) == 1
        cell = CellResult(
            id=f"edits/{victim}/substitution/{edits}",
            threat="edits",
            victim=victim,
            attack="substitution",
            goal="degrade",
            budget=f"{edits} edits",
            planned_on="plain",
            measured_on="plain",
            seeds=list(seeds),
            n_users=USERS,
            bound=BoundResult(metric="ndcg@10", kind="drop", limit=0.1),
            verdict="PASS",
            metrics={
                "ndcg@10": MetricResult(clean=0.5, attacked=level, change=0.4, low=0.3 if fixed else None, high=0.5)
            },
            points=[
                Point(seed=seed, clean=float(c.mean()), attacked=float(a.mean()), change=0.4)
                for seed, c, a in zip(seeds, before, after, strict=True)
            ],
        )
        cells.append(cell.model_copy(update=more.get("cell", {})))
        values[cell.id] = Values(seeds, before, after)
    results = example().model_copy(
        update={
            "cells": cells,
            "threats": [ThreatResult(id="edits", title="Edits", verdict="PASS", summary="", cells=[])],
            "scenario": copy.deepcopy(SCENARIO),
            "environment": {"data": "d" * 32, "seqrobust": "0.1.0"},
        }
    )
    return Run(Path(more.get("folder", "a")), results, more.get("checksum", str(seeds)), values)


def compared(base: Run, candidate: Run) -> Comparison:
    return decide(base, candidate, check_comparable(base, candidate), Margins(), alpha=0.05)


def found(low: float, high: float) -> Difference:
    loss = Limits((low + high) / 2, low, high)
    return Difference(loss, 0.0, 0.5, 0.5, (0.5, 0.3, 0.5, 0.3), None, None, 100, 5)


# --- the rule


@pytest.mark.parametrize(
    ("low", "high", "p_worse", "p_better", "expected"),
    [
        (0.12, 0.30, 0.001, 1.0, "worse"),
        (0.02, 0.15, 0.01, 1.0, "worse"),
        (0.02, 0.15, 0.08, 1.0, "can't be told"),  # not after the correction
        (0.02, 0.08, 0.001, 1.0, "not worse"),  # a loss, but within the margin
        (-0.05, 0.05, 0.5, 0.5, "not worse"),
        (-0.05, 0.15, 0.3, 0.7, "can't be told"),
        (-0.30, -0.10, 1.0, 0.001, "better"),
        (-0.30, -0.01, 1.0, 0.2, "not worse"),
    ],
)
def test_the_outcome_follows_from_the_interval(
    low: float, high: float, p_worse: float, p_better: float, expected: str
) -> None:
    assert outcome(found(low, high), p_worse, p_better, 0.10, 0.05) == expected


def test_the_correction_is_holms() -> None:
    assert adjusted({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


@pytest.mark.parametrize(
    ("base", "candidate", "expected"),
    [
        ((0, 1, 2), (0, 1, 2), ([0, 1, 2], [0, 1, 2], True)),
        ((0, 1, 2), (2, 1, 0, 3, 4), ([0, 1, 2], [2, 1, 0], True)),
        ((5, 6, 7, 8, 9), (7, 8, 9), ([2, 3, 4], [0, 1, 2], True)),
        ((0, 1, 2), (5, 6, 7), ([0, 1, 2], [0, 1, 2], False)),
        ((0, 1, 2), (2, 3, 4, 5), ([0, 1, 2], [1, 2, 3], False)),
        ((0, 1, 2, 3, 4), (4, 5, 6), ([0, 1, 2, 3], [0, 1, 2], False)),
    ],
)
def test_how_seeds_pair(base: tuple[int, ...], candidate: tuple[int, ...], expected: object) -> None:
    assert align(base, candidate) == expected


def test_margins_are_read_and_refused() -> None:
    assert Margins.parse("5%", "1.5pp") == Margins(0.05, 0.015)
    assert Margins.parse("0.2", ".01") == Margins(0.2, 0.01)
    for quality, exposure in (("5 percent", "2pp"), ("0%", "2pp"), ("10%", "120%"), ("-5%", "2pp"), ("10%", "2")):
        with pytest.raises(InputError, match="margin"):
            Margins.parse(quality, exposure)


def test_one_exit_code_for_two() -> None:
    assert [first_of(0, 0), first_of(0, 1), first_of(3, 1), first_of(4, 2), first_of(4, 3), first_of(0, 4)] == [
        0,
        1,
        1,
        2,
        3,
        4,
    ]


# --- whole comparisons


def test_a_loss_a_gain_and_no_change() -> None:
    base = run((0.3, 0.3))
    told = {level: compared(base, run((level, 0.3))) for level in (0.2, 0.3, 0.4)}
    assert [told[level].cells[0].outcome for level in told] == ["worse", "not worse", "better"]
    assert [told[level].outcome for level in told] == ["worse", "not worse", "better"]
    assert [told[level].exit_code(strict=True) for level in told] == [1, 0, 0]
    loss = told[0.2].cells[0].loss
    assert loss is not None
    assert loss.mean == pytest.approx(1 / 3)
    assert loss.low < 1 / 3 < loss.high


def test_a_better_start_that_falls_to_the_same_level_is_told_as_both() -> None:
    cell = compared(run((0.3,)), run((0.3,), clean=0.6)).cells[0]
    assert cell.outcome == "not worse"
    assert cell.deeper is not None
    assert cell.deeper.mean == pytest.approx(0.3 / 0.5 - 0.3 / 0.6, abs=0.002)
    assert cell.clean is not None
    assert cell.clean.high < 0


def test_where_a_loss_comes_from_is_said() -> None:
    assert "worse on clean data, too" in compared(run((0.3,)), run((0.2,), clean=1 / 3)).cells[0].reason
    assert "takes more" in compared(run((0.3,)), run((0.2,))).cells[0].reason


def test_only_the_shared_seeds_count_where_one_run_has_all_of_the_other() -> None:
    base = run((0.3,), seeds=(7, 0, 1, 2, 8))
    (values,) = base.values.values()
    cell = compared(base, run((0.3,))).cells[0]
    assert (cell.base_seeds, cell.candidate_seeds, cell.same_seeds) == ([0, 1, 2], [0, 1, 2], True)
    assert cell.base_attacked == pytest.approx(values.attacked[1:4].mean())
    assert cell.base_clean == pytest.approx(values.clean[1:4].mean())


def test_too_few_seeds_cannot_be_told() -> None:
    lone = run(seeds=(0, 1))
    comparison = compared(run(), lone)
    assert {cell.outcome for cell in comparison.cells} == {"can't be told"}
    assert "too few seeds: 2" in comparison.cells[0].reason
    assert (comparison.exit_code(), comparison.exit_code(strict=True)) == (0, 4)
    unknown = {"metrics": {"ndcg@10": MetricResult(clean=0.5, attacked=0.3, change=0.4)}}
    assert "too few seeds: 1" in compared(run(), run(seeds=(0,), cell=unknown)).cells[0].reason


def test_a_fixed_model_needs_no_seeds() -> None:
    assert compared(run(seeds=(0,)), run(seeds=(5,))).outcome == "not worse"
    assert compared(run(seeds=(0,)), run((0.2, 0.1), seeds=(5,))).outcome == "worse"
    assert compared(run(), run((0.2, 0.1), seeds=(0,))).outcome == "worse"


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"verdict": "ERROR", "reason": "undertrained"}, "ended in an error in the candidate: undertrained"),
        ({"points": [], "reason": "no gradients"}, "not measured in the candidate: no gradients"),
        ({"retrain": "scratch"}, "trained from scratch"),
    ],
)
def test_a_cell_that_went_wrong_cannot_be_told(update: dict[str, Any], reason: str) -> None:
    base, candidate = run(), run()
    candidate.results.cells[1] = candidate.results.cells[1].model_copy(update=update)
    comparison = compared(base, candidate)
    assert [cell.outcome for cell in comparison.cells] == ["not worse", "can't be told"]
    assert reason in comparison.cells[1].reason


def test_an_attack_that_was_held_back_shows_no_robustness() -> None:
    flag = {"flags": [Flag(name="zero_gradient", cause="c", remedy="r")]}
    masked = compared(run(), run((0.45, 0.4), cell=flag))
    assert {cell.outcome for cell in masked.cells} == {"can't be told"}
    assert "held back" in masked.cells[0].reason
    assert {cell.outcome for cell in compared(run(cell=flag), run((0.45, 0.4), cell=flag)).cells} == {"better"}
    assert compared(run(), run((0.2, 0.1), cell=flag)).outcome == "worse"


def test_one_model_each_is_paired_whatever_it_is_called() -> None:
    comparison = compared(run(victim="shop:v1"), run(victim="shop:v2"))
    assert [cell.base_cell for cell in comparison.cells] == [f"edits/shop:v1/substitution/{n}" for n in (1, 2)]
    assert "'shop:v2' is compared with the base's 'shop:v1'" in comparison.notes[0]


def test_a_cell_of_one_run_only_is_listed() -> None:
    comparison = compared(run(), run((0.3,)))
    assert comparison.missing == ["edits/gru4rec/substitution/2: only in the base"]
    assert comparison.exit_code(strict=True) == 4


# --- what cannot be compared


def changed(results: Results, change: Callable[[Results], object]) -> Results:
    copied = results.model_copy(deep=True)
    change(copied)
    return copied


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.environment.update(data="e" * 32), "the train rows, the evaluated users or their true next items"),
        (lambda r: r.environment.pop("data"), "does not say which data"),
        (lambda r: setattr(r.dataset, "rows", 7), "other rows of the log"),
        (lambda r: setattr(r.dataset, "seen", "exclude"), "already seen"),
        (lambda r: r.scenario.update(split={"global-time": 0.9}), "other split"),
        (lambda r: r.scenario.update(users=50), "other most users evaluated: 1000 there, 50 here"),
        (lambda r: r.scenario.update(retrain="scratch"), "other retraining"),
        (lambda r: r.scenario["threats"][0].update(budgets=[{"edits": 3}]), "other budgets of the threat 'edits'"),
        (lambda r: r.scenario["threats"][0]["attacks"][0].update(name="beam"), "other attacks of the threat 'edits'"),
        (lambda r: r.scenario["threats"][0].update(goal={"promote": "cold*5"}), "other goal"),
        (lambda r: r.scenario["threats"][0].update(knowledge={"log": "none"}), "other knowledge"),
        (lambda r: r.scenario["threats"][0]["bound"].update(metric="hr@10"), "other metric bounded"),
        (lambda r: r.scenario["threats"][0].update(id="moved"), "no threat is in both"),
        (lambda r: r.cells.clear(), "several models|not one cell"),
    ],
)
def test_runs_that_are_not_comparable_are_refused(change: Callable[[Results], object], reason: str) -> None:
    base = run()
    candidate = replace(base, results=changed(base.results, change))
    with pytest.raises(InputError, match=r"cannot be compared") as refused:
        check_comparable(base, candidate)
    assert any(part in str(refused.value) for part in reason.split("|"))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.scenario.update(seeds=[3, 5], title="Other", accept=[]),
        lambda r: r.scenario["threats"][0]["bound"].update(limit=0.2),
        lambda r: r.scenario["threats"][0].update(
            title="Other", surrogate={"name": "sasrec"}, news="a later version's"
        ),
    ],
)
def test_what_changes_no_measurement_may_differ(change: Callable[[Results], object]) -> None:
    base = run()
    assert len(check_comparable(base, replace(base, results=changed(base.results, change))).cells) == 2


def test_every_reason_is_given_at_once() -> None:
    def change(results: Results) -> None:
        results.dataset.rows = 7
        results.scenario["users"] = 50

    base = run()
    with pytest.raises(InputError, match=r"(?s)rows of the log.*users evaluated"):
        check_comparable(base, replace(base, results=changed(base.results, change)))


# --- what is shown


def test_hostile_names_stay_names() -> None:
    hostile = "<script>|\x1b[31m\u202e@team"
    candidate = run((0.2, 0.1), victim=hostile, folder="x|y`z")
    candidate.results.threats[0].title = hostile
    for cell in candidate.results.cells:
        cell.attack = "a|b\n# c"
    base = run(victim=hostile)
    for cell in base.results.cells:
        cell.attack = "a|b\n# c"
    text = render_markdown(compared(base, candidate))
    assert "<script>" not in text
    assert not {"\x1b", "\u202e"} & set(text)
    assert "\n# c" not in text
    rows = [line for line in text.splitlines() if line.startswith("| WORSE")]
    assert len(rows) == 2
    assert {line.replace("\\|", "").count("|") for line in rows} == {9}


def test_the_console_says_what_the_markdown_says(capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compared(run(), run((0.2, 0.2)))
    print_comparison(comparison)
    shown = " ".join(capsys.readouterr().out.split())
    for text in (shown, " ".join(render_markdown(comparison).split())):
        assert comparison.headline in text
        assert "WORSE" in text
        assert "compared seed by seed" in text
    assert f"{comparison.cells[0].base_attacked:.3f}" in shown


def test_a_comparison_reads_back() -> None:
    comparison = compared(run(), run((0.2, 0.2)))
    assert Comparison.model_validate_json(comparison.model_dump_json(by_alias=True)) == comparison
