"""The smaller commands: list, show, attack, sanitize, doctor; and a help that comes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from robust import plugins
from robust.catalogue import LISTABLE, overview
from robust.datasets import load_dataset, open_log
from tests.integration.conftest import Robust
from tests.quality.faults.poisons import PercentForCount


@pytest.mark.parametrize("kind", LISTABLE)
def test_every_listing_names_what_it_lists(kind: str, robust: Robust) -> None:
    answer = robust("list", kind, "--json")
    assert answer.code == 0
    rows = json.loads(answer.out)
    assert rows
    assert all(row["name"] and row["summary"] for row in rows)
    assert robust("list", kind).code == 0


@pytest.mark.parametrize("name", ["bandwagon", "substitution", "pgd", "art", "pca", "surprise", "sasrec", "markov"])
def test_show_gives_parameters_and_source(name: str, robust: Robust) -> None:
    answer = robust("show", name)
    assert answer.code == 0
    assert "=" in answer.out.split("## Parameters")[1]


def test_every_attack_is_listed_with_threat_and_source() -> None:
    for row in overview("attacks"):
        assert row["threat"].startswith("changes "), row
        assert plugins.load("attacks", row["name"]).source in row["summary, source"]


def test_an_attack_that_says_little_is_listed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "names", lambda kind: ["blank"])
    monkeypatch.setattr(plugins, "load", lambda kind, name: type("Blank", (), {"__doc__": None}))
    assert overview("attacks") == [{"name": "blank", "threat": "", "summary, source": "\n"}]


def test_show_gives_scenarios_and_the_schema_of_results(robust: Robust) -> None:
    assert "threats:" in robust("show", "quick").out
    assert "CellResult" in json.loads(robust("show", "results-schema").out)["$defs"]


def test_attack_writes_a_log_within_its_budget(robust: Robust, tmp_path: Path) -> None:
    out = tmp_path / "poisoned.csv"
    arguments = ("attack", "bandwagon", "--log", "flights", "--goal", "promote:cold*2", "--budget", "users=1%")
    assert robust(*arguments, "--out", out, "--set", "order=interleave").code == 0
    clean, poisoned = load_dataset("flights"), open_log(str(out))
    assert poisoned.user_ids is not None
    assert sum("fake" in str(user) for user in poisoned.user_ids) == 25  # 1% of 2,561, rounded down
    assert len(poisoned) > len(clean)
    assert poisoned.n_items == clean.n_items
    again = tmp_path / "again.csv"
    robust(*arguments, "--out", again, "--set", "order=interleave")
    assert again.read_bytes() == out.read_bytes()


def test_sanitize_writes_what_it_kept_and_why(robust: Robust, tmp_path: Path) -> None:
    out = tmp_path / "kept.parquet"
    answer = robust("sanitize", "pca", "--log", "flights", "--out", out, "--set", "share=0.05")
    assert answer.code == 0
    clean, kept = load_dataset("flights"), pyarrow.parquet.read_table(out)
    scores = pyarrow.csv.read_csv(f"{out}.suspicion.csv").to_pandas()
    assert len(scores) == clean.n_users
    removed = set(scores.user[scores.removed])
    assert 0 < len(removed) <= 0.05 * clean.n_users + 1
    assert removed.isdisjoint(kept["user"].to_pylist())
    assert kept.num_rows < len(clean)


SHIFTED = """\
import numpy as np
from robust.datasets import load_dataset, leave_last_out
from robust.recommenders.baselines import Markov

good = Markov().fit(leave_last_out(load_dataset("flights")).train, seed=0)


class Shifted:
    n_items = good.n_items

    def score(self, sequences):
        moved = np.roll(good.score(sequences)[:, 1:], 1, axis=1)
        return np.concatenate([np.zeros((len(sequences), 1)), moved], axis=1)


class LooksAtPadding:
    n_items = good.n_items

    def score(self, sequences):
        scores = np.array(good.score(sequences))
        scores[:, 1:] += 1000.0 * np.arange(1, self.n_items + 1) * (sequences.items.shape[1] > 50)
        return scores


class Coin:
    n_items = good.n_items
    rng = np.random.default_rng(0)

    def score(self, sequences):
        return self.rng.random((len(sequences), self.n_items + 1))
"""


def test_doctor_finds_a_sound_model_sound(robust: Robust) -> None:
    answer = robust("doctor", "--model", "markov", "--json")
    assert answer.code == 0
    found = {row["name"]: row["result"] for row in json.loads(answer.out)}
    assert "fail" not in found.values()
    assert found["order matters"] == "ok"


@pytest.mark.parametrize(
    ("model", "check"), [("Shifted", "id shift"), ("LooksAtPadding", "padding"), ("Coin", "determinism")]
)
def test_doctor_finds_the_fault(
    model: str, check: str, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wired_wrongly.py").write_text(SHIFTED)
    answer = robust("doctor", "--model", f"wired_wrongly:{model}", "--json")
    assert answer.code == 3
    assert {row["name"]: row["result"] for row in json.loads(answer.out)}[check] == "fail"


def test_doctor_examines_an_attack_with_its_parameters(robust: Robust) -> None:
    answer = robust("doctor", "--attack", "bandwagon", "--set", "order=interleave", "--json")
    assert answer.code == 0
    found = {row["name"]: row["result"] for row in json.loads(answer.out)}
    assert found["split"] == "ok"
    assert found["similarity"] == "info"
    assert robust("doctor", "--attack", "bandwagon", "--set", "ordre=interleave").code == 2


def test_doctor_finds_an_attack_that_spends_too_much(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda kind, name: PercentForCount)
    answer = robust("doctor", "--attack", "percent", "--json")
    assert answer.code == 3
    assert {row["name"]: row["result"] for row in json.loads(answer.out)}["budget"] == "fail"


@pytest.mark.parametrize("arguments", [(), ("--model", "markov", "--attack", "random")])
def test_doctor_examines_one_thing(arguments: tuple[str, ...], robust: Robust) -> None:
    answer = robust("doctor", *arguments)
    assert answer.code == 2
    assert "give --model SPEC or --attack NAME" in answer.err


def test_help_imports_nothing_heavy() -> None:
    heavy = "torch", "pandas", "scipy", "art", "pyarrow", "sklearn"
    script = f"import sys, robust.cli; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "leaves", "code"),
    [
        (("list", "attacks", "--json"), "stdout", 0),  # written by the standard library
        (("list", "attacks"), "stdout", 0),  # by rich
        (("review", "--help"), "stdout", 0),  # by typer
        (("list", "attakcs"), "stderr", 2),
    ],
)
def test_a_reader_who_leaves_changes_no_exit_code(command: tuple[str, ...], leaves: str, code: int) -> None:
    """`robust compare A B | head` must not end in 1, which would mean *worse*."""
    reader, writer = os.pipe()
    os.close(reader)
    files = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, leaves: writer}
    program = [sys.executable, "-c", "from robust.cli import main; main()", *command]
    ran = subprocess.run(program, check=False, text=True, stdout=files["stdout"], stderr=files["stderr"])
    os.close(writer)
    assert ran.returncode == code, (ran.stdout, ran.stderr)
    assert "BrokenPipe" not in (ran.stderr or "")
