"""Two versions reviewed on flights and compared: other seeds, a planted weakness, another log, changed run folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Robust

SCENARIO = """\
schema: 1
title: Two versions
dataset: flights
victims: [versions:Steady]
users: 1500
seeds: [3]
threats:
  - id: promotion
    title: Fake users
    goal: {promote: cold*3, k: 10}
    knowledge: {log: popularity}
    attacks: [bandwagon]
    budgets: [{users: 1%}]
    bound: {metric: target_hr@10, kind: rise, limit: 0.9}
  - id: edited
    title: Edited histories
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: random-substitution, tries: 20}]
    budgets: [{edits: 1}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.99}
"""
VERSIONS = """\
import numpy as np


class Steady:
    n_items = 0

    def fit(self, log, *, seed):
        fitted = type(self)()
        fitted.n_items = log.n_items
        size = log.n_items + 1
        inside = log.user[1:] == log.user[:-1]
        before, after = log.item[:-1][inside], log.item[1:][inside]
        kept = np.random.default_rng(seed).random(len(before)) < 0.9
        fitted.follows = np.zeros((size, size))
        np.add.at(fitted.follows, (before[kept], after[kept]), 1.0)
        fitted.known = np.zeros((size, size), dtype=bool)
        fitted.known[before, after] = True
        return fitted

    def score(self, sequences):
        last = sequences.items[:, -1]
        return self.follows[last] + 0.5 * self.follows.mean(axis=0)


