"""Scenarios: what they expand to, and that every mistake is named with its line."""

from __future__ import annotations

import datetime

import pytest

from robust.errors import InputError, UnknownName
from robust.runner.reading import load_scenario, parse_scenario
from robust.runner.scenario import Scenario, WarmStart

GOOD = """\
schema: 1
title: A title
dataset: flights
victims: [gru4rec, {name: sasrec, context: 20}]
seeds: [3, 5]
retrain: {warm: 0.3}
threats:
  - id: promotion
    goal: {promote: cold*5}
    attacks: [random, {name: bandwagon, selected: 0.2}]
    budgets: [{users: 1%}, {users: 30}]
    defenses: [none, {name: pca, against: [bandwagon]}]
    bound: {metric: target_hr@10, kind: rise, limit: 0.05}
accept:
  - {cell: some-cell, reason: known, until: 2027-03-31}
"""


def test_reads_every_form() -> None:
    scenario = parse_scenario(GOOD, "good.yaml")
    threat = scenario.threats[0]
    assert [v.label for v in scenario.victims] == ["gru4rec", "sasrec(context=20)"]
    assert threat.attacks[1].parameters == {"selected": 0.2}
    assert [b.users for b in threat.budgets] == [0.01, 30]
    assert threat.defenses[1].against == ("bandwagon",)
    assert scenario.retrain == WarmStart(warm=0.3)
    assert scenario.accept[0].until == datetime.date(2027, 3, 31)


def test_survives_a_round_trip_through_json() -> None:
    scenario = parse_scenario(GOOD, "good.yaml")
    assert Scenario.model_validate_json(scenario.model_dump_json(by_alias=True)) == scenario


@pytest.mark.parametrize("name", ["quick", "ci"])
def test_shipped_scenarios_are_valid_and_argue_for_their_bounds(name: str) -> None:
    scenario, text = load_scenario(name)
    assert scenario.threats
    assert "bounds" in text.split("schema:")[0].lower()


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("victims:", "victms:", 4, "Did you mean 'victims'"),
        ("    budgets:", "    budgetts:", 11, "Did you mean 'budgets'"),
        ("goal: {promote: cold*5}", "goal: {promot: cold*5}", 9, "Did you mean 'promote'"),
        ("kind: rise", "kind: raise", 13, "'raise'"),
        ("target_hr@10", "target_hit@10", 13, "target_hr"),
        ("limit: 0.05", "limit: 1.5", 13, "less than 1"),
        ("limit: 0.05", "limit: .nan", 13, "finite"),
        ("users: 1%", "users: 300%", 11, "share"),
        ("[random,", "[randm,", 10, "Did you mean 'random'"),
        ("selected: 0.2", "selectd: 0.2", 10, "Did you mean 'selected'"),
        ("name: pca", "name: pcaa", 12, "Did you mean 'pca'"),
        ("against: [bandwagon]", "against: [bandwagn]", 8, "Did you mean 'bandwagon'"),
        ("cold*5", "cold5", 9, "cold*5"),
        ("seeds: [3, 5]", "seeds: [4]", 5, "3, 5 and 10"),
        ("seeds: [3, 5]", "seeds: [5, 3]", 5, "increase"),
        ("schema: 1", "schema: 2", 1, "1"),
        ("warm: 0.3", "warm: 3", 6, "less than or equal to 1"),
        ("    bound: {metric: target_hr@10, kind: rise, limit: 0.05}\n", "", 8, "bound: this field is required"),
        ("kind: rise", "kind: drop", 13, "exposure"),
        ("until: 2027-03-31", "until: soon", 15, "until"),
        ("    attacks: [random,", "    attacks: [substitution,", 8, "substitution"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        parse_scenario(GOOD.replace(old, new), "mine.yaml")
    message = str(caught.value)
    assert f"mine.yaml, line {line}:" in message
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x]\nb: [*a,*a\n", "line"),
        ("a: &a [x]\nb: [*a, *a]\n", "aliases"),
        ("- just\n- a list\n", "mapping"),
        ("", "mapping"),
        ("a: [1\n", "line"),
        ("a: 1\na: 2\n", "line 2"),
        ("!!python/object/apply:os.system [ls]\n", "mapping"),
        ("\x00", "YAML"),
        ("a: " + "x" * 1_000_001, "at most"),
    ],
)
def test_what_is_no_scenario_is_said_so(text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"broken\.yaml") as caught:
        parse_scenario(text, "broken.yaml")
    assert said in str(caught.value)


def test_a_threat_that_contradicts_itself() -> None:
    blind = GOOD.replace("goal: {promote: cold*5}", "goal: {degrade: true}\n    knowledge: {model: lists}").replace(
        "[random, {name: bandwagon, selected: 0.2}]", "[substitution]"
    )
    with pytest.raises(InputError, match=r"needs gradients.*'lists'"):
        parse_scenario(blind, "mine.yaml")


def test_threat_ids_are_unique() -> None:
    body = GOOD[GOOD.index("  - id") : GOOD.index("accept")]
    with pytest.raises(InputError, match="'promotion' stands twice"):
        parse_scenario(GOOD.replace("accept:", body + "accept:"), "mine.yaml")


def test_an_unknown_name_and_a_missing_file() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'quick'"):
        load_scenario("quikc")
    with pytest.raises(InputError, match=r"no scenario file 'nothere\.yaml'"):
        load_scenario("nothere.yaml")
