"""Bad input: exit code 2, one clear message that names what was given, no traceback, nothing lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import Robust

ATTACK = ("attack", "--log", "flights", "--out", "x")
FILES: dict[str, bytes] = {
    "timestamps.csv": b"user,item,timestamp\n1,2,x\n",
    "columns.csv": b"a,b\n1,2\n",
    "empty.csv": b"",
    "header-only.csv": b"user,item,timestamp\n",
    "missing.csv": b"user,item,timestamp\nnan,4,5\n,2,3\n",
    "random.parquet": np.random.default_rng(0).bytes(300),
    "cut.csv.gz": gzip.compress(np.random.default_rng(1).bytes(400))[:200],
    "one-each.csv": b"user,item,timestamp\n1,2,3\n2,3,4\n",
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_log_that_cannot_be_used(name: str, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(FILES[name])
    answer = robust("review", "quick", "--log", name, "--out", "out")
    assert answer.code == 2
    assert name.split(".")[0] in answer.err
    assert "Traceback" not in answer.err + answer.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("review", "quick", "--log", "nosuch.csv"), "nosuch.csv"),
        (("review", "quick", "--log", "."), "log"),
        (("review", "quikc"), "Did you mean 'quick'"),
        (("review", "quick", "--model", "sasrecc"), "Did you mean 'sasrec'"),
        (("review", "quick", "--model", "no.such.module:X"), "no.such.module"),
        (("review", "quick", "--out", "/proc/nope"), "/proc/nope"),
        (("review", "quick", "--seed", "x"), "seed"),
        (("review", "quick", "--max-time", "soon"), "30m"),
        (("review", "quick", "--columns", "usr=a"), "usr=a"),
        (("show", "bandwagn"), "Did you mean 'bandwagon'"),
        (("list", "attcks"), "Did you mean 'attacks'"),
        (("report", "nowhere"), "nowhere"),
        (
            ("attack", "pgd", "--log", "flights", "--goal", "promote:cold*5", "--budget", "users=1%", "--out", "x"),
            "pgd",
        ),
        (
            ("attack", "random", "--log", "flights", "--goal", "promote:NOPE", "--budget", "users=1%", "--out", "x"),
            "NOPE",
        ),
        (
            ("attack", "random", "--log", "flights", "--goal", "raise:1", "--budget", "users=1%", "--out", "x"),
            "raise:1",
        ),
        (
            ("attack", "random", "--log", "flights", "--goal", "promote:cold*5", "--budget", "usrs=1", "--out", "x"),
            "users",
        ),
        ((*ATTACK, "random", "--goal", "promote:cold*5", "--budget", "users=0"), "not a single one"),
        ((*ATTACK, "random", "--goal", "promote:cold*5", "--budget", "users=0.01%"), "not a single one"),
        ((*ATTACK, "random", "--goal", "promote:cold*5", "--budget", "edits=1"), "'random' spends users"),
        ((*ATTACK, "random", "--goal", "promote:cold*5", "--budget", "users=many"), "a share such as 1%"),
        ((*ATTACK, "random", "--goal", "promote:cold*5", "--budget", "users=9,profile_length=400"), "316 items"),
        ((*ATTACK, "random", "--goal", "promote:cold*400", "--budget", "users=9"), "only 63 qualify"),
        ((*ATTACK, "random", "--goal", "demote:cold*5", "--budget", "users=9"), "not demote"),
        ((*ATTACK, "alternating", "--goal", "promote:cold*5", "--budget", "users=9"), "needs a model"),
        (("sanitize", "surprise", "--log", "flights", "--out", "x"), "pca"),
    ],
)
def test_an_argument_that_cannot_be_used(
    arguments: tuple[str, ...], said: str, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = robust(*arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err + answer.out


def test_a_catalogue_of_another_size_is_said_so(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("small_catalogue.py").write_text(
        "import numpy as np\n"
        "class Five:\n"
        "    n_items = 5\n"
        "    def recommend(self, sequences, k):\n"
        "        return np.tile(np.arange(1, k + 1) * (np.arange(k) < 5), (len(sequences.items), 1))\n"
    )
    answer = robust("review", "quick", "--model", "small_catalogue:Five", "--out", "out")
    assert answer.code == 2
    assert "ranks 5 items" in answer.err
    assert "--vocabulary" in answer.err


SCENARIO = """\
dataset: {file: events.csv}
victims: [markov]
threats:
  - id: one
    goal: {promote: [GOAL], k: 2}
    knowledge: {log: full, model: gradients}
    attacks: [ATTACK]
    budgets: [{BUDGET}]
    bound: {metric: target_hr@2, kind: rise, limit: 0.05}
"""
SOUND = {"GOAL": "c", "ATTACK": "random", "BUDGET": "users: 2"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"GOAL": "zebra"}, "'zebra' is not in"),
        ({"GOAL": "all"}, "held by all 6 evaluated users"),
        ({"BUDGET": "users: 0"}, "bad.yaml, line 8: threats.0.budgets.0.users"),
        ({"BUDGET": "users: 2, profile_length: 99"}, "profile_length = 99"),
        ({"BUDGET": "epsilon: 1"}, "'random' spends users"),
        ({"ATTACK": "random, random"}, "stands twice"),
        ({"ATTACK": "pgd", "BUDGET": "epsilon: 0.5"}, "needs gradients, which this recommender does not offer"),
    ],
)
def test_a_scenario_that_cannot_be_meant(
    changed: dict[str, str], said: str, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    items = "abcdefghijklm"
    rows = [f"{user},{item},{place}" for user in range(6) for place, item in enumerate(["all", *items[user:][:4]])]
    Path("events.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    text = SCENARIO
    for name, value in {**SOUND, **changed}.items():
        text = text.replace(name, value)
    Path("bad.yaml").write_text(text)
    answer = robust("review", "bad.yaml", "--out", "out", "--engine", "serial")
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err + answer.out
    assert not list(Path("out").rglob("*.parquet"))
    assert answer.err.count("\n") == 1


def test_a_target_that_everybody_holds_cannot_be_promoted(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("events.csv").write_text("user,item,timestamp\n1,a,1\n1,b,2\n2,a,1\n2,c,2\n")
    told = ("--log", "events.csv", "--budget", "users=1,profile_length=2", "--out", "x.csv")
    answer = robust("attack", "random", "--goal", "promote:a", *told)
    assert answer.code == 2
    assert "'a' is held by all 2 users" in answer.err
    assert not Path("x.csv").exists()
    assert robust("attack", "random", "--goal", "promote:b", *told).code == 0


def test_a_failed_start_leaves_earlier_results_alone(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/results.json").write_text("earlier")
    assert robust("review", "quick", "--log", "nosuch.csv", "--out", "out").code == 2
    assert Path("out/results.json").read_text() == "earlier"


def test_results_that_were_changed_are_refused(robust: Robust, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"schema": 1, "environment": {"checksum": "0"}}')
    answer = robust("report", tmp_path)
    assert answer.code == 2
    assert "results.json" in answer.err
