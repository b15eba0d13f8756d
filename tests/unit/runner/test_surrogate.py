"""Attacks planned on the attacker's own model: what is trained, what it knows, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from robust.errors import InputError
from robust.log import LogEdit, Scope
from robust.runner.plan import Cell, base_fit
from robust.runner.prepare import Request, prepare
from robust.runner.steps import OTHER_SEED, Job, Workshop, evade, extract, fit
from robust.runner.store import Artifact, Store

SCENARIO = """\
schema: 1
dataset: flights
victims: [markov, {{name: gru4rec, max_steps: 5, min_steps: 5}}]
seeds: [3]
users: 40
threats:
  - id: transfer
    goal: {{degrade: true}}
    knowledge: {{log: {log}, model: {model}}}
    attacks: [{attack}]
    budgets: [{budget}]
    plan: [{plan}]
    surrogate: {surrogate}
    bound: {{metric: ndcg@10, kind: drop, limit: 0.1}}
"""
SMALL = "{name: gru4rec, dimension: 8, hidden: 8, max_steps: 5, min_steps: 5}"


def request_of(tmp_path: Path, **changes: str) -> Request:
    given = {"log": "full", "model": "none", "attack": "substitution", "budget": "{edits: 1}", "plan": "surrogate"}
    path = tmp_path / "transfer.yaml"
    path.write_text(SCENARIO.format(**{**given, "surrogate": SMALL, **changes}))
    return Request(scenario=str(path), out=tmp_path / "out")


def cells_of(tmp_path: Path, **changes: str) -> list[Cell]:
    return prepare(request_of(tmp_path, **changes), None).cells


def test_a_surrogate_brings_gradients_to_a_victim_that_has_none(tmp_path: Path) -> None:
    cells = cells_of(tmp_path)
    assert [cell.planned_on for cell in cells] == ["surrogate", "surrogate"]
    assert [cell.obstacle() for cell in cells] == [None, None]


def test_direct_and_transfer_stand_side_by_side(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, model="gradients", plan="plain, surrogate")
    assert [cell.planned_on for cell in cells] == ["plain", "surrogate"] * 2
    assert "needs gradients" in str(cells[0].obstacle())  # markov itself has none


def test_the_surrogate_has_another_seed_than_the_victim(tmp_path: Path) -> None:
    """The same architecture with the victim's own seed would be the victim."""
    cell = cells_of(tmp_path)[1]
    steps = cell.steps(4)
    planned, measured = steps.planning.inputs["model"], steps.attacked.inputs["model"]
    assert (planned.params["seed"], measured.params["seed"]) == (4 + OTHER_SEED, 4)
    assert planned.params["victim"] != measured.params["victim"]


def test_it_is_queried_for_nothing(tmp_path: Path) -> None:
    request = request_of(tmp_path, budget="{edits: 1, queries: 1}")
    store = Store(tmp_path / "store")
    cell = prepare(request, store).cells[0]
    workshop = Workshop(store)
    planning = cell.steps(0).planning
    store.put(planning.inputs["model"].key, fit(workshop, planning.inputs["model"].job()))
    found = evade(workshop, planning.job())
    assert found.note["queries"] == 0
    assert found.note["changed"] > 0


EXTRACTED = SMALL.replace("}", ", extract: {queries: 47, length: 5, k: 4}}")


def test_a_surrogate_from_lists_needs_no_log_and_its_lists_are_counted(tmp_path: Path) -> None:
    request = request_of(tmp_path, log="none", model="lists", surrogate=EXTRACTED)
    store = Store(tmp_path / "store")
    prepared = prepare(request, store)
    workshop = Workshop(store)
    cell = prepared.cells[0]
    planning = cell.steps(0).planning
    taken = planning.inputs["model"]
    victim = taken.inputs["model"]
    assert (taken.kind, victim) == ("extract", base_fit(cell.victim, cell.ground, 0))
    store.put(victim.key, fit(workshop, victim.job()))
    found = extract(workshop, taken.job())
    assert found.note["queries"] == 45  # nine whole histories of five
    assert set(found.note["faithful"]) == {"agreement@1", "agreement@10"}
    store.put(taken.key, found)
    assert evade(workshop, planning.job()).note["queries"] == 45
    again = Workshop(store).model(taken.params["surrogate"], taken.key)
    asked = prepared.split.train.sequences(10)[:20]
    assert np.array_equal(again.recommend(asked, 10), workshop.model({}, taken.key).recommend(asked, 10))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surrogate": EXTRACTED, "model": "none"}, "needs knowledge.model 'lists'"),
        ({"surrogate": EXTRACTED.replace("47", "4"), "model": "lists"}, "4 queries do not pay for one history of 5"),
        ({"surrogate": EXTRACTED.replace("queries", "querys"), "model": "lists"}, "Did you mean 'queries'"),
        ({"log": "popularity"}, "needs knowledge.log 'full'"),
        ({"surrogate": "{name: absent}"}, "absent"),
        ({"plan": "plain, surrogate"}, "needs gradients of the model"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        cells_of(tmp_path, **changes)


def test_deltas_do_not_transfer(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, attack="pgd", budget="{epsilon: 0.5}")
    assert "mean nothing in the victim's" in str(cells[1].obstacle())


def test_poison_that_reaches_histories_is_read_at_inference(tmp_path: Path) -> None:
    """A poison of scope `train` leaves what a fitted model is asked as it was; one of scope `history` does not."""
    request = request_of(tmp_path)
    store = Store(tmp_path / "store")
    prepared = prepare(request, store)
    log = prepared.split.train
    workshop = Workshop(store)
    newest = log.offsets[1:][log.lengths > 0] - 1
    asked = {}
    for scope in get_args(Scope):
        edit = LogEdit(remove=newest, scope=scope)
        store.put(scope, Artifact({"add": edit.add, "remove": edit.remove}, {"scope": scope}))
        job = Job("rank", {}, {"split": prepared.ground.split.key, "poison": scope}, "key")
        asked[scope] = workshop.situation(job, 5).sequences.items
    users = prepared.split.users
    assert np.array_equal(asked["train"], log.sequences(5, users).items)
    assert np.array_equal(asked["history"][:, 1:], log.sequences(5, users).items[:, :-1])
