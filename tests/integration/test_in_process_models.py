"""The guide to models in process, run as written; and the flag that says that a file is trusted."""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robust.recommenders.adapters.base import TRUST
from tests.integration.conftest import Robust
from tests.integration.guide import commands, write_files
from tests.unit.recommenders.adapters.drawn import drawn

SECTIONS = ("A torch module", "ONNX", "TorchScript")
WAY = {  # of the gradients, or why there is none
    "A torch module": "(gradients through items)",
    "ONNX": "computes forwards only",
    "TorchScript": "hooks do not run inside TorchScript",
}
SCENARIO = """\
schema: 1
title: Tiny
dataset: {file: events.csv}
victims: [VICTIM]
seeds: [3]
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [random-edits]
    budgets: [{edits: 1}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.99}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's files, a log of 50 items, and the guide's module in its three forms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # its `python` is ours
    monkeypatch.setenv(TRUST, "0")  # whatever the command line sets is taken back after the test
    for name in ("net", "mine", "ranker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for section in (*SECTIONS, "A command"):
        write_files(section)
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(50), rng.integers(50, size=550)])
    rows = [f"u{row // 10},{item},{row % 10}" for row, item in enumerate(items)]
    Path("events.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    net = drawn(importlib.import_module("net").Net(50), 0).eval()
    save_file(net.state_dict(), "net.safetensors")
    torch.save(net.state_dict(), "net.pt")
    return tmp_path


def _export(net: torch.nn.Module, form: str) -> None:
    inputs = torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporters talk about their own future
        if form == "TorchScript":
            torch.jit.save(torch.jit.script(net), "net.ts")
            return
        sizes = {0: "batch", 1: "length"}
        torch.onnx.export(
            net,
            inputs,
            "net.onnx",
            input_names=["seq", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"seq": sizes, "attention_mask": sizes},
            dynamo=False,  # the older exporter; the newer one is tested in tests/unit/recommenders/adapters
        )


@pytest.mark.parametrize("section", SECTIONS)
def test_the_guides_commands_run_and_find_nothing_wrong(section: str, folder: Path, robust: Robust) -> None:
    if section != "A torch module":
        net = importlib.import_module("net").Net(50)
        net.load_state_dict(torch.load("net.pt", weights_only=True))  # noqa: TID251 - written above
        _export(net.eval(), section)
    examinations = [words for words in commands(section) if words[0] == "doctor"]
    assert examinations
    for words in examinations:
        answer = robust(*words, "--json")
        assert answer.code == 0, answer.out + answer.err
        rows = {row["name"]: row["result"] for row in json.loads(answer.out)}
        seen = {row["name"]: row["seen"] for row in json.loads(answer.out)}
        assert WAY[section] in seen.get("no gradients", seen["capabilities"])
        assert {rows[name] for name in ("catalogue", "padding", "empty sequences", "batch size")} == {"ok"}


def test_the_guides_python_gives_what_the_file_gives(folder: Path) -> None:
    from robust.log import SequenceBatch
    from robust.recommenders.resolve import resolve

    rows = SequenceBatch.from_lists([[3, 50, 1], [7], list(range(1, 30))])
    first, second = resolve("net.yaml"), resolve("mine:model")
    np.testing.assert_allclose(first.score(rows), second.score(rows), rtol=0, atol=1e-4)
    assert first.gradients == second.gradients == "through items"
    assert sum(bool(line) for line in Path("mine.py").read_text().splitlines()) <= 10


def test_the_guides_command_makes_what_it_says(folder: Path) -> None:
    from robust.datasets import open_log
    from robust.log import SequenceBatch
    from robust.recommenders.adapt import adapt
    from robust.recommenders.protocols import Fittable, capabilities, lacks
    from robust.recommenders.resolve import resolve

    log, model = open_log("events.csv"), adapt(resolve("pipeline.yaml"))
    assert capabilities(model) == {"lists", "scores", "fit"}
    assert lacks(model)["gradients"] == "its description says 'offers: scores'"
    assert isinstance(model, Fittable)
    fitted = model.fit(log, seed=0)
    counts = np.zeros((50, 50))
    following = log.user[1:] == log.user[:-1]
    np.add.at(counts, (log.item[:-1][following] - 1, log.item[1:][following] - 1), 1)
    asked = SequenceBatch.from_lists([[number] for number in range(1, 51)])
    assert np.array_equal(fitted.score(asked)[:, 1:], counts)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("section", ["A torch module", "A command"])
def test_the_guides_reviews_run_to_their_end(section: str, folder: Path, robust: Robust) -> None:
    reviews = [words for words in commands(section) if words[0] == "review"]
    assert reviews
    for words in reviews:
        # the guide's command is reviewed on the embedded log, which takes minutes
        answer = robust(*words, *([] if "--log" in words else ["--log", "events.csv"]), "--workers", "1")
        assert answer.code in (0, 1), answer.out + answer.err
        cells = json.loads(Path("robust-out/results.json").read_text())["cells"]
        assert "ERROR" not in {cell["verdict"] for cell in cells}
        poisoned = {cell["verdict"] for cell in cells if cell["threat"] == "promotion"}
        assert (poisoned == {"NOT_APPLICABLE"}) == (section == "A torch module")


@pytest.mark.parametrize("command", ["review", "plan", "doctor"])
def test_a_pickle_is_opened_only_where_it_is_said(command: str, folder: Path, robust: Robust) -> None:
    Path("tiny.yaml").write_text(SCENARIO.replace("VICTIM", "markov"))
    text = Path("net.yaml").read_text()
    Path("pickled.yaml").write_text(text.replace("net.safetensors", "net.pt"))
    words = ["doctor", "--log", "events.csv"] if command == "doctor" else [command, "tiny.yaml", "--workers", "1"]
    words += ["--model", "pickled.yaml"] + (["--out", "out"] if command == "review" else [])
    refused = robust(*words)
    assert refused.code == 2
    assert "--trust-pickle" in refused.err
    assert robust(*words, "--trust-pickle").code in (0, 1)


def test_workers_know_of_the_trust_and_the_run_says_it(folder: Path, robust: Robust) -> None:
    Path("tiny.yaml").write_text(SCENARIO.replace("VICTIM", "pickled.yaml"))
    Path("pickled.yaml").write_text(Path("net.yaml").read_text().replace("net.safetensors", "net.pt"))
    answer = robust("review", "tiny.yaml", "--out", "out", "--workers", "2", "--trust-pickle")
    assert answer.code in (0, 1), answer.out + answer.err
    results = Path("out/results.json").read_text()
    assert {cell["verdict"] for cell in json.loads(results)["cells"]} <= {"PASS", "FAIL"}
    assert "robust review tiny.yaml --seed 0 --trust-pickle" in results
