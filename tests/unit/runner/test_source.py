"""What a run keeps of its scenario: where it lies in its repository, its hash, and the lines that state its bounds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from robust import plugins
from robust.runner.reading import load_scenario
from robust.runner.source import attack_sources, attack_tags, scenario_source, stated_path

TEXT = """\
# a comment
schema: 1
threats:
  - id: edits
    goal: {degrade: true}
    knowledge: {log: popularity, model: lists}
    attacks: [random-substitution]
    budgets: [{edits: 1}]
    bound:
      metric: ndcg@10
      kind: drop
      limit: 0.1
  - {id: fakes, goal: {promote: cold*5}, attacks: [random], budgets: [{users: 1%}],
     bound: {metric: target_hr@10, kind: rise, limit: 0.05}}
"""


def test_lines_are_those_that_state_the_bounds() -> None:
    kept = scenario_source("a.yaml", TEXT)
    assert kept["bounds"] == {"edits": 9, "fakes": 14}
    assert kept["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    for line in kept["bounds"].values():
        assert TEXT.splitlines()[line - 1].lstrip().startswith("bound:")


@pytest.mark.parametrize("name", plugins.names("scenarios"))
def test_every_scenario_that_comes_with_us_is_told_by_the_path_that_a_repository_gives_it(name: str) -> None:
    scenario, text = load_scenario(name)
    kept = scenario_source(name, text)
    assert kept["path"] == f"scenarios/{name}.yaml"
    assert set(kept["bounds"]) == {threat.id for threat in scenario.threats}
    for line in kept["bounds"].values():
        assert "bound:" in text.splitlines()[line - 1]
    assert set(attack_tags(scenario)) == {spec.name for threat in scenario.threats for spec in threat.attacks}
    assert set(attack_sources(scenario)) == set(attack_tags(scenario))


def test_a_path_is_relative_to_its_repository_and_never_tells_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "repository", tmp_path / "elsewhere"
    for folder in (inside / ".git", inside / "reviews", outside):
        folder.mkdir(parents=True)
    for folder in (inside / "reviews", outside):
        (folder / "own.yaml").write_text(TEXT)
    monkeypatch.chdir(inside / "reviews")
    assert stated_path("own.yaml") == "reviews/own.yaml"
    assert stated_path(str(inside / "reviews" / "own.yaml")) == "reviews/own.yaml"
    assert stated_path(str(outside / "own.yaml")) == "own.yaml"
    monkeypatch.chdir(tmp_path)
    assert stated_path("elsewhere/own.yaml") == "elsewhere/own.yaml"
