"""The keys of every `--json`: programs rely on them, so that a key that goes or comes is a change to be announced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robust import plugins
from robust.runner.export import results_json
from tests.integration.conftest import Robust
from tests.unit.compare.example import compared
from tests.unit.compare.example import run as run_with
from tests.unit.report.example import example
from tests.unit.test_leaderboard import cell, review

ATTACK = {"name", "changes", "model_access", "log_access", "spends", "goals", "control", "source", "summary"}
DEFENSE = {"name", "stage", "cost", "needs", "source", "summary"}


def answered(robust: Robust, *command: object) -> Any:
    answer = robust(*command)
    assert answer.code in (0, 1), answer.err
    return json.loads(answer.out)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("attacks", ATTACK),
        ("defenses", DEFENSE),
        *((kind, {"name", "summary"}) for kind in ("recommenders", "datasets", "scenarios", "metrics")),
    ],
)
def test_list(kind: str, keys: set[str], robust: Robust) -> None:
    rows = answered(robust, "list", kind, "--json")
    assert {frozenset(row) for row in rows} == {frozenset(keys)}
    assert all(isinstance(value, str) for row in rows for value in row.values())
    if kind != "metrics":
        assert [row["name"] for row in rows] == list(plugins.names(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "keys"), [("bandwagon", ATTACK), ("random", ATTACK), ("pca", DEFENSE), ("gru4rec", {"name", "summary"})]
)
def test_show(name: str, keys: set[str], robust: Robust) -> None:
    said = answered(robust, "show", name, "--json")
    assert set(said) == keys | {"kind", "parameters"}
    assert {frozenset(row) for row in said["parameters"]} == {frozenset({"name", "default", "domain", "meaning"})}


def test_plan(robust: Robust, tmp_path: Path) -> None:
    lines = [f"u{user},i{(user + place) % 12},{place}" for user in range(60) for place in range(8)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["user,item,timestamp", *lines]))
    rows = answered(robust, "plan", "ci", "--log", log, "--model", "markov", "--json", "--workers", 1)
    assert {frozenset(row) for row in rows} == {frozenset({"name", "value"})}
    assert all(isinstance(value, str) for row in rows for value in row.values())
    known = {
        "scenario",
        "log",
        "evaluated users",
        "victims",
        "cells",
        "steps at 3 seeds",
        "minutes at 3 seeds",
        "memory",
    }
    assert known <= {row["name"] for row in rows}


def test_doctor(robust: Robust) -> None:
    rows = answered(robust, "doctor", "--attack", "bandwagon", "--json")
    assert {frozenset(row) for row in rows} == {frozenset({"name", "result", "seen", "remedy"})}
    assert {row["result"] for row in rows} <= {"ok", "warn", "fail", "info"}


def test_report(robust: Robust, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results_json(example()))
    said = answered(robust, "report", tmp_path, "--format", "json")
    schema = answered(robust, "show", "results-schema")
    assert set(said) == set(schema["properties"])
    for part, name in (("cells", "CellResult"), ("threats", "ThreatResult"), ("victims", "VictimResult")):
        assert {frozenset(entry) for entry in said[part]} == {frozenset(schema["$defs"][name]["properties"])}
    assert set(said["cells"][0]) >= {"id", "threat", "victim", "attack", "defense", "budget", "bound", "verdict"}


def test_compare() -> None:
    """What `compare --json` writes; that it writes this is in test_compare.py."""
    said = json.loads(compared(run_with(), run_with((0.2, 0.2))).model_dump_json(by_alias=True))
    version = {"run", "checksum", "title", "finished", "victims", "seqrobust"}
    change = {"mean", "low", "high"}
    assert set(said) == {
        *("schema", "outcome", "headline", "base", "candidate", "dataset", "seeds", "alpha", "threats", "cells"),
        *("missing", "notes"),
    }
    assert set(said["base"]) == set(said["candidate"]) == version
    assert {frozenset(threat) for threat in said["threats"]} == {frozenset({"threat", "title", "outcome", "summary"})}
    assert {frozenset(one) for one in said["cells"]} == {
        frozenset(
            {
                *("cell", "base_cell", "threat", "victim", "attack", "budget", "defense", "planned_on", "metric"),
                *("kind", "margin", "outcome", "reason", "base_clean", "base_attacked", "candidate_clean"),
                *("candidate_attacked", "loss", "deeper", "clean", "p_worse", "p_better", "n_users", "same_seeds"),
                *("base_seeds", "candidate_seeds"),
            }
        )
    }
    assert set(said["cells"][0]["loss"]) == change


def test_leaderboard_show(robust: Robust, tmp_path: Path) -> None:
    cells = [cell("none", 0.1), cell("guard", 0.3)]
    (tmp_path / "results.json").write_text(results_json(review(cells)))
    assert robust("leaderboard", "add", tmp_path, "--to", tmp_path / "rows").code == 0
    rows = answered(robust, "leaderboard", "show", tmp_path / "rows", "--json")
    assert len({frozenset(row) for row in rows}) == 1
    assert set(rows[0]) == {
        *("place", "front", "file", "defense", "stage", "victim", "threat", "title", "goal", "attack", "planned_on"),
        *("budget", "bound", "clean", "change", "change_low", "change_high", "worst", "verdict", "missed", "flags"),
        *("better", "price", "seeds", "dataset", "data", "protocol", "scenario", "command", "finished", "run"),
        *("schema", "package", "versions", "machine"),
    }
