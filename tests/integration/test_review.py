"""The whole path on small real work: engines agree to the bit, a killed run goes on, exit codes mean what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.conftest import Robust

SCENARIO = """\
schema: 1
title: Small
dataset: {file: events.csv}
victims: [VICTIM]
seeds: [3]
threats:
  - id: promotion
    goal: {promote: cold*2, k: 5}
    attacks: [{name: bandwagon, order: interleave}]
    budgets: [{users: 5%}]
    defenses: [none, pca]
    bound: {metric: target_hr@5, kind: rise, limit: RISE}
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: random-substitution, tries: 20}]
    budgets: [{edits: 1}]
    defenses: [none, surprise]
    bound: {metric: ndcg@10, kind: drop, limit: DROP}
  - id: embeddings
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [pgd]
    budgets: [{epsilon: 0.5}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.9}
"""
GRU = "{name: gru4rec, max_steps: 8, dimension: 8}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log in which the next item mostly follows from the last."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    follows = rng.permutation(40)
    lines = ["user,item,timestamp"]
    for user in range(400):
        item = int(rng.integers(40))
        for place in range(12):
            lines.append(f"u{user},i{item},{1000 * place + user}")
            item = int(follows[item]) if rng.random() < 0.8 else int(rng.integers(40))
    Path("events.csv").write_text("\n".join(lines))
    return tmp_path


def _scenario(victim: str = "markov", rise: float = 0.6, drop: float = 0.97) -> str:
    text = SCENARIO.replace("VICTIM", victim).replace("RISE", str(rise)).replace("DROP", str(drop))
    Path("small.yaml").write_text(text)
    return "small.yaml"


def _stripped(value: Any) -> Any:
    volatile = ("timing", "environment", "started", "finished")
    if isinstance(value, dict):
        return {k: _stripped(v) for k, v in value.items() if k not in volatile}
    return [_stripped(v) for v in value] if isinstance(value, list) else value


def _results(out: str) -> dict[str, Any]:
    found: dict[str, Any] = _stripped(json.loads((Path(out) / "results.json").read_text()))
    return found


def test_a_bound_that_holds_exits_0_and_one_that_breaks_1(project: Path, robust: Robust) -> None:
    assert robust("review", _scenario(), "--engine", "serial", "--out", "a").code == 0
    verdicts = {c["id"]: c["verdict"] for c in _results("a")["cells"]}
    assert set(verdicts.values()) == {"PASS", "NOT_APPLICABLE"}
    broken = robust("review", _scenario(drop=0.01), "--engine", "serial", "--out", "b")
    assert broken.code == 1
    assert "FAIL" in broken.out


def test_what_a_model_lacks_is_not_applicable_with_the_reason(project: Path, robust: Robust) -> None:
    robust("review", _scenario(), "--engine", "serial", "--out", "a")
    results = _results("a")
    cell = next(c for c in results["cells"] if c["threat"] == "embeddings")
    assert cell["verdict"] == "NOT_APPLICABLE"
    assert "gradients" in cell["reason"]
    assert "1 could not be measured" in results["headline"]


def test_the_run_folder_holds_what_it_should(project: Path, robust: Robust) -> None:
    import pyarrow.parquet as pq

    robust("review", _scenario(), "--engine", "serial", "--out", "a")
    results = _results("a")
    measured = [c for c in results["cells"] if c["metrics"]]
    users = pq.read_table("a/users.parquet").to_pandas()
    for cell in measured:
        rows = users[users.cell == cell["id"]]
        metric = cell["metrics"][cell["bound"]["metric"]]
        assert len(rows) == cell["n_users"] * len(cell["seeds"])
        assert rows.attacked.mean() == pytest.approx(metric["attacked"])
        assert rows.clean.mean() == pytest.approx(metric["clean"])
    cells = pq.read_table("a/cells.parquet").to_pandas()
    assert set(cells.cell) == {c["id"] for c in measured}
    report = Path("a/report.html").read_text()
    assert all(c["id"] in report for c in results["cells"])
    for form in ("console", "html", "md", "json"):
        assert robust("report", "a", "--format", form).code == 0
    kept = json.loads(Path("a/results.json").read_text())["environment"]
    assert set(kept["sources"]) == {c["attack"].split("(")[0] for c in results["cells"]}
    assert set(kept["models"]) == {c["victim"] for c in results["cells"]}


def test_engines_agree_to_the_bit_and_a_second_run_does_nothing(project: Path, robust: Robust) -> None:
    scenario = _scenario(GRU)
    first = robust("review", scenario, "--engine", "serial", "--out", "a")
    before = {p: p.stat().st_mtime_ns for p in Path("a/store").rglob("*.bin")}
    second = robust("review", scenario, "--engine", "processes", "--workers", "2", "--out", "b")
    assert first.code == second.code
    assert _results("a") == _results("b")
    stored = [{p.name: p.read_bytes() for p in Path(out, "store").rglob("*.bin")} for out in ("a", "b")]
    assert stored[0] == stored[1]
    robust("review", scenario, "--engine", "serial", "--out", "a")
    after = {p: p.stat().st_mtime_ns for p in Path("a/store").rglob("*.bin")}
    split = [p for p in after if after[p] != before.get(p)]
    assert len(split) <= 1  # only the split itself is written anew


def test_an_undertrained_victim_is_an_error_not_a_robust_model(project: Path, robust: Robust) -> None:
    answer = robust("review", _scenario(GRU), "--engine", "serial", "--out", "a")
    assert answer.code == 3
    results = _results("a")
    assert all("undertrained" in c["reason"] for c in results["cells"] if c["verdict"] == "ERROR")
    assert results["victims"][0]["flags"][0]["name"] == "undertrained"
    assert results["verdict"] == "ERROR"


def test_time_that_runs_out_is_inconclusive(project: Path, robust: Robust) -> None:
    answer = robust("review", _scenario(), "--engine", "serial", "--out", "a", "--max-time", "0s", "--strict")
    assert answer.code == 4
    cells = _results("a")["cells"]
    assert {c["verdict"] for c in cells} == {"INCONCLUSIVE", "NOT_APPLICABLE"}
    assert all("time" in c["reason"] for c in cells if c["verdict"] == "INCONCLUSIVE")


def test_an_accepted_finding_stays_visible_and_does_not_fail(project: Path, robust: Robust) -> None:
    name = _scenario(drop=0.01)
    robust("review", name, "--engine", "serial", "--out", "a")
    failed = [c["id"] for c in _results("a")["cells"] if c["verdict"] == "FAIL"]
    entries = "".join(f"  - {{cell: '{c}', reason: known, until: 2999-01-01}}\n" for c in failed)
    Path(name).write_text(Path(name).read_text() + "accept:\n" + entries)
    assert robust("review", name, "--engine", "serial", "--out", "a").code == 0
    assert {c["accepted"] for c in _results("a")["cells"] if c["verdict"] == "FAIL"} == {"known"}
    Path(name).write_text(Path(name).read_text().replace("2999", "2020"))
    assert robust("review", name, "--engine", "serial", "--out", "a").code == 1


def test_killed_and_started_again(project: Path, robust: Robust) -> None:
    command = [sys.executable, "-c", "from robust.cli import main; main()", "review", _scenario(GRU)]
    command += ["--engine", "processes", "--workers", "2", "--out", "hit"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(Path("hit").rglob("*.bin"))) < 6 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not Path("hit/results.json").exists()
    kept = {p.name: p.stat().st_mtime_ns for p in Path("hit/store").rglob("*.bin")}
    assert len(kept) >= 6
    robust("review", "small.yaml", "--engine", "serial", "--out", "hit")
    robust("review", "small.yaml", "--engine", "serial", "--out", "calm")
    assert _results("hit") == _results("calm")
    redone = [p.name for p in Path("hit/store").rglob("*.bin") if kept.get(p.name, 0) not in (0, p.stat().st_mtime_ns)]
    assert len(redone) <= 1


STRANGER = """\
import numpy as np


