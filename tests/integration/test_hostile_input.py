"""A review of a log, a catalogue and a scenario that somebody hostile made, from end to end, in each output."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from robust.counterexamples import Counterexample, explain
from robust.errors import InputError
from robust.leaderboard.rows import Row, read_row, write_row
from robust.recommenders.adapters import open_adapter
from robust.report import FORMATS, render
from robust.runner.export import read_results, results_json
from robust.testing.telling import message, properties
from tests.integration.conftest import Answer, Robust

WHO = "ann.lee@shop.example"
PAYLOAD = (
    "<script>alert(1)</script>| `x` @team closes #1 ![i](http://evil.example/i.png) ::add-mask::a ##[error]b ]]> "
    "[red]m[/red] \x1b[31m \x9b2J \u202etxt \0 {{ 7*7 }}"
)
FORGED = "\nPASS  all is well\n::error::forged\r\n::stop-commands::x\n"
COMMAND = re.compile(r"^\s*::[a-z-]+.*?::|##\w*\[", re.MULTILINE)
"""What GitHub's, Azure's and TeamCity's runners take for a command."""
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]")


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the working folder: 60 users, 25 items; every name that somebody else chooses is hostile."""
    monkeypatch.chdir(tmp_path)
    items = [f"={i}+cmd|'/c calc'!A0{FORGED}{PAYLOAD}" for i in range(25)]
    draw = random.Random(0)
    rows = [
        {"user": f"{WHO}-{user}{PAYLOAD}", "item": draw.choice(items), "timestamp": 1_600_000_000 + at}
        for user in range(60)
        for at in range(8)
    ]
    Path("log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = [{"item": item, "name": f"＋1{FORGED}{PAYLOAD}{'x' * 10_000}"} for item in items]
    Path("names.jsonl").write_text("".join(json.dumps(row) + "\n" for row in names))
    threat = {
        "id": "t",
        "title": f"=x{FORGED}{PAYLOAD}",
        "goal": {"promote": [items[0]], "k": 5},
        "attacks": ["random"],
        "budgets": [{"users": 3}],
        "bound": {"metric": "target_hr@5", "kind": "rise", "limit": 0.01},
    }
    body: dict[str, Any] = {"title": f"=T{FORGED}{PAYLOAD}", "victims": ["markov"], "threats": [threat]}
    body["dataset"] = {"file": "log.jsonl", "names": "names.jsonl"}
    path = Path("hostile.yaml")
    path.write_text(json.dumps(body))
    return path


def reviewed(robust: Robust, scenario: Path, *more: str) -> Answer:
    answer = robust("review", scenario, "--out", "out", "--engine", "serial", *more)
    assert answer.code in (0, 1), answer.err
    return answer


def everything(folder: Path) -> dict[str, bytes]:
    """Each file's bytes, and the values of packed tables."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in found:
        if name.endswith(".parquet"):
            found[name] = str(pq.read_table(name).to_pylist()).encode()
    return found


def test_no_output_names_a_user_and_none_can_be_made_to_say_something_else(robust: Robust, scenario: Path) -> None:
    answer = reviewed(robust, scenario)
    files = everything(Path("out"))
    assert len(files) > 10
    assert not [name for name, content in files.items() if WHO.encode() in content]
    said = {form: robust("report", "out", "--format", form).out for form in FORMATS}
    said |= {"review": answer.out + answer.err, "plan": robust("plan", scenario).out}
    said |= {f"compare {form}": robust("compare", "out", "out", "--format", form).out for form in ("console", "md")}
    assert all(len(text) > 100 for text in said.values())
    for form, text in said.items():
        assert WHO not in text, form
        if form != "json":  # which a machine reads, and which holds every text as it is
            assert not COMMAND.search(text), form
            assert not HARMFUL.search(text), form
            assert not re.search(r"^\W*(PASS  )?all is well", text, re.MULTILINE), form
    assert "x" * 100 not in said["md"] + said["html"] + said["console"]
    rows = [line for line in said["csv"].splitlines() if line]
    assert len(rows) == 2
    fields = next(csv.DictReader(said["csv"].splitlines()))
    assert fields["title"].startswith("'=x PASS")
    assert not [value for value in fields.values() if value.startswith(("=", "+", "@", "＋"))]
    assert "<script>alert" not in said["html"] + said["junit"]


