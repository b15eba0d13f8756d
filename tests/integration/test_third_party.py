"""The researcher's way: an attack and a scenario in a distribution of their own, found by entry points, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robust.datasets import open_log

ATTACK = '''
"""Fake users who click the targets again and again."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.attack import PoisoningAttack
from robust.log import LogEdit


class Repeat(PoisoningAttack):
    """Profiles that hold nothing but targets."""

    name: ClassVar[str] = "acme-repeat"
    source: ClassVar[str] = "Acme 2026, section 3"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})

    times: int = Field(default=2, ge=1)

    def poison(self, access, goal, budget, rng):
        """Each fake user takes every target `times` times."""
        profile = np.tile(np.asarray(goal.items), self.times)[: budget.profile_length]
        return LogEdit(add=np.tile(profile.astype(np.int32), (budget.users, 1)))
'''

SCENARIO = """\
schema: 1
title: Acme
dataset: {file: log.csv}
victims: [markov]
seeds: [3]
threats:
  - id: promotion
    goal: {promote: cold*2, k: 10}
    attacks: [{name: acme-repeat, times: 3}]
    budgets: [{users: 5}]
    bound: {metric: target_hr@10, kind: rise, limit: 0.9}
"""

ENTRY_POINTS = """\
[robust.attacks]
acme-repeat = acme:Repeat
acme-broken = acme_absent:Attack

[robust.scenarios]
acme = acme:SCENARIO
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder as an installer leaves it: a module, its scenario, and the distribution's metadata."""
    (tmp_path / "acme.py").write_text(
        ATTACK + "\n\nfrom pathlib import Path\n\nSCENARIO = Path(__file__).with_name('acme.yaml')\n"
    )
    (tmp_path / "acme.yaml").write_text(SCENARIO)
    metadata = tmp_path / "acme_attacks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-attacks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    rows = [f"u{user},i{(user + step) % 12},{step}" for user in range(60) for step in range(8)]
    (tmp_path / "log.csv").write_text("user,item,timestamp\n" + "\n".join(rows) + "\n")
    return tmp_path


def robust(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = "from robust.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_it_is_listed_and_a_broken_neighbour_only_warns(site: Path) -> None:
    listed = robust(site, "list", "attacks", "--json")
    assert listed.returncode == 0, listed.stderr
    names = {row["name"] for row in json.loads(listed.stdout)}
    assert "acme-repeat" in names
    assert "bandwagon" in names
    assert "acme-broken" in listed.stderr
    shown = robust(site, "show", "acme-repeat")
    assert "Acme 2026, section 3" in shown.stdout
    assert "times" in shown.stdout


def test_it_poisons_a_log(site: Path) -> None:
    out = site / "poisoned.csv"
    told = ("--log", "log.csv", "--goal", "promote:i3", "--budget", "users=4,profile_length=3", "--out", str(out))
    assert robust(site, "attack", "acme-repeat", *told, "--set", "times=3").returncode == 0
    poisoned, clean = open_log(str(out)), open_log(str(site / "log.csv"))
    assert len(poisoned) == len(clean) + 4 * 3


def test_its_own_fault_is_named_without_a_traceback(site: Path) -> None:
    source = site / "acme.py"
    source.write_text(
        source.read_text().replace("profile = np.tile", 'raise KeyError("lost")\n        profile = np.tile')
    )
    told = ("--log", "log.csv", "--goal", "promote:i3", "--budget", "users=4,profile_length=3", "--out", "never.csv")
    ran = robust(site, "attack", "acme-repeat", *told)
    assert ran.returncode == 3
    assert "Repeat.poison raised KeyError" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (site / "never.csv").exists()


def test_its_scenario_is_reviewed(site: Path) -> None:
    ran = robust(site, "review", "acme", "--out", "out", "--engine", "serial")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (cell,) = json.loads((site / "out" / "results.json").read_text())["cells"]
    assert cell["attack"] == "acme-repeat"
    assert cell["verdict"] == "PASS"
    assert cell["control"] is None
