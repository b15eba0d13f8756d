"""Steps that mean the same have the same key, so that a review pays for them once."""

from __future__ import annotations

from robust.runner.cell import Cell
from robust.runner.engines import closure
from robust.runner.prepare import Request, prepare
from robust.runner.step import plugin_params


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