class Recent:
    n_items = 40

    def recommend(self, sequences, k):
        out = np.zeros((len(sequences.items), k), dtype=np.int32)
        for b, row in enumerate(sequences.items):
            seen = list(dict.fromkeys(int(i) for i in row[::-1] if i))
            out[b] = (seen + [i for i in range(1, self.n_items + 1) if i not in set(seen)])[:k]
        return out


class Broken(Recent):
    calls = 0

    def recommend(self, sequences, k):
        Broken.calls += 1
        if Broken.calls > 1:
            raise ValueError("the index is gone")
        return super().recommend(sequences, k)


class Fits:
    n_items = 0

    def fit(self, log, *, seed):
        fitted = Fits()
        fitted.n_items = log.n_items
        fitted.popularity = log.popularity.astype(float)
        return fitted

    def score(self, sequences):
        return np.tile(self.popularity, (len(sequences.items), 1))
"""


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_class_that_knows_nothing_of_us(project: Path, robust: Robust, engine: str) -> None:
    Path("strangers.py").write_text(STRANGER)
    answer = robust("review", _scenario(), "--model", "strangers:Recent", "--engine", engine, "--out", engine)
    assert answer.code in (0, 1)
    verdicts = [c["verdict"] for c in _results(engine)["cells"]]
    assert "NOT_APPLICABLE" in verdicts
    assert {"PASS", "FAIL", "INCONCLUSIVE"} & set(verdicts)
    assert "ERROR" not in verdicts


WHITE_BOX = """\
dataset: {file: events.csv}
seeds: [3]
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [{name: substitution, tau: null}]
    budgets: [{edits: 1}]
    surrogate: {name: gru4rec, max_steps: 30, min_steps: 30, dimension: 16, extract: {queries: 400, length: 8, k: 10}}
    bound: {metric: ndcg@10, kind: drop, limit: 0.9}