class Gullible(Steady):
    def score(self, sequences):
        scores = super().score(sequences)
        strange = ~self.known[sequences.items[:, -2], sequences.items[:, -1]] & (sequences.items[:, -2] > 0)
        scores[strange] = -scores[strange]
        return scores
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reviews `base` and `other` (other seeds), made once."""
    from robust.report import write_report
    from robust.runner.prepare import Request
    from robust.runner.review import review

    folder = tmp_path_factory.mktemp("versions")
    (folder / "two.yaml").write_text(SCENARIO)
    (folder / "versions.py").write_text(VERSIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        for out, seed in (("base", 0), ("other", 50)):
            write_report(review(Request("two.yaml", Path(out), seed=seed, engine="serial")), Path(out))
    return folder


@pytest.fixture
def project(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in."""
    shutil.copytree(runs, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_another_seed_is_not_worse(project: Path, robust: Robust) -> None:
    answer = robust("compare", "base", "other", "--json")
    assert answer.code == 0, answer.out
    found = json.loads(answer.out)
    assert {cell["outcome"] for cell in found["cells"]} == {"not worse"}
    assert [cell["same_seeds"] for cell in found["cells"]] == [False, False]
    assert "seeds do not" in found["seeds"]
    assert robust("compare", "base", "other", "--strict").code == 0


def test_the_numbers_are_those_of_the_results(project: Path, robust: Robust) -> None:
    found = json.loads(robust("compare", "base", "other", "--json").out)
    runs = [json.loads(Path(out, "results.json").read_text()) for out in ("base", "other")]
    for cell in found["cells"]:
        before, after = (
            next(c for c in run["cells"] if c["id"] == cell["cell"])["metrics"][cell["metric"]] for run in runs
        )
        assert cell["base_attacked"] == pytest.approx(before["attacked"])
        assert cell["candidate_clean"] == pytest.approx(after["clean"])
        change = after["change"] - before["change"]
        assert cell["deeper"]["mean"] == pytest.approx(change)


def test_two_read_only_files_are_all_that_a_release_has_to_keep(project: Path, robust: Robust) -> None:
    before = json.loads(robust("compare", "base", "other", "--json").out)
    kept = Path("elsewhere/v1")
    kept.mkdir(parents=True)
    for name in ("results.json", "users.parquet"):
        Path("base", name).rename(kept / name)
        (kept / name).chmod(0o400)
    shutil.rmtree("base")
    Path("versions.py").unlink()
    after = json.loads(robust("compare", kept, "other", "--json").out)
    assert after["base"].pop("run") == str(kept)
    assert before["base"].pop("run") == "base"
    assert after == before


def test_a_planted_weakness_is_worse_and_review_says_so_at_once(project: Path, robust: Robust) -> None:
    command = ("review", "two.yaml", "--model", "versions:Gullible", "--engine", "serial", "--out", "new")
    answer = robust(*command, "--baseline", "base")
    assert answer.code == 1, answer.out
    assert "The candidate is less robust" in answer.out
    again = robust("compare", "base", "new")
    assert again.code == 1
    assert "Edited histories" in again.out
    markdown = robust("compare", "base", "new", "--format", "md").out
    assert "| **WORSE** | Edited histories |" in markdown
    found = json.loads(robust("compare", "base", "new", "--json").out)
    assert {t["threat"]: t["outcome"] for t in found["threats"]}["edited"] == "worse"
    assert all(cell["same_seeds"] for cell in found["cells"])
    back = robust("compare", "new", "base", "--json")
    assert back.code == 0
    assert {t["threat"]: t["outcome"] for t in json.loads(back.out)["threats"]}["edited"] == "better"


def test_another_log_and_another_budget_are_refused_with_every_reason(project: Path, robust: Robust) -> None:
    lines = ["user,item,timestamp"]
    lines += [
        f"u{user},i{(user * 7 + 3 * place) % 40},{1000 * place + user}" for user in range(200) for place in range(9)
    ]
    Path("events.csv").write_text("\n".join(lines))
    Path("two.yaml").write_text(SCENARIO.replace("edits: 1", "edits: 2").replace("versions:Steady", "markov"))
    assert robust("review", "two.yaml", "--log", "events.csv", "--engine", "serial", "--out", "alien").code in (0, 1)
    answer = robust("compare", "base", "alien")
    assert answer.code == 2
    for reason in ("rows of the log", "budgets of the threat 'edited'", '"edits": 2'):
        assert reason in answer.err


def test_changed_run_folders_are_refused(project: Path, robust: Robust) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    whole = Path("other/results.json").read_text()
    Path("other/results.json").write_text(whole.replace('"title": "Two versions"', '"title": "Two other versions"', 1))
    answer = robust("compare", "base", "other")
    assert answer.code == 2
    assert "checksum does not match" in answer.err
    Path("other/results.json").write_text(whole)
    table = pq.read_table("other/users.parquet")
    better = pc.min_element_wise(pc.add(table["attacked"], 0.5), pa.scalar(1.0))
    pq.write_table(table.set_column(4, "attacked", better), "other/users.parquet")
    answer = robust("compare", "base", "other")
    assert answer.code == 2
    assert "users.parquet' was damaged or changed" in answer.err
    Path("other/users.parquet").unlink()
    assert "There is no 'other/users.parquet'" in robust("compare", "base", "other").err


def test_a_bad_baseline_is_refused_before_the_review(project: Path, robust: Robust) -> None:
    answer = robust("review", "two.yaml", "--baseline", "nowhere", "--out", "new")
    assert answer.code == 2
    assert not Path("new").exists()
    answer = robust("review", "two.yaml", "--baseline", "base", "--out", "base")
    assert answer.code == 2
    assert "another one" in answer.err


TRAP = """\
import pathlib
from versions import Steady

class Trap(Steady):
    def fit(self, log, *, seed):
        pathlib.Path("fitted").touch()
        return super().fit(log, seed=seed)
"""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("edits: 1", "edits: 2", "other budgets of the threat 'edited'"),
        ("users: 1500", "users: 700", "other most users evaluated: 1500 there, 700 here"),
        ("dataset: flights", "dataset: {file: events.csv}", "other rows of the log"),
        ("dataset: flights", "dataset: flights\nseen: exclude", "other treatment of items already seen"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    project: Path, robust: Robust, old: str, new: str, reason: str
) -> None:
    lines = [f"u{user},i{(user * 7 + 3 * place) % 40},{9 * place + user}" for user in range(200) for place in range(9)]
    Path("events.csv").write_text("\n".join(["user,item,timestamp", *lines]))
    Path("trap.py").write_text(TRAP)
    assert SCENARIO.count(old) == 1
    Path("two.yaml").write_text(SCENARIO.replace(old, new))
    command = ("review", "two.yaml", "--model", "trap:Trap", "--engine", "serial", "--out", "new", "--baseline", "base")
    answer = robust(*command)
    assert answer.code == 2, answer.err + answer.out
    assert "nothing was run" in answer.err
    assert reason in answer.err
    assert not Path("fitted").exists()
    assert not Path("new/results.json").exists()


def test_what_is_known_beforehand_is_what_the_finished_run_states(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robust.compare.runs import read_run
    from robust.compare.stated import Stated
    from robust.runner.prepare import Request, prepare
    from robust.runner.review import review

    more = SCENARIO.replace("    attacks: [bandwagon]", "    attacks: [bandwagon]\n    defenses: [none, trades]")
    Path("two.yaml").write_text(more)
    monkeypatch.syspath_prepend(str(project))
    request = Request("two.yaml", Path("new"), engine="serial")
    before = Stated.of_review(prepare(request, None), 0)
    review(request)
    after = Stated.of(read_run(Path("new")).results)
    assert (before.data, before.scenario, before.unmeasured) == (after.data, after.scenario, after.unmeasured)
    assert before.dataset == after.dataset
    assert sorted(bool(reason) for reason in after.unmeasured.values()) == [False, False, True]


def test_a_review_behind_another_defence_only_has_nothing_to_compare(project: Path, robust: Robust) -> None:
    Path("trap.py").write_text(TRAP)
    own = SCENARIO.replace("id: edited", "id: edited-otherwise").replace("knowledge: {log: popularity}", "KNOWN", 1)
    Path("two.yaml").write_text(own.replace("KNOWN", "knowledge: {log: popularity}\n    defenses: [pca]"))
    command = ("review", "two.yaml", "--model", "trap:Trap", "--engine", "serial", "--out", "new", "--baseline", "base")
    answer = robust(*command)
    assert answer.code == 2, answer.err
    assert "not one cell was measured in both" in answer.err
    assert not Path("fitted").exists()


FIXED = """\
from robust.datasets import leave_last_out, load_dataset
from robust.recommenders.baselines import Markov

model = Markov().fit(leave_last_out(load_dataset("flights")).train, seed=0)
"""
NEWEST = """\
import numpy as np
from robust.attack import EvasionAttack


class Newest(EvasionAttack):
    \"\"\"Another newest item.\"\"\"

    name = "newest"
    source = "an example"
    goals = frozenset({"degrade"})
    log_access = "popularity"
    control = None

    def evade(self, access, sequences, goal, budget, rng):
        items = sequences.items.copy()
        items[:, -1] = np.where(items[:, -1] != 0, 1 + np.argmax(access.popularity[1:]), 0)
        return sequences.with_items(items)
"""


def test_a_fixed_model_is_known_again_and_so_is_an_attack_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, robust: Robust
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fixed.py").write_text(FIXED)
    Path("newest.py").write_text(NEWEST)
    Path("newest-1.dist-info").mkdir()
    Path("newest-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: newest\nVersion: 1\n")
    Path("newest-1.dist-info/entry_points.txt").write_text("[robust.attacks]\nnewest = newest:Newest\n")
    edited = SCENARIO[SCENARIO.index("  - id: edited") :].replace("{name: random-substitution, tries: 20}", "newest")
    head = SCENARIO[: SCENARIO.index("  - id: promotion")].replace("versions:Steady", "fixed:model")
    Path("one.yaml").write_text(head.replace("users: 1500", "users: 400") + edited)

    def reviewed(out: str) -> None:
        program = "from robust.cli import main; main()"
        command = [sys.executable, "-c", program, "review", "one.yaml", "--engine", "serial", "--out", out]
        ran = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    reviewed("base")
    reviewed("again")
    Path("newest.py").write_text(NEWEST + "# another version\n")
    reviewed("changed")
    found = [json.loads(robust("compare", "base", out, "--json").out) for out in ("again", "changed")]
    for comparison in found:
        (cell,) = comparison["cells"]
        assert (cell["outcome"], cell["reason"]) == ("not worse", "it is the same model, and every user got the same")
        assert 0 < cell["base_attacked"] < cell["base_clean"]
    assert found[0]["notes"] == []
    assert found[1]["notes"] == [
        "The source of 'newest' changed between the runs: if what it does did, review both again."
    ]
