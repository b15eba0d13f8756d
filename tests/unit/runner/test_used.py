"""What an attack used of what is granted: by what was counted, by what it needs, and by what it was planned on."""

from __future__ import annotations

import pytest

from robust.runner.used import access_used
from tests.unit.runner.cells import one, outcome, planned

ALL_GRANTED = """\
threats:
  - id: edits
    goal: {degrade: true}
    knowledge: {model: gradients, log: full}
    attacks: [ATTACK]
    budgets: [{edits: 1}]
    defenses: [none, ids-only]
    bound: {metric: hr@10, kind: drop, limit: 0.5}
"""
POISONED = """\
threats:
  - id: fakes
    goal: {promote: cold*2}
    knowledge: {model: gradients, log: full}
    attacks: [ATTACK]
    budgets: [{users: 1%}]
    defenses: [none, pca]
    plan: [plain, protected]
    bound: {metric: target_hr@10, kind: rise, limit: 0.5}
"""
COPIED = """\
threats:
  - id: edits
    goal: {degrade: true}
    knowledge: KNOWLEDGE
    attacks: [substitution]
    budgets: [{edits: 1}]
    plan: [surrogate]
    surrogate: SURROGATE
    bound: {metric: hr@10, kind: drop, limit: 0.5}
"""


def test_what_was_counted_decides_and_not_what_was_granted() -> None:
    cell = one(planned(ALL_GRANTED.replace("ATTACK", "random-substitution")), "edits", 1.0)
    assert access_used(cell, [{"sees": "none"}, {"sees": "none"}]) == {"model": "none", "log": "none"}
    assert access_used(cell, [{"sees": "none"}, {"sees": "lists"}])["model"] == "lists"  # the most under any seed
    assert access_used(cell, [{}])["model"] == "lists"  # nothing was noted: what the attack declares


@pytest.mark.parametrize(("attack", "log"), [("random", "popularity"), ("segment", "full")])
def test_of_the_log_what_the_attack_needs(attack: str, log: str) -> None:
    cells = planned(POISONED.replace("ATTACK", attack))
    assert access_used(one(cells, "fakes", 0.01), [{"sees": "none"}]) == {"model": "none", "log": log}
    adaptive = one(cells, "fakes", 0.01, "pca", "protected")  # rates its fake users among all rows
    assert access_used(adaptive, [{"sees": "none"}])["log"] == "full"
    oblivious = one(cells, "fakes", 0.01, "pca", "none")
    assert access_used(oblivious, [{"sees": "none"}])["log"] == log


def test_an_edit_of_histories_adapts_to_no_sanitiser() -> None:
    cells = planned(ALL_GRANTED.replace("ATTACK", "random-substitution").replace("ids-only", "pca"))
    assert access_used(one(cells, "edits", 1.0, "pca", "protected"), [{"sees": "lists"}])["log"] == "none"


def test_an_order_by_the_train_rows_needs_them() -> None:
    (cell,) = [
        cell for cell in planned(POISONED.replace("ATTACK", "{name: random, order: markov}")) if cell.defense is None
    ]
    assert access_used(cell, [{"sees": "none"}])["log"] == cell.attack.needs_log == "full"


def test_an_attack_that_runs_others_may_have_used_all_that_is_granted_of_the_log() -> None:
    cell = one(planned(ALL_GRANTED.replace("ATTACK", "strongest")), "edits", 1.0)
    assert access_used(cell, [{"sees": "lists"}]) == {"model": "lists", "log": "full"}


def test_who_holds_the_weights_goes_around_a_service() -> None:
    cells = planned(ALL_GRANTED.replace("ATTACK", "random-substitution"))
    inside = one(cells, "edits", 1.0, "ids-only", "protected")
    outside = one(cells, "edits", 1.0, "ids-only", "plain")
    assert access_used(inside, [{"sees": "lists"}])["model"] == "gradients"
    assert access_used(outside, [{"sees": "lists"}])["model"] == "lists"
    guarded = planned(ALL_GRANTED.replace("ATTACK", "random-substitution").replace("ids-only", "surprise"))
    asked = one(guarded, "edits", 1.0, "surprise", "protected")  # nobody need go around what keeps no records
    assert access_used(asked, [{"sees": "lists"}])["model"] == "lists"


@pytest.mark.parametrize(
    ("knowledge", "surrogate", "model", "log"),
    [
        ("{log: full, model: gradients}", "gru4rec", "none", "full"),
        ("{log: none, model: lists}", "{name: gru4rec, extract: {queries: 100}}", "lists", "none"),
        ("{log: full, model: lists}", "{name: gru4rec, extract: {queries: 100}}", "lists", "none"),
    ],
)
def test_a_surrogate_was_made_from_the_log_or_from_lists(knowledge: str, surrogate: str, model: str, log: str) -> None:
    (cell,) = planned(COPIED.replace("KNOWLEDGE", knowledge).replace("SURROGATE", surrogate))
    assert access_used(cell, [{"sees": "gradients"}]) == {"model": model, "log": log}  # the surrogate's gradients


def test_a_record_keeps_it() -> None:
    cell = one(planned(ALL_GRANTED.replace("ATTACK", "random-substitution")), "edits", 1.0)
    record, _ = outcome(cell, 0.7, sees="none")
    assert record.used == {"model": "none", "log": "none"}
    assert record.knowledge["model"] == "gradients"
