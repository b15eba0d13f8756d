"""Defences that cannot be meant: told in one line before anything is trained, exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Robust

PROMOTION = ("promote: cold*5", "bandwagon", "users: 1%", "target_hr@10", "rise")
DEGRADING = ("degrade: true", "random-substitution", "edits: 1", "ndcg@10", "drop")
SCENARIO = """\
dataset: flights
victims: [{victim}]
seeds: [3]
users: 200
threats:
  - id: one
    goal: {{{goal}}}
    knowledge: {{log: full, model: lists}}
    attacks: [{attack}]
    budgets: [{{{budget}}}]
    defenses: [{defense}]
    bound: {{metric: {metric}, kind: {kind}, limit: 0.1}}
"""


@pytest.mark.parametrize(
    ("victim", "threat", "defense", "said"),
    [
        ("gru4rec", PROMOTION, "{name: bagging, members: 100000}", "100000 members cannot each have a user"),
        ("gru4rec", PROMOTION, "{name: pca, share: 1.5}", "share: Input should be less than 1"),
        ("gru4rec", PROMOTION, "{name: pca, share: 0.0001}", "less than one user"),
        ("gru4rec", PROMOTION, "{name: pca, fdr: 2, trusted: 0.2}", "fdr: Input should be less than 1"),
        ("gru4rec", PROMOTION, "{name: pca, fdr: 0.1, share: 0.1}", "one threshold is enough"),
        ("gru4rec", PROMOTION, "{name: pca, fdr: 0.0001, trusted: 0.1}", "at least 9999 are needed"),
        ("gru4rec", PROMOTION, "{name: rank-average, members: [surprise]}", "'surprise' suspects nobody"),
        ("gru4rec", DEGRADING, "{name: surprise, rate: 1.0}", "rate: Input should be less than 1"),
        ("gru4rec", DEGRADING, "{name: query-budget, queries: 0}", "greater than or equal to 1"),
        ("gru4rec", DEGRADING, "suprise", "Did you mean 'surprise'"),
        ("markov", DEGRADING, "adversarial-embeddings", "whose objective can be changed"),
        ("markov", DEGRADING, "neighbour-cosine", "that gives gradients"),
    ],
)
def test_a_defence_that_cannot_be_meant(
    victim: str,
    threat: tuple[str, ...],
    defense: str,
    said: str,
    robust: Robust,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    goal, attack, budget, metric, kind = threat
    told = {"goal": goal, "attack": attack, "budget": budget, "metric": metric, "kind": kind}
    Path("bad.yaml").write_text(SCENARIO.format(victim=victim, defense=defense, **told))
    answer = robust("review", "bad.yaml", "--out", "out", "--engine", "serial")
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err + answer.out
    assert answer.err.count("\n") == 1
    assert not list(Path("out").rglob("*.parquet"))


ZEALOT = """
import numpy as np
from robust.defense import Sanitizer


class Zealot(Sanitizer):
    name = "zealot"
    source = "made for this test"
    weaknesses = "It removes everybody, so that nothing is left to learn from."

    def suspicion(self, log, rng):
        return np.ones(log.n_users)

    def suspects(self, suspicion, log):
        return np.ones(log.n_users, dtype=bool)
"""


def test_a_sanitiser_that_removes_everyone_loses_nothing_else(tmp_path: Path) -> None:
    """Its own cell is an ERROR that says why; the others are measured."""
    package = tmp_path / "site" / "zealot-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: zealot\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[robust.defenses]\nzealot = zealot_defense:Zealot\n")
    (tmp_path / "site" / "zealot_defense.py").write_text(ZEALOT)
    goal, attack, budget, metric, kind = PROMOTION
    told = {"goal": goal, "attack": attack, "budget": budget, "metric": metric, "kind": kind}
    (tmp_path / "one.yaml").write_text(SCENARIO.format(victim="markov", defense="none, zealot", **told))
    arguments = ["review", "one.yaml", "--out", "out", "--engine", "serial"]
    command = [sys.executable, "-c", "from robust.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode in (1, 3), answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout
    cells = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]
    removed = [cell for cell in cells if cell["defense"] == "zealot"]
    assert removed
    assert all(cell["verdict"] == "ERROR" and "would remove every user" in cell["reason"] for cell in removed)
