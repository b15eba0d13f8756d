"""Steps that mean the same have the same key, so that a review pays for them once; and what cannot be measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robust.runner.cell import Cell
from robust.runner.engines import closure
from robust.runner.obstacles import obstacle
from robust.runner.prepare import Request, prepare
from robust.runner.step import plugin_params
from tests.unit.runner.cells import EDITED, one, planned


def cells() -> list[Cell]:
    return prepare(Request(scenario="quick"), None).cells


def test_a_parameter_written_out_is_the_same_as_its_default() -> None:
    assert plugin_params("attacks", "random", {}) == plugin_params("attacks", "random", {"order": "shuffle"})
    assert plugin_params("attacks", "random", {}) != plugin_params("attacks", "random", {"order": "interleave"})


def test_the_control_of_one_attack_is_the_other_attack() -> None:
    """`random` in the same order is both an attack of `quick` and what its `bandwagon` must beat."""
    by_attack = {(c.attack_spec.name, c.budget_spec.size, c.measured_on): c for c in cells()}
    control = by_attack["bandwagon", 0.01, "plain"].steps(0).control
    assert control == by_attack["random", 0.01, "plain"].steps(0).attacked


def test_quick_fits_each_victim_once_a_seed() -> None:
    """Clean, 2 × 2 poisoned, and behind `pca` clean and 2 × 2; the training defence; each from one clean fit."""
    steps = closure(step for cell in cells() for step in cell.steps(0).steps)
    fits = [step for step in steps if step.kind == "fit"]
    assert sum("share" not in fit.params for fit in fits) == 1
    assert sum("share" in fit.params for fit in fits) == 5 + 5 + 1


@pytest.mark.parametrize(("k", "measured"), [(10, True), (11, False)])
def test_who_gives_lists_of_ten_is_not_judged_by_what_stands_below(k: int, measured: bool) -> None:
    text = EDITED.replace("hr@10", f"hr@{k}").replace("[none, surprise]", "[none, ids-only]")
    scored = one(planned(text), "black", 1)
    listed = replace(scored, victim=replace(scored.victim, capabilities=frozenset({"lists"})))
    assert obstacle(scored) is None
    assert (obstacle(listed) is None) is measured
    served = one(planned(text), "white", 1, "ids-only", "plain")  # what scores there are stay behind the service
    assert (obstacle(served) is None) is measured
