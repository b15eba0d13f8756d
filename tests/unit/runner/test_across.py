"""Flags that need two cells: a weaker attacker that did more than a stronger one, beyond chance."""

from __future__ import annotations

import pytest

from robust.runner.across import flag_across
from robust.runner.cell import Cell
from robust.runner.judging import Assessment
from robust.runner.results import CellResult
from tests.unit.runner.cells import EDITED, PROMOTED, one, outcome, planned

Found = tuple[CellResult, Assessment]


def flagged(*outcomes: Found) -> list[list[str]]:
    """The flags that a comparison adds to each."""
    for record, _ in outcomes:
        record.flags.clear()
    flag_across([record for record, _ in outcomes], [assessment for _, assessment in outcomes])
    return [[flag.name for flag in record.flags] for record, _ in outcomes]


@pytest.fixture(params=[True, False], ids=["fixed model", "three seeds"])
def edited(request: pytest.FixtureRequest) -> list[Cell]:
    return planned(EDITED, fixed=request.param)


def test_a_black_box_that_does_more_is_told_at_the_white_box(edited: list[Cell]) -> None:
    white, black = one(edited, "white", 2), one(edited, "black", 2)
    found = outcome(white, 0.6), outcome(black, 0.3)
    assert flagged(*found) == [["black_box_stronger"], []]
    cause = found[0][0].flags[0].cause
    assert "'random-substitution' at 2 edits: HR@10 down" in cause
    assert "sees lists only" in cause


def test_a_white_box_that_does_as_much_or_more_is_sound(edited: list[Cell]) -> None:
    white, black = one(edited, "white", 2), one(edited, "black", 2)
    assert flagged(outcome(white, 0.3), outcome(black, 0.6)) == [[], []]
    assert flagged(outcome(white, 0.5), outcome(black, 0.5)) == [[], []]
    assert flagged(outcome(white, 0.5), outcome(black, 0.485)) == [[], []]  # within chance


def test_other_budgets_and_other_goals_are_not_compared(edited: list[Cell]) -> None:
    white = outcome(one(edited, "white", 1), 0.7)
    assert flagged(white, outcome(one(edited, "black", 2), 0.1)) == [[], []]
    longer = planned(EDITED.replace("hr@10", "hr@5"), fixed=one(edited, "white", 1).fixed)
    assert flagged(white, outcome(one(longer, "black", 1), 0.1)) == [[], []]
    told = planned(EDITED.replace("{model: lists}", "{model: lists, next_item: true}"))
    assert flagged(white, outcome(one(told, "black", 1), 0.1)) == [[], []]
    more = planned(EDITED.replace("{model: lists}", "{model: lists, log: full}"))
    assert flagged(white, outcome(one(more, "black", 1), 0.1)) == [[], []]


def test_what_counts_is_what_an_attack_looked_at(edited: list[Cell]) -> None:
    """A search that asks lists, but began from an attack that follows gradients, is no black box."""
    white, black = one(edited, "white", 2), one(edited, "black", 2)
    assert flagged(outcome(white, 0.6), outcome(black, 0.3, sees="gradients")) == [[], []]
    assert flagged(outcome(white, 0.6, sees="lists"), outcome(black, 0.3)) == [[], []]


def test_a_larger_budget_that_does_less(edited: list[Cell]) -> None:
    small, large = one(edited, "white", 1), one(edited, "white", 2)
    found = outcome(small, 0.3), outcome(large, 0.6)
    assert flagged(*found) == [[], ["larger_budget_weaker"]]
    assert "'substitution' at 1 edit: HR@10 down" in found[1][0].flags[0].cause
    assert flagged(outcome(small, 0.6), outcome(large, 0.3)) == [[], []]
    assert flagged(outcome(small, 0.5), outcome(large, 0.5)) == [[], []]
    assert flagged(outcome(small, 0.5), outcome(large, 0.515)) == [[], []]


def test_exposure_is_worse_where_it_is_higher() -> None:
    found = planned(PROMOTED)
    small, large = one(found, "promotion", 0.01), one(found, "promotion", 0.03)
    assert flagged(outcome(small, 0.4, clean=0.1), outcome(large, 0.2, clean=0.1)) == [[], ["larger_budget_weaker"]]
    assert flagged(outcome(small, 0.2, clean=0.1), outcome(large, 0.4, clean=0.1)) == [[], []]


