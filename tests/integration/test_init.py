"""`robust init`: what it writes runs as it stands; what a run proposes holds for that run; nothing is overwritten."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from robust.cli import main
from robust.errors import InputError
from robust.runner.export import read_results, results_json
from robust.runner.reading import load_scenario, parse_scenario
from robust.runner.results import BoundResult, CellResult, MetricResult, Results
from robust.runner.scenario import Scenario
from robust.starter import FILES, starter, write_files
from robust.starter.proposal import MOST, REACH, proposed_limit, scenario_with_bounds
from robust.statistics.verdicts import LOOKS
from tests.integration.conftest import PIP, Robust, sh

# one process for two commands: torch is imported once
DOCTOR_AND_REVIEW = """
import json, sys
from robust.cli import main
review = json.loads(sys.argv[1])
for words in (["robust", "doctor", "--attack", "newest", "--json"], review):
    sys.argv = words
    try:
        main()
    except SystemExit as leaving:
        print("REVIEW" if words != review else leaving.code)
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `robust init` has written, and that its scenario has been reviewed in."""
    folder = tmp_path_factory.mktemp("started")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (["init"], ["review", "scenario.robust.yaml", "--engine", "serial"]):
            patch.setattr("sys.argv", ["robust", *words])
            with suppress(SystemExit):
                main()
        sys.modules.pop("my_model", None)
    return folder


@pytest.fixture(scope="module")
def run(started: Path) -> Results:
    """What that review found."""
    return read_results(started / "robust-out")


def test_it_writes_a_starter_whose_readme_has_ten_lines(started: Path) -> None:
    assert {path.name for path in started.iterdir() if path.is_file()} == set(FILES)
    assert len((started / "README.md").read_text().splitlines()) == 10


def test_its_review_holds(run: Results) -> None:
    assert [threat.verdict for threat in run.threats] == ["PASS", "PASS"]


def test_its_tests_pass_as_written(started: Path) -> None:
    """Its own, and a cell each of its scenario; the steps are those of the review before."""
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--robust-store", "robust-out/store")
    said = sh(sys.executable, *command, "--robust-workers", "1", cwd=started)
    assert "3 passed" in said
    assert "warning" not in said


def test_its_python_is_in_order(started: Path) -> None:
    sh(
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "E,F,W,I,B,UP",
        "--line-length",
        "120",
        ".",
        cwd=started,
    )
    sh(sys.executable, "-m", "ruff", "format", "--isolated", "--check", "--line-length", "120", ".", cwd=started)


def test_its_attack_is_known_once_installed(started: Path, tmp_path: Path) -> None:
    """`pip install -e .` as its README says, into a folder of its own; then a scenario names the attack."""
    site = tmp_path / "site"
    sh(*PIP, "install", "--no-deps", "--no-build-isolation", "--target", site, started, cwd=tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    text = (started / "scenario.robust.yaml").read_text()
    assert "attacks: [random-substitution]" in text
    both = started / "both.yaml"
    both.write_text(text.replace("attacks: [random-substitution]", "attacks: [random-substitution, newest]"))
    out = tmp_path / "out"
    shutil.copytree(started / "robust-out", out)  # goes on from the steps of the review before
    review = ["robust", "review", "both.yaml", "--out", str(out), "--engine", "serial"]
    said = sh(sys.executable, "-c", DOCTOR_AND_REVIEW, json.dumps(review), cwd=started, env=environment, ok=False)
    both.unlink()
    healthy = json.loads(said.split("REVIEW")[0])
    assert {check["result"] for check in healthy} <= {"ok", "info"}
    cells = {cell.attack: cell for cell in read_results(out).cells}
    assert cells["newest"].verdict == "FAIL"
    assert cells["newest"].metrics["ndcg@10"].change > 3 * cells["random-substitution"].metrics["ndcg@10"].change


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(name: str, robust: Robust, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    answer = robust("init", tmp_path)
    assert answer.code == 2
    assert f"holds {name} already" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_to_nothing_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "README.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"README\.md"):
        write_files(tmp_path, starter())
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_is_no_folder(robust: Robust, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = robust("init", tmp_path / "file")
    assert answer.code == 2
    assert "cannot be written" in answer.err


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_files(tmp_path, {"first": "1", "no/such/folder": "2"})
    assert list(tmp_path.iterdir()) == []


def same_but_for_limits(proposal: Scenario, original: Scenario) -> bool:
    def without(scenario: Scenario) -> dict[str, Any]:
        data = scenario.model_dump(mode="json")
        for threat in data["threats"]:
            threat["bound"]["limit"] = None
        return data | {"seeds": None}

    return without(proposal) == without(original)


def test_a_run_proposes_bounds_that_it_holds(
    started: Path, run: Results, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(started)
    answer = robust("init", tmp_path / "guard", "--from", "robust-out")
    assert answer.code == 0, answer.err
    written = tmp_path / "guard" / "scenario.robust.yaml"
    proposal, text = load_scenario(str(written))
    assert same_but_for_limits(proposal, load_scenario("scenario.robust.yaml")[0])
    assert proposal.seeds == (3, 5, 10)
    assert "    cp " in (tmp_path / "guard" / "README.md").read_text()
    for threat, cell in zip(proposal.threats, run.cells, strict=True):
        measured = cell.metrics[threat.bound.metric]
        assert measured.high is not None
        assert measured.high <= threat.bound.limit < measured.high + 0.01  # 3 seeds: the interval's upper end
        assert cell.attack in text.split(f"id: {threat.id}")[1].split("bound:")[0]
    again = robust("review", written, "--out", "robust-out", "--engine", "serial")
    assert again.code == 0
    assert [cell.verdict for cell in read_results(started / "robust-out").cells] == ["PASS", "PASS"]


@pytest.mark.parametrize("name", ["quick", "release", "leaderboard", "ci", "black-box"])
def test_every_scenario_survives_the_way_through_a_run(name: str, run: Results, tmp_path: Path) -> None:
    original = load_scenario(name)[0]
    threat = original.threats[0]
    cell = run.cells[0].model_copy(update={"threat": threat.id})
    results = run.model_copy(update={"scenario": original.model_dump(mode="json", by_alias=True), "cells": [cell]})
    text = scenario_with_bounds(results, tmp_path, tmp_path)
    assert same_but_for_limits(parse_scenario(text, name), original)
    assert text.count("not measured in that run") == len(original.threats) - 1
    assert max(map(len, text.splitlines()[:4])) <= 120


def test_hostile_names_stay_in_their_comment(run: Results, tmp_path: Path) -> None:
    hostile = {"note": "x\nthreats: []\n# \u202e</script>"}
    cells = [cell.model_copy(update={"attack_parameters": hostile}) for cell in run.cells]
    text = scenario_with_bounds(run.model_copy(update={"cells": cells}), tmp_path, tmp_path)
    assert len(parse_scenario(text, "it").threats) == 2
    assert "\u202e" not in text


def test_files_are_named_from_the_new_folder(run: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "events.csv").touch()
    (tmp_path / "fitted").mkdir()
    asked = run.scenario | {
        "dataset": {"file": "logs/events.csv", "columns": {"user": "u"}, "core": 0, "vocabulary": None},
        "victims": [{"name": "fitted", "settings": {}}, {"name": "my_model:LastItem", "settings": {}}],
    }
    text = scenario_with_bounds(run.model_copy(update={"scenario": asked}), tmp_path, tmp_path / "a" / "b")
    assert "dataset: {file: ../../logs/events.csv, columns: {user: u}}" in text
    assert "victims: [../../fitted, my_model:LastItem]" in text.replace("'", "").replace('"', "")


def cell(
    change: float | None, high: float | None = None, accepted: str | None = None, id: str = "cell", seeds: int = 1
) -> CellResult:
    metrics = {} if change is None else {"ndcg@10": MetricResult(clean=0.5, attacked=0.4, change=change, high=high)}
    return CellResult(
        id=id,
        threat="t",
        victim="v",
        attack="a",
        goal="g",
        budget="b",
        planned_on="none",
        measured_on="plain",
        metrics=metrics,
        bound=BoundResult(metric="ndcg@10", kind="drop", limit=0.1),
        verdict="PASS",
        accepted=accepted,
        seeds=list(range(seeds)),
    )


@pytest.mark.parametrize(
    ("change", "high", "seeds", "limit"),
    [
        (0.10, 0.195, 1, 0.29),  # a fixed model: .10 + 2 · .095
        (0.10, 0.195, 3, 0.20),
        (0.10, 0.195, 5, 0.26),  # .10 + 1.6 · .095 = .252
        (0.10, 0.195, 10, 0.33),  # .10 + 2.4 · .095 = .328
        (0.10, 0.195, 7, 0.26),  # stopped by --max-time after the look at 5
        (0.10, None, 3, 0.11),  # no interval
        (-0.30, -0.20, 3, 0.01),  # never 0 or below: no model would hold it
        (0.95, 0.999, 3, MOST),  # a bound below 1
    ],
)
def test_a_limit_by_hand(change: float, high: float | None, seeds: int, limit: float) -> None:
    found = proposed_limit([cell(change, high, seeds=seeds)])
    assert found is not None
    assert found[0] == limit


def half_widths(seeds: int) -> float:
    """A review's interval after so many seeds, in standard deviations of one seed: Student's, at that look's level."""
    return float(student.ppf(1 - LOOKS[seeds], seeds - 1) / np.sqrt(seeds))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_headroom_is_the_one_that_chance_needs(seeds: int) -> None:
    """Two reviews of one model under other seeds: the second holds the first's limit in 95% of cases."""
    rng = np.random.default_rng(seeds)
    first, second = rng.standard_normal((2, 100_000, 10))
    ran = first[:, :seeds]
    limit = ran.mean(axis=1) + REACH[seeds] * half_widths(seeds) * ran.std(axis=1, ddof=1)
    is_open, held, broken = np.ones(len(first), dtype=bool), 0, 0
    for look in LOOKS:
        mean, half = second[:, :look].mean(axis=1), half_widths(look) * second[:, :look].std(axis=1, ddof=1)
        passed, failed = is_open & (mean + half < limit), is_open & (mean - half > limit)
        held, broken = held + passed.sum(), broken + failed.sum()
        is_open &= ~(passed | failed)
    assert held / len(first) == pytest.approx(0.95, abs=0.005)  # no less, and no wider than it has to be
    assert broken / len(first) < 0.003