def test_users_are_named_in_one_table_if_asked_for(robust: Robust, scenario: Path) -> None:
    reviewed(robust, scenario, "--show-ids")
    assert [name for name, content in everything(Path("out")).items() if WHO.encode() in content] == [
        "out/users.parquet"
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"user": WHO, "item": None, "timestamp": 1},
        {"user": WHO, "item": "a", "timestamp": "soon\n::error::forged"},
        {"user": {"id": WHO}, "item": "a", "timestamp": 1},
        {"user": [WHO], "item": "a", "timestamp": 1},
        {"user": WHO + "x" * 300, "item": "a", "timestamp": 1},
        {"user": WHO + "\ud800", "item": "a", "timestamp": 1},
        {"user": -79927398713, "item": "a", "timestamp": 1},
    ],
    ids=["no item", "time", "object", "array", "long", "half", "negative"],
)
def test_a_bad_row_is_told_by_its_line_and_not_by_its_user(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    good = {"user": 1 if isinstance(row["user"], int) else "u", "item": "a", "timestamp": 1}
    Path("log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (good, row)))
    answer = robust("review", "quick", "--log", "log.jsonl", "--out", "out")
    assert answer.code == 2
    assert re.search(r"(line|row) 2\b", answer.err)
    assert WHO not in answer.err
    assert "79927398713" not in answer.err
    assert not COMMAND.search(answer.err)
    assert "Traceback" not in answer.err


def test_names_in_a_message_neither_move_the_cursor_nor_pass_for_another_message(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a\nrobust: PASS\n::error::b\x1b[2J\u202e.csv"
    Path(name).write_text("p::error::q,##[error]r\n1,2\n")
    answer = robust("review", "quick", "--log", name, "--out", "out")
    assert answer.code == 2
    assert [line for line in answer.err.splitlines() if not line.startswith("  ")] == ["robust: a"]
    assert not COMMAND.search(answer.err)
    assert not HARMFUL.search(answer.err.replace("\n", ""))


def test_a_name_that_is_no_utf_8_is_refused_before_anything_runs(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("l\udcff.csv").write_text("user,item,timestamp\n1,2,3\n")
    answer = robust("review", "quick", "--log", "l\udcff.csv", "--out", "out")
    assert answer.code == 2
    assert "not UTF-8" in answer.err


def test_a_table_of_rows_shows_no_escapes(robust: Robust, scenario: Path) -> None:
    told = ("--log", "log.jsonl", "--goal", "promote:cold*2", "--budget", "users=3", "--out", "poisoned.csv")
    answer = robust("attack", "random", *told)
    assert answer.code == 0, answer.err
    assert not COMMAND.search(answer.out)
    assert not HARMFUL.search(answer.out)


def test_a_red_test_shows_names_on_their_lines(robust: Robust, scenario: Path) -> None:
    reviewed(robust, scenario)
    (cell,) = read_results(Path("out")).cells
    hostile = cell.model_copy(update={"reason": FORGED + PAYLOAD, "budget": PAYLOAD + FORGED})
    example = Counterexample(history=(1, 2), attacked=(2,), next_item=2)
    names = [PAYLOAD + FORGED + "x" * 10_000] * 2
    values = [str(value) for _, value in properties(hostile)]
    assert not [value for value in values if "\n" in value or COMMAND.search(value) or HARMFUL.search(value)]
    for text in (message(hostile, "robust review", 1), example.diff(names), explain(example, names, None)):
        assert not COMMAND.search(text)
        assert not HARMFUL.search(text)
        assert not re.search(r"^\W*PASS", text, re.MULTILINE)
        assert "x" * 100 not in text


@pytest.mark.parametrize("place", ["store", "store/aa"])
def test_a_run_folder_that_leads_elsewhere_is_refused(robust: Robust, scenario: Path, place: str) -> None:
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    link = Path("out") / place
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere.resolve())
    answer = robust("review", scenario, "--out", "out", "--engine", "serial")
    assert answer.code == 2
    assert f"{link} is a link" in answer.err
    assert not list(elsewhere.iterdir())


def test_a_report_replaces_a_link_and_does_not_follow_it(robust: Robust, scenario: Path) -> None:
    Path("precious").write_text("mine")
    Path("out").mkdir()
    for name in ("report.html", "results.json", "cells.parquet", "users.parquet"):
        (Path("out") / name).symlink_to(Path("precious").resolve())
    reviewed(robust, scenario)
    assert Path("precious").read_text() == "mine"


def test_what_a_run_says_of_itself_never_becomes_a_path_outside(robust: Robust, scenario: Path) -> None:
    """Results that somebody else made, with a checksum that fits."""
    reviewed(robust, scenario)
    results = read_results(Path("out"))
    up = "../../../etc/cron.d/x"
    cells = [cell.model_copy(update={"id": up, "victim": up, "threat": up}) for cell in results.cells]
    threats = [one.model_copy(update={"id": up, "cells": [up]}) for one in results.threats]
    environment = {**results.environment, "scenario": {"path": f"/{up}", "bounds": {up: 3}}}
    environment.pop("checksum", None)
    forged = results.model_copy(update={"cells": cells, "threats": threats, "environment": environment})
    Path("theirs").mkdir()
    Path("theirs/results.json").write_text(results_json(forged))
    before = sorted(Path().rglob("*"))
    for form in FORMATS:
        text = render(read_results(Path("theirs")), form)
        if form == "sarif":
            places = re.findall(r'"uri": "([^"]*)"', text)
            assert places
            assert not [one for one in places if one.startswith("/") or ".." in one.split("/")]
    assert robust("init", "new", "--from", "theirs").code in (0, 2)
    made = [path for path in sorted(Path().rglob("*")) if path not in before]
    assert all(path.parts[0] == "new" for path in made)


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "\\ud800", "environment": {"checksum": "0"}}',
        "[" * 10**6,
        '{"schema": ' + "9" * 5_000 + "}",
        "\0",
        "[]",
    ],
    ids=["half", "deep", "digits", "nul", "array"],
)
def test_results_that_nobody_wrote_are_refused_in_one_message(robust: Robust, tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    answer = robust("report", tmp_path)
    assert answer.code == 2
    assert answer.err.startswith("robust: '")
    assert "results.json" in answer.err


def test_half_a_character_in_results_is_replaced(robust: Robust, scenario: Path) -> None:
    reviewed(robust, scenario)
    body = json.loads(Path("out/results.json").read_text())
    body["environment"].pop("checksum")
    body["title"] = "\ud800"
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass")
    body["environment"]["checksum"] = hashlib.sha256(canonical).hexdigest()
    Path("theirs.json").write_text(json.dumps(body))
    for form in FORMATS:
        answer = robust("report", "theirs.json", "--format", form)
        assert answer.code == 0, form
        answer.out.encode()


def test_a_row_of_the_leaderboard_stays_in_its_folder(tmp_path: Path) -> None:
    example = next(Path(__file__).parents[2].joinpath("leaderboard").glob("*.json"))
    up = "../../../tmp/x\0\n/y"
    row = Row.model_validate({**read_row(example).model_dump(by_alias=True), "dataset": up, "victim": "/etc/passwd"})
    folder = tmp_path / "rows"
    folder.mkdir()
    write_row(row, folder)
    (made,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert made.parent == folder


def test_the_place_of_a_database_is_in_no_file(robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("hunter2-place.db") as database:
        database.execute("CREATE TABLE events (user TEXT, item TEXT, ts INTEGER)")
        draw = random.Random(0)
        rows = [(f"u{user}", f"i{draw.randrange(25)}", at) for user in range(60) for at in range(8)]
        database.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
    database.close()
    monkeypatch.setenv("SHOP_ADDRESS", f"file:{tmp_path}/hunter2-place.db?cache=private")
    scenario = {
        "victims": ["markov"],
        "dataset": {"query": "SELECT * FROM events ORDER BY ts", "database": "adbc:sqlite:env:SHOP_ADDRESS"},
        "threats": [
            {
                "id": "t",
                "goal": {"promote": ["i1"], "k": 5},
                "attacks": ["random"],
                "budgets": [{"users": 3}],
                "bound": {"metric": "target_hr@5", "kind": "rise", "limit": 0.3},
            }
        ],
    }
    Path("s.yaml").write_text(json.dumps(scenario))
    answer = reviewed(robust, Path("s.yaml"))
    said = [robust("report", "out", "--format", form).out for form in FORMATS]
    text = "".join([answer.out, answer.err, robust("plan", "s.yaml").out, *said])
    assert "SHOP_ADDRESS" in text
    assert "hunter2" not in text
    assert not [name for name, content in everything(Path("out")).items() if b"hunter2" in content]


def test_what_a_training_command_prints_is_kept_without_secrets(
    robust: Robust, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_TOKEN", "hunter2-hunter2")
    Path("train.sh").write_text('echo "token is $SHOP_API_TOKEN for {log} {out}"; exit 3\n')
    Path("model.yaml").write_text(
        "adapter: command\nfit: sh train.sh {log} {out}\nrecommend: {adapter: onnx, file: m.onnx, n_items: 25}\n"
    )
    answer = robust("review", scenario, "--model", "model.yaml", "--out", "out", "--engine", "serial")
    assert answer.code == 3
    whole = answer.out + answer.err + Path("out/results.json").read_text()
    assert "token is (hidden) for" in whole
    assert "hunter2" not in whole
    assert not [name for name, content in everything(Path("out")).items() if b"hunter2" in content]


def test_what_a_model_says_when_it_fails_is_kept_without_secrets(
    robust: Robust, scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_TOKEN", "hunter2-hunter2")
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("leaky.py").write_text(
        "import os\n"
        "class Model:\n"
        "    def fit(self, log, *, seed):\n"
        "        raise RuntimeError('cannot log in with ' + os.environ['SHOP_API_TOKEN'])\n"
        "    def recommend(self, sequences, k):\n"
        "        raise NotImplementedError\n"
    )
    answer = robust("review", scenario, "--model", "leaky:Model", "--out", "out", "--engine", "serial")
    assert answer.code == 3
    assert "cannot log in with (hidden)" in Path("out/results.json").read_text()
    assert "hunter2" not in answer.out + answer.err
    assert not [name for name, content in everything(Path("out")).items() if b"hunter2" in content]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin"])
def test_an_onnx_file_reads_no_weights_from_outside_its_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"S" * 400)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to("../secret.bin")
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[10, 10], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "x"], ["g"]), helper.make_node("ReduceSum", ["g", "a"], ["y"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["b", "l"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights, helper.make_tensor("a", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    (folder / "m.yaml").write_text("adapter: onnx\nfile: m.onnx\nn_items: 9\n")
    with pytest.raises(InputError, match="External data path"):
        open_adapter(folder / "m.yaml")
