"""Attacks planned on the attacker's own model: what is trained, what it knows, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from robust.errors import InputError
from robust.extraction import Extraction, Transcript, distil
from robust.log import LogEdit, Scope
from robust.recommenders.protocols import Recommender
from robust.runner import steps
from robust.runner.cell import Cell
from robust.runner.ground import base_fit
from robust.runner.obstacles import obstacle
from robust.runner.prepare import Request, prepare
from robust.runner.step import OTHER_SEED, Job
from robust.runner.steps import evade, extract, fit
from robust.runner.store import Artifact, Store
from robust.runner.surrogate import COPY_QUERIES
from robust.runner.workshop import Workshop

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
    assert [obstacle(cell) for cell in cells] == [None, None]


def test_direct_and_transfer_stand_side_by_side(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, model="gradients", plan="plain, surrogate")
    assert [cell.planned_on for cell in cells] == ["plain", "surrogate"] * 2
    assert "needs gradients" in str(obstacle(cells[0]))  # markov itself has none


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


DIRECT = {"log": "popularity", "model": "gradients", "plan": "plain, protected"}
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
    assert 0 < found.note["constant"] < 1
    store.put(taken.key, found)
    assert evade(workshop, planning.job()).note["queries"] == 45
    again = Workshop(store).model(taken.params["surrogate"], taken.key)
    asked = prepared.split.train.sequences(cell.victim.context, prepared.split.users)
    lists = again.recommend(asked, 10)
    assert np.array_equal(lists, workshop.model({}, taken.key).recommend(asked, 10))
    theirs = workshop.model(victim.params["victim"], victim.key).recommend(asked, 10)
    shared = [len(set(own) & set(other)) / 10 for own, other in zip(lists.tolist(), theirs.tolist(), strict=True)]
    assert found.note["faithful"]["agreement@10"] == pytest.approx(np.mean(shared))
    assert 0 < np.mean(shared) < 1


def test_a_copy_from_lists_has_another_seed_than_the_victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    cell = prepare(request_of(tmp_path, log="none", model="lists", surrogate=EXTRACTED), store).cells[0]
    taken, workshop = cell.steps(4).planning.inputs["model"], Workshop(store)
    store.put(taken.inputs["model"].key, fit(workshop, taken.inputs["model"].job()))
    seeds: list[int] = []

    def noted(surrogate: Recommender, said: Transcript, how: Extraction, *, seed: int) -> Recommender:
        seeds.append(seed)
        return distil(surrogate, said, how, seed=seed)

    monkeypatch.setattr(steps, "distil", noted)
    extract(workshop, taken.job())
    assert seeds == [4 + OTHER_SEED]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surrogate": EXTRACTED, "model": "none"}, "needs knowledge.model 'lists'"),
        ({"surrogate": EXTRACTED.replace("47", "4"), "model": "lists"}, "4 queries do not pay for one history of 5"),
        ({"surrogate": EXTRACTED.replace("queries", "querys"), "model": "lists"}, "Did you mean 'queries'"),
        ({"log": "popularity"}, "needs knowledge.log 'full'"),
        ({"surrogate": "{name: absent}"}, "absent"),
        ({"plan": "plain, surrogate"}, "needs gradients of the model"),
        ({"surrogate": "none"}, "plan: surrogate needs a model of the attacker's own"),
        ({**DIRECT, "surrogate": "bert4rec"}, "Threat 'transfer': the surrogate bert4rec hides items"),
        ({"surrogate": EXTRACTED, "model": "lists", "budget": "{edits: 1, queries: 44}"}, "alone asks for 45 lists"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        cells_of(tmp_path, **changes)


def test_who_gives_no_gradients_is_copied_without_being_asked(tmp_path: Path) -> None:
    """Beside the cell that cannot be measured; a victim that has them is left as it is."""
    cells = cells_of(tmp_path, **DIRECT)
    assert [(cell.victim.spec.name, cell.planned_on) for cell in cells] == [
        ("markov", "plain"),
        ("markov", "surrogate"),
        ("gru4rec", "plain"),
    ]
    assert "planned on a copy made from its lists instead" in str(obstacle(cells[0]))
    copied = cells[1]
    assert obstacle(copied) is None
    assert copied.surrogate is not None
    assert copied.surrogate.extract == Extraction(queries=COPY_QUERIES)
    assert copied.steps(0).planning.inputs["model"].kind == "extract"


def test_a_copy_meets_the_guard_that_stands_before_its_victim(tmp_path: Path) -> None:
    path = tmp_path / "guarded.yaml"
    text = SCENARIO.format(**DIRECT, attack="substitution", budget="{edits: 1}", surrogate=SMALL)
    path.write_text(text.replace("    plan:", "    defenses: [none, query-budget]\n    plan:"))
    cells = prepare(Request(scenario=str(path), out=tmp_path / "out"), None).cells
    copied = [cell for cell in cells if cell.planned_on == "surrogate"]
    guards = [cell.steps(0).planning.inputs["model"].params["guard"] for cell in copied]
    assert [guard and guard["name"] for guard in guards] == [None, "query-budget"]


def test_a_copy_costs_no_more_lists_than_the_budget_allows(tmp_path: Path) -> None:
    few = cells_of(tmp_path, **DIRECT, budget="{edits: 1, queries: 47}")[1]
    assert few.surrogate is not None
    assert few.surrogate.extract is not None
    assert few.surrogate.extract.spent == 40  # two whole histories of twenty
    assert few.steps(0).planning.params["extracted"] == 40
    one = cells_of(tmp_path, **DIRECT, budget="{edits: 1, queries: 20}")[1]
    assert obstacle(one) is None
    assert one.steps(0).planning.params["extracted"] == 20


def test_a_budget_too_small_for_a_copy_is_told_how_to_do_with_it(tmp_path: Path) -> None:
    budget = "{edits: 1, queries: 7}"
    direct, none, _ = cells_of(tmp_path, **DIRECT, budget=budget)
    assert str(obstacle(direct)) == "needs gradients, which this recommender does not offer"
    said = str(obstacle(none))
    assert f"asks for {COPY_QUERIES:,} lists, but the budget allows 7 queries" in said
    advice = said.partition("surrogate: ")[2]
    taken = cells_of(tmp_path, **{**DIRECT, "surrogate": advice}, budget=budget)[1]
    assert obstacle(taken) is None
    assert taken.surrogate is not None
    assert taken.surrogate.extract == Extraction(queries=7, length=7)
    hopeless = cells_of(tmp_path, **DIRECT, budget="{edits: 1, queries: 1}")[1]
    assert str(obstacle(hopeless)).endswith("no copy can be made of fewer than 2")


@pytest.mark.parametrize(
    ("changes", "queries"), [({"surrogate": "none"}, None), ({"surrogate": EXTRACTED}, 45), ({"attack": "pgd"}, None)]
)
def test_a_scenario_may_say_how_or_that_none_is_wanted(
    tmp_path: Path, changes: dict[str, str], queries: int | None
) -> None:
    budget = "{epsilon: 0.5}" if "attack" in changes else "{edits: 1}"
    copied = [cell for cell in cells_of(tmp_path, **{**DIRECT, "budget": budget, **changes}) if cell.surrogate]
    found = [cell.surrogate.extract.spent for cell in copied if cell.surrogate and cell.surrogate.extract]
    assert found == ([] if queries is None else [queries])


def test_poison_is_planned_on_a_copy_too(tmp_path: Path) -> None:
    """Of a victim that can be retrained, but gives no gradients."""
    request = request_of(tmp_path, **{**DIRECT, "log": "full"}, attack="alternating", budget="{users: 3}")
    path = Path(request.scenario)
    path.write_text(
        path.read_text()
        .replace("{degrade: true}", "{promote: cold*1}")
        .replace("ndcg@10, kind: drop", "target_hr@10, kind: rise")
    )
    cell = prepare(request, None).cells[1]
    assert (cell.planned_on, obstacle(cell)) == ("surrogate", None)
    poison = cell.steps(0).planning
    assert (poison.kind, poison.inputs["model"].kind) == ("poison", "extract")
    assert poison.inputs["model"].inputs["model"] == base_fit(cell.victim, cell.ground, 0)


def test_deltas_do_not_transfer(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, attack="pgd", budget="{epsilon: 0.5}")
    assert "mean nothing in the victim's" in str(obstacle(cells[1]))


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
