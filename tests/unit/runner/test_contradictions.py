"""Settings that cannot all be meant are told with their line, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.errors import InputError
from robust.runner import steps
from robust.runner.obstacles import obstacle
from robust.runner.prepare import Prepared, Request, check_measurable, prepare
from robust.runner.reading import parse_scenario
from robust.runner.review import review
from tests.unit.runner.cells import one, outcome, planned

BASE = """\
dataset: {file: events.csv}
victims: [VICTIM]
seeds: [3]
threats:
  - id: one
    goal: {GOAL}
    knowledge: {log: full, model: gradients}
    attacks: [ATTACK]
    budgets: [BUDGET]
    defenses: [none]
    bound: {BOUND}
"""
PROMOTED = {
    "VICTIM": "gru4rec",
    "GOAL": "promote: cold*2",
    "ATTACK": "random",
    "BUDGET": "{users: 5%}",
    "BOUND": "metric: target_hr@10, kind: rise, limit: 0.05",
}
EDITED = PROMOTED | {
    "GOAL": "degrade: true",
    "ATTACK": "substitution",
    "BUDGET": "{edits: 1}",
    "BOUND": "metric: ndcg@10, kind: drop, limit: 0.1",
}
EMBEDDED = EDITED | {"ATTACK": "pgd", "BUDGET": "{epsilon: 0.5}"}
DEMOTED = PROMOTED | {
    "GOAL": "demote: popular*2",
    "ATTACK": "reverse-bandwagon",
    "BOUND": "metric: target_hr@10, kind: drop, limit: 0.1",
}


def scenario(given: dict[str, str], **changes: str) -> str:
    text = BASE
    for name, value in {**given, **changes}.items():
        text = text.replace(name, value)
    return text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of 30 users and 42 items, of which one is held by everybody; nothing may be fitted here."""
    monkeypatch.chdir(tmp_path)
    for kind in list(steps.STEPS):
        monkeypatch.delitem(steps.STEPS, kind)
    rows = ["user,item,timestamp"]
    for user in range(30):
        items = ["everybody", *(f"i{(user * 7 + place * 3) % 40}" for place in range(6)), f"last{user % 2}"]
        rows += [f"u{user},{item},{100 * user + place}" for place, item in enumerate(items)]
    (tmp_path / "events.csv").write_text("\n".join(rows))
    return tmp_path


def prepared(text: str) -> Prepared:
    Path("bad.yaml").write_text(text)
    return prepare(Request(scenario="bad.yaml"), None)


@pytest.mark.parametrize("given", [PROMOTED, EDITED, EMBEDDED, DEMOTED])
def test_what_makes_sense_is_prepared(folder: Path, given: dict[str, str]) -> None:
    found = prepared(scenario(given))
    assert found.cells
    check_measurable(found, 0)