"""


@pytest.mark.parametrize("model", ["strangers:Recent", "markov"])
def test_who_gives_lists_only_is_attacked_through_a_copy_of_them(project: Path, robust: Robust, model: str) -> None:
    """The cell that needs its gradients stays NOT APPLICABLE; beside it stands one that was measured, and how well."""
    Path("strangers.py").write_text(STRANGER)
    Path("white.yaml").write_text(WHITE_BOX)
    answer = robust("review", "white.yaml", "--model", model, "--engine", "serial", "--out", "a")
    assert answer.code in (0, 1)
    direct, copied = _results("a")["cells"]
    assert (direct["planned_on"], direct["verdict"]) == ("plain", "NOT_APPLICABLE")
    assert "copy made from its lists" in direct["reason"]
    assert (copied["planned_on"], copied["surrogate"]["queries"]) == ("surrogate", 400)
    assert 0 < copied["surrogate"]["agreement"]["agreement@10"] <= 1
    assert copied["seeds"] == [0, 1, 2], "a copy is drawn anew under each seed, though the model is fixed"
    if model == "markov":  # which reads the order of a history, so that a copy of it is worth something
        assert copied["metrics"]["ndcg@10"]["change"] > copied["control"]["change"] > 0


def test_a_model_that_breaks_while_it_is_asked_is_an_error_cell(project: Path, robust: Robust) -> None:
    Path("strangers.py").write_text(STRANGER)
    answer = robust("review", _scenario(), "--model", "strangers:Broken", "--engine", "serial", "--out", "a")
    assert answer.code == 3
    reasons = [c["reason"] for c in _results("a")["cells"] if c["verdict"] == "ERROR"]
    assert reasons
    assert all("the index is gone" in reason for reason in reasons)
    assert "Traceback" not in answer.err + answer.out


def test_a_stranger_that_can_be_fitted_is_poisoned(project: Path, robust: Robust) -> None:
    Path("strangers.py").write_text(STRANGER)
    robust("review", _scenario(), "--model", "strangers:Fits", "--engine", "serial", "--out", "a")
    promotion = [c for c in _results("a")["cells"] if c["threat"] == "promotion"]
    assert promotion
    assert all(c["verdict"] != "NOT_APPLICABLE" and c["retrain"] == "scratch" for c in promotion)


def test_the_shipped_plan_runs_nothing(robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = robust("plan", "ci", "--json")
    assert answer.code == 0
    assert {row["name"] for row in json.loads(answer.out)} >= {"cells", "memory"}
    assert list(tmp_path.iterdir()) == []