def test_a_transferred_attack_that_does_more_than_the_direct_one(edited: list[Cell]) -> None:
    oblivious = one(edited, "white", 2, "surprise", "plain")
    adaptive = one(edited, "white", 2, "surprise", "protected")
    found = outcome(oblivious, 0.3), outcome(adaptive, 0.6)
    assert flagged(*found) == [[], ["transfer_stronger"]]
    assert "planned on the plain" in found[1][0].flags[0].cause
    assert flagged(outcome(oblivious, 0.6), outcome(adaptive, 0.3)) == [[], []]
    assert flagged(outcome(oblivious, 0.5), outcome(adaptive, 0.5)) == [[], []]


@pytest.mark.parametrize("fixed", [True, False])
def test_a_surrogate_that_serves_better_than_the_victim_itself(fixed: bool) -> None:
    text = EDITED.replace("{model: gradients}", "{model: gradients, log: full}\n    plan: [plain, surrogate]")
    cells = planned(text, fixed=fixed)
    direct, transferred = (one(cells, "white", 2, planned_on=on) for on in ("plain", "surrogate"))
    assert flagged(outcome(transferred, 0.3), outcome(direct, 0.6)) == [[], ["transfer_stronger"]]
    assert flagged(outcome(transferred, 0.6), outcome(direct, 0.3)) == [[], []]
    assert flagged(outcome(transferred, 0.3, seeds=2), outcome(direct, 0.6)) == [[], []]


def test_a_flag_on_a_transfer_speaks_of_the_surrogate_and_not_of_the_victim() -> None:
    learnt = PROMOTED.replace("attacks: [random]", "attacks: [alternating]\n    plan: [surrogate]")
    learnt = learnt.replace("goal: {promote: cold*2}", "goal: {promote: cold*2}\n    knowledge: {log: full}")
    (transferred,) = [c for c in planned(learnt) if (c.budget_spec.size, c.defense) == (0.01, None)]
    blind = one(planned(PROMOTED), "promotion", 0.01)
    found = outcome(transferred, 0.2, clean=0.1), outcome(blind, 0.4, clean=0.1)
    assert flagged(*found) == [["black_box_stronger"], []]
    flag = found[0][0].flags[0]
    assert "though it sees nothing of the model." in flag.cause
    assert "though it sees gradients of a surrogate:" in flag.cause
    assert "The model's gradients" not in flag.remedy


def test_an_attack_that_never_looks_at_a_model_is_not_transferred() -> None:
    found = planned(PROMOTED)
    blind, adaptive = (one(found, "promotion", 0.01, "pca", on) for on in ("none", "protected"))
    assert flagged(outcome(blind, 0.4, clean=0.1), outcome(adaptive, 0.2, clean=0.1)) == [[], []]


def test_the_hardest_of_several_is_named_once(edited: list[Cell]) -> None:
    twice = EDITED.replace("[random-substitution]", "[random-substitution, {name: random-substitution, tries: 9}]")
    cells = planned(twice, fixed=one(edited, "white", 1).fixed)
    white = one(cells, "white", 2)
    blacks = [c for c in cells if c.threat.id == "black" and c.budget_spec.size == 2]
    found = [outcome(white, 0.7), outcome(blacks[0], 0.4), outcome(blacks[1], 0.2)]
    assert flagged(*found) == [["black_box_stronger"], [], []]
    assert found[2][0].metrics["hr@10"].change > 0.6
    assert "down 7" in found[0][0].flags[0].cause


def test_too_few_seeds_and_cells_in_error_say_nothing() -> None:
    cells = planned(EDITED)
    white, black = one(cells, "white", 2), one(cells, "black", 2)
    assert flagged(outcome(white, 0.6, seeds=2), outcome(black, 0.3)) == [[], []]
    assert flagged(outcome(white, 0.6, seeds=5), outcome(black, 0.3)) == [["black_box_stronger"], []]
    undertrained = outcome(white, 0.6)
    undertrained[0].verdict = "ERROR"
    assert flagged(undertrained, outcome(black, 0.3)) == [[], []]


def test_false_alarms_are_rare(edited: list[Cell]) -> None:
    """Two attacks that do the same, on users who are drawn anew each time."""
    import numpy as np

    from tests.unit.runner import cells as planted

    white, black = one(edited, "white", 2), one(edited, "black", 2)
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(100):
        found = outcome(white, 0.5), outcome(black, 0.5)
        for _, assessment in found:
            attacked = assessment.measured.attacked
            attacked[:] = [planted.ranked(rng.random(planted.USERS) < 0.5) for _ in attacked]
        alarms += flagged(*found) != [[], []]
    assert alarms <= 5
