"""Which outcome follows from which interval, and how seeds, users and targets pair."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from robust.compare.baseline import first_of
from robust.compare.comparable import check_comparable
from robust.compare.decide import Margins, adjusted, decide, outcome
from robust.compare.runs import Run, Values
from robust.compare.seeds import Rows, align
from robust.errors import InputError
from robust.runner.records import ItemResult, TargetResult
from robust.runner.results import BoundResult, Flag, MetricResult, SurrogateResult
from robust.statistics import Limits
from robust.statistics.differences import Difference
from tests.unit.compare.example import USERS, compared, run


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
def test_how_seeds_pair(
    base: tuple[int, ...], candidate: tuple[int, ...], expected: tuple[list[int], list[int], bool]
) -> None:
    assert align(base, candidate) == Rows(*expected)


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


def test_a_cell_that_stands_twice_is_corrected_for_two() -> None:
    base, candidate = run((0.3, 0.3)), run((0.29, 0.29), seeds=(5, 6, 7))
    for one in (base, candidate):
        first, second = one.values
        one.values[second] = one.values[first]
    both, alone = compared(base, candidate).cells, compared(run((0.3,)), run((0.29,), seeds=(5, 6, 7))).cells[0]
    assert alone.p_worse is not None
    assert 0 < alone.p_worse < 0.5
    assert [cell.p_worse for cell in both] == pytest.approx([2 * alone.p_worse] * 2)


def test_what_seeds_share_cancels_only_where_they_are_the_same() -> None:
    base = run((0.3,))
    ((name, values),) = base.values.items()
    wild = values.attacked * np.array([[0.5], [1.0], [1.5]])
    base.values[name] = replace(values, attacked=wild)
    widths = []
    for seeds in ((0, 1, 2), (5, 6, 7)):
        lower = {name: Values(seeds, values.clean, 0.9 * wild)}
        loss = compared(base, replace(run((0.27,), seeds=seeds), values=lower)).cells[0].loss
        assert loss is not None
        widths.append(loss.high - loss.low)
    assert widths[1] > 5 * widths[0]


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


def promoting(found: Run, *draws: tuple[int, str]) -> Run:
    """The run as one that promotes an item under each seed."""
    targets = [
        TargetResult(goal="promote any*1", threats=["edits"], seeds=[seed], items=[ItemResult(id=item)])
        for seed, item in draws
    ]
    return replace(found, results=found.results.model_copy(update={"targets": targets}))


def test_a_fixed_model_is_compared_on_the_same_targets_only() -> None:
    base, ruined = promoting(run(seeds=(0,)), (0, "a")), run((0.2, 0.1), seeds=(5,))
    assert compared(base, promoting(ruined, (5, "a"))).outcome == "worse"
    lucky = compared(base, promoting(ruined, (5, "b")))
    assert {cell.outcome for cell in lucky.cells} == {"can't be told"}
    assert "other targets" in lucky.cells[0].reason
    trained = promoting(run((0.2, 0.1)), (0, "a"), (1, "b"), (2, "c"))
    assert compared(base, trained).outcome == "can't be told"
    drawn_anew = promoting(run(), (0, "a"), (1, "b"), (2, "c")), promoting(run(seeds=(5, 6, 7)), (5, "d"), (6, "e"))
    assert compared(*drawn_anew).outcome == "not worse"


def test_one_model_twice_is_not_worse_however_little_its_ruin_leaves_to_tell() -> None:
    def marked(mark: str, level: float = 0.002) -> Run:
        found = run((level,), seeds=(0,), checksum=f"{mark} {level}")
        found.results.environment["models"] = {"gru4rec": mark}
        return found

    cell = compared(marked("a"), replace(marked("a"), checksum="again")).cells[0]
    assert (cell.outcome, cell.reason) == ("not worse", "it is the same model, and every user got the same")
    assert compared(marked("a"), marked("a")).cells[0].outcome == "not worse"
    assert compared(marked("a"), marked("b")).cells[0].outcome == "can't be told"
    assert compared(marked("a"), marked("a", 0.0021)).cells[0].outcome == "can't be told"
    unknown = [replace(run((0.002,), seeds=(0,)), checksum=checksum) for checksum in "ab"]
    assert compared(*unknown).cells[0].outcome == "can't be told"
    assert "is about the base's" in compared(*unknown).cells[0].reason


@pytest.mark.parametrize("kind", ["drop", "rise"])
def test_outcomes_are_those_of_scipys_t_tests(kind: str) -> None:
    """Two fixed models: plus-two, then one-sided tests of the margin, of a loss and of a gain."""
    bound = {"bound": BoundResult(metric="ndcg@10", kind=kind, limit=0.1)}
    base, rng, told = run((0.3,), seeds=(0,), cell=bound), np.random.default_rng(8), Counter[str]()
    margins = Margins(0.15, 0.05)
    for level in np.linspace(0.15, 0.45, 40):
        hits = [(rng.random((1, USERS)) < mean).astype(float) for mean in (0.3, level)]
        name = "edits/gru4rec/substitution/1"
        old, new = (replace(base, values={name: Values((0,), hit, hit)}, checksum=str(hit)) for hit in hits)
        before, after = (hit[0] if kind == "drop" else -hit[0] for hit in hits)  # more is better
        margin, worst = (0.15 * before, -0.85) if kind == "drop" else (0.05, -0.95)
        z = after - before + margin
        p = {
            "inside": stats.ttest_1samp([*z, worst, worst], 0, alternative="greater").pvalue,
            "loss": stats.ttest_1samp([*(after - before), 1, 1], 0, alternative="less").pvalue,
            "gain": stats.ttest_1samp([*(after - before), -1, -1], 0, alternative="greater").pvalue,
        }
        if p["inside"] <= 0.05:
            expected = "better" if p["gain"] <= 0.05 else "not worse"
        else:
            expected = "worse" if p["loss"] <= 0.05 else "can't be told"
        assert decide(old, new, check_comparable(old, new), margins, alpha=0.05).outcome == expected, level
        told[expected] += 1
    assert len(told) == 4, told


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


def _copy(**changed: Any) -> dict[str, Any]:
    made = {"model": "gru4rec from 5,000 lists", "queries": 5_000, "extract": {"queries": 5_000, "length": 20, "k": 50}}
    own = SurrogateResult(**{**made, "agreement": {"agreement@10": 0.8}, **changed})
    return {"planned_on": "surrogate", "surrogate": own}


def test_copies_that_were_made_in_different_ways_show_nothing_of_their_victims() -> None:
    """A weaker copy of the candidate looks like robustness, though the scenario says nothing of either."""
    alike = compared(run(cell=_copy()), run((0.45, 0.4), cell=_copy(agreement={"agreement@10": 0.7})))
    assert {cell.outcome for cell in alike.cells} == {"better"}
    ways: list[dict[str, Any]] = [
        {"model": "gru4rec from 20,000 lists", "queries": 20_000},
        {"model": "sasrec from 5,000 lists"},
        {"extract": {"queries": 5_000, "length": 5, "k": 50}},
    ]
    for changed in ways:
        other = compared(run(cell=_copy()), run((0.45, 0.4), cell=_copy(**changed)))
        assert {cell.outcome for cell in other.cells} == {"can't be told"}
        assert "copies made in different ways: gru4rec from 5,000 lists (length 20, k 50)" in other.cells[0].reason
    unlike = {**_copy(), "flags": [Flag(name="unfaithful_surrogate", cause="c", remedy="r")]}
    assert {cell.outcome for cell in compared(run(cell=_copy()), run((0.45, 0.4), cell=unlike)).cells} == {
        "can't be told"
    }


def test_an_attack_that_was_held_back_shows_no_robustness() -> None:
    flag = {"flags": [Flag(name="zero_gradient", cause="c", remedy="r")]}
    masked = compared(run(), run((0.45, 0.4), cell=flag))
    assert {cell.outcome for cell in masked.cells} == {"can't be told"}
    assert "held back" in masked.cells[0].reason
    assert {cell.outcome for cell in compared(run(cell=flag), run((0.45, 0.4), cell=flag)).cells} == {"better"}
    assert compared(run(), run((0.2, 0.1), cell=flag)).outcome == "worse"
    spared = compared(run(cell=flag), run((0.2, 0.1)))
    assert spared.outcome == "worse"
    assert "may be no more robust" in spared.cells[0].reason


def test_one_model_each_is_paired_whatever_it_is_called() -> None:
    comparison = compared(run(victim="shop:v1"), run(victim="shop:v2"))
    assert [cell.base_cell for cell in comparison.cells] == [f"edits/shop:v1/substitution/{n}" for n in (1, 2)]
    assert "'shop:v2' is compared with the base's 'shop:v1'" in comparison.notes[0]


def test_a_cell_of_one_run_only_is_listed() -> None:
    comparison = compared(run(), run((0.3,)))
    assert comparison.missing == ["edits/gru4rec/substitution/2: only in the base"]
    assert comparison.headline.endswith("not worse in the one cell compared. Not compared: 1 that only one run has.")
    assert comparison.exit_code(strict=True) == 4