def test_the_cell_that_reaches_furthest_counts() -> None:
    told = [cell(0.3, 0.31, id="high"), cell(0.2, 0.5, id="wide"), cell(0.9, 0.95, accepted="known", id="accepted")]
    found = proposed_limit([cell(None), *told])
    assert found is not None
    assert (found[0], found[1].id) == (0.8, "wide")
    assert proposed_limit([cell(None)]) is None


def test_a_run_that_measured_nothing_proposes_nothing(run: Results, robust: Robust, tmp_path: Path) -> None:
    empty = run.model_copy(update={"cells": [c.model_copy(update={"metrics": {}}) for c in run.cells]})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(results_json(empty))
    answer = robust("init", tmp_path / "new", "--from", tmp_path / "run")
    assert answer.code == 2
    assert "measured nothing" in answer.err
    assert not (tmp_path / "new").exists()
    assert robust("init", tmp_path / "new", "--from", tmp_path / "nowhere").code == 2


def test_show_says_as_data_what_it_says_as_text(robust: Robust) -> None:
    told = json.loads(robust("show", "bandwagon", "--json").out)
    text = robust("show", "bandwagon").out
    assert told["kind"] == "attacks"
    assert told["source"] in text
    assert [p["name"] for p in told["parameters"] if f"`{p['name']} = {p['default']}`" not in text] == []
    assert json.loads(robust("show", "ci", "--json").out)["threats"][0]["id"] == "promotion"
    assert "CellResult" in json.loads(robust("show", "results-schema", "--json").out)["$defs"]