@pytest.mark.parametrize(
    ("given", "changes", "line", "said"),
    [
        (PROMOTED, {"BUDGET": "{users: 0}"}, 9, "users: 0 lets the attack do nothing"),
        (PROMOTED, {"BUDGET": "{users: 0%}"}, 9, "users: 0 lets the attack do nothing"),
        (PROMOTED, {"BUDGET": "{users: 1}, {users: 0}"}, 9, "budgets.1.users"),
        (EDITED, {"BUDGET": "{edits: 0}"}, 9, "edits: 0"),
        (EDITED, {"BUDGET": "{edits: 1, queries: 0}"}, 9, "queries: 0"),
        (EMBEDDED, {"BUDGET": "{epsilon: 0}"}, 9, "epsilon: 0"),
        (EDITED, {"ATTACK": "position-removal", "BUDGET": "{rows: 0%}"}, 9, "rows: 0"),
        (EDITED, {"BUDGET": "{users: 1%}"}, 9, "'substitution' spends edits, but the budget '1% fake users'"),
        (EDITED, {"BUDGET": "{epsilon: 0.5}"}, 9, "states epsilon"),
        (EMBEDDED, {"BUDGET": "{edits: 1}"}, 9, "'pgd' spends epsilon"),
        (PROMOTED, {"BUDGET": "{edits: 3}"}, 9, "'random' spends users"),
        (PROMOTED, {"BUDGET": "{rows: 3}"}, 9, "'random' spends users"),
        (PROMOTED, {"BUDGET": "{users: 5%, rows: 3}"}, 9, "states rows and users"),
        (EDITED, {"ATTACK": "position-removal", "BUDGET": "{users: 3}"}, 9, "spends rows"),
        (EDITED, {"ATTACK": "substitution, pgd"}, 9, "give each kind of attack a threat of its own"),
        (EDITED, {"BUDGET": "{edits: 1, profile_length: 9}"}, 9, "state users, too"),
        (EDITED, {"BUDGET": "{edits: 1, norm: linf}"}, 9, "state epsilon, too"),
        (PROMOTED, {"BUDGET": "{users: many}"}, 9, "a count such as 30, or a share such as 1%"),
        (PROMOTED, {"GOAL": "promote: cold*0"}, 6, "draws no target"),
        (PROMOTED, {"GOAL": "degrade: true"}, 11, "exposure needs target items"),
        (PROMOTED, {"BOUND": "metric: target_hr@10, kind: drop, limit: 0.1"}, 11, "kind: rise"),
        (DEMOTED, {"BOUND": "metric: target_hr@10, kind: rise, limit: 0.1"}, 11, "only a drop is harm"),
        (EDITED, {"BOUND": "metric: ndcg@10, kind: level, limit: 0.1"}, 11, "cannot be broken"),
        (PROMOTED, {"ATTACK": "random, bandwagon, random"}, 8, "attacks.2: 'random' stands twice"),
        (PROMOTED, {"ATTACK": "random, {name: random, order: shuffle}"}, 8, "stands twice"),
        (PROMOTED, {"BUDGET": "{users: 5%}, {users: 0.05}"}, 9, "'5% fake users' stands twice"),
        (PROMOTED, {"none": "none, none"}, 10, "'none' stands twice"),
        (PROMOTED, {"[none]": "[{name: pca, against: []}]"}, 10, "against"),
        (PROMOTED, {"VICTIM": "gru4rec, gru4rec"}, 2, "'gru4rec' stands twice"),
        (EDITED, {"model: gradients": "model: lists"}, 5, "needs gradients"),
        (PROMOTED, {"ATTACK": "{name: random, order: markov}", "log: full": "log: popularity"}, 5, "'full'"),
    ],
)  # fmt: skip
def test_a_contradiction_is_named_with_its_line(
    folder: Path, given: dict[str, str], changes: dict[str, str], line: int, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        prepared(scenario(given, **changes))
    assert str(caught.value).startswith(f"bad.yaml, line {line}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "changes", "said"),
    [
        (PROMOTED, {"GOAL": "promote: [i1, nope]"}, "Target item 'nope' is not in events, which has 43 items"),
        (PROMOTED, {"GOAL": "promote: [everybody]"}, "'everybody' is held by all 30 evaluated users"),
        (PROMOTED, {"GOAL": "promote: [i1, everybody]"}, "'everybody' is held by all 30 evaluated users"),
        (PROMOTED, {"GOAL": "promote: cold*2, k: 43"}, "goal.k = 43, but events has 43 items"),
        (PROMOTED, {"BOUND": "metric: target_hr@50, kind: rise, limit: 0.05"}, "bound.metric = target_hr@50"),
        (PROMOTED, {"BUDGET": "{users: 5%, profile_length: 44}"}, "profile_length = 44, but events has 43 items"),
    ],
)
def test_what_contradicts_the_log_is_named(
    folder: Path, given: dict[str, str], changes: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match="Threat 'one': ") as caught:
        prepared(scenario(given, **changes))
    assert said in str(caught.value)


def test_a_threat_that_stands_twice_is_named() -> None:
    text = scenario(PROMOTED)
    body = text[text.index("  - id: one") :]
    again = body.replace("id: one", "id: two").replace("    goal", "    title: Another name\n    goal")
    with pytest.raises(InputError, match=r"line 12: threats\.1: 'two' says the same as an earlier threat"):
        parse_scenario(text + again, "bad.yaml")
    parse_scenario(text + again.replace("limit: 0.05", "limit: 0.1"), "good.yaml")


@pytest.mark.parametrize(
    ("given", "changes", "said"),
    [
        (EMBEDDED, {"VICTIM": "markov"}, "'markov', so nothing was run: pgd: needs gradients"),
        (EMBEDDED, {"none": "surprise"}, "do not meet a guard"),
        (PROMOTED, {"GOAL": "promote: cold*40"}, "'cold*40' needs 40 items"),
        (PROMOTED, {"BUDGET": "{users: 1%}"}, "less than one fake user"),
        (EDITED, {"ATTACK": "position-removal", "BUDGET": "{rows: 0.1%}"}, "less than one row"),
    ],
)
def test_a_review_that_would_measure_nothing_trains_nothing(
    folder: Path, given: dict[str, str], changes: dict[str, str], said: str
) -> None:
    Path("bad.yaml").write_text(scenario(given, **changes))
    with pytest.raises(InputError, match="Nothing of this scenario can be measured on") as caught:
        review(Request(scenario="bad.yaml", engine="serial", out=folder / "out"))
    assert said in str(caught.value)


def test_what_one_victim_lacks_is_no_mistake(folder: Path) -> None:
    found = prepared(scenario(EMBEDDED, VICTIM="markov, gru4rec"))
    assert [obstacle(cell) is None for cell in found.cells] == [False, True]
    check_measurable(found, 0)


def test_times_of_a_log_without_times_cannot_be_attacked(folder: Path) -> None:
    lines = Path("events.csv").read_text().splitlines()
    places = [",".join(line.split(",")[:2]) for line in lines]
    Path("events.csv").write_text("\n".join(places))
    found = prepared(scenario(EDITED, ATTACK="timestamps", BUDGET="{rows: 10%}"))
    assert "needs times" in str(obstacle(found.cells[0]))


def test_budgets_that_differ_are_cells_that_differ(folder: Path) -> None:
    lengths = "{users: 5%, profile_length: 5}, {users: 5%, profile_length: 9}, {users: 5%}"
    norms = "{epsilon: 0.5}, {epsilon: 0.5, norm: linf}, {epsilon: 0.5, unit: absolute}"
    for given, budgets in ((PROMOTED, lengths), (EMBEDDED, norms)):
        found = prepared(scenario(given, BUDGET=budgets)).cells
        assert len({cell.id for cell in found}) == len(found) == 3


def test_a_log_is_looked_for_beside_its_scenario_first(folder: Path) -> None:
    beside = folder / "nested"
    beside.mkdir()
    (beside / "bad.yaml").write_text(scenario(PROMOTED))
    assert prepare(Request(scenario="nested/bad.yaml"), None).log.n_items == 43  # the current folder, if not there
    rows = [f"u{user},j{(user + place) % 15},{place}" for user in range(30) for place in range(9)]
    (beside / "events.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    assert prepare(Request(scenario="nested/bad.yaml"), None).log.n_items == 15
    Path("events.csv").unlink()
    (beside / "events.csv").unlink()
    with pytest.raises(InputError, match=r"nested/events\.csv"):
        prepare(Request(scenario="nested/bad.yaml"), None)


def test_a_seed_under_which_everybody_holds_all_targets_is_not_applicable() -> None:
    """Drawn targets are only known seed by seed, so this shows after the fit."""
    from robust.runner.judging import assess
    from tests.unit.runner.cells import PROMOTED as planted

    cell = one(planned(planted), "promotion", 0.01)
    measured = outcome(cell, 0.1, clean=0.02)[1].measured
    measured.held[1][:] = True
    assessment = assess(cell, measured, None)
    assert assessment.judgement is None
    assert assessment.failure is not None
    assert assessment.failure.kind == "not_applicable"
    assert "every user holds all the targets" in assessment.failure.message
