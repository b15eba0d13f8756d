"""A review of an endpoint: it dies on the way, and the same command goes on from where it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.conftest import Robust
from tests.integration.servers.start import Server, free_port, serving

N_ITEMS = 40
SCENARIO = """\
schema: 1
title: An endpoint
dataset: {file: events.csv}
victims: [endpoint.yaml]
seeds: [3]
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: random-substitution, tries: 5}]
    budgets: [{edits: 1}, {edits: 2}, {edits: 3}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.97}
"""
ENDPOINT = """\
adapter: kserve
model: ranker
n_items: 40
padding: {length: 8}
items: top
k: 20
retries: 1
backoff: 0.01
batch_size: 64
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(N_ITEMS) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["user,item,timestamp"]
    lines += [f"u{user},{item},{place}" for user in range(60) for place, item in enumerate(rng.integers(1, 41, 9))]
    Path("events.csv").write_text("\n".join(lines))
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: {server.url}\n")
    Path("small.yaml").write_text(SCENARIO)
    server.fault()
    return tmp_path


def results(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(out) / "results.json").read_text())
    return found


def measured(out: str) -> list[Any]:
    kept = ("id", "verdict", "reason", "metrics", "points", "queries")
    return [{key: value for key, value in cell.items() if key in kept} for cell in results(out)["cells"]]


def stored(out: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(out).rglob("*.bin")}


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_server_that_dies_loses_nothing(
    engine: str, project: Path, robust: Robust, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("review", "small.yaml", "--engine", engine, "--workers", "2", "--out")
    if engine == "processes":  # from then on its warm workers stand in another folder than the next review
        robust(*command, "elsewhere")
        here = project / "here"
        here.mkdir()
        for name in ("events.csv", "endpoint.yaml", "small.yaml"):
            (project / name).rename(here / name)
        monkeypatch.chdir(here)
        server.fault()
    assert robust(*command, "whole").code == 0
    asked = len(server.seen()["bodies"])

    server.fault("die", count=asked * 2 // 3)
    broken = robust(*command, "broken")
    assert broken.code == 3
    reasons = [cell["reason"] for cell in results("broken")["cells"] if cell["verdict"] == "ERROR"]
    assert reasons
    assert all(re.search(r"broke off|refused the connection|cannot be reached", reason) for reason in reasons)
    before = stored("broken")
    assert 0 < len(before) < len(stored("whole"))

    server.kill()
    dead = robust(*command, "broken")
    assert dead.code == 2
    assert "refused the connection" in dead.err
    assert "Traceback" not in dead.err

    server.start()
    again = robust(*command, "broken")
    assert again.code == 0
    after = stored("broken")
    assert {name: after[name] for name in before} == before
    assert measured("broken") == measured("whole")
    assert len(server.seen()["bodies"]) < asked


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_run_that_may_not_ask_more_says_so_and_keeps_what_it_has(
    engine: str, project: Path, robust: Robust, server: Server
) -> None:
    command = ("review", "small.yaml", "--engine", engine, "--workers", "2", "--out", "out")
    own = f"headers: {{X-Test: {engine}}}"  # this process keeps one account for each description
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: {server.url}\n{own}\nmax_queries: 700\n")
    assert robust(*command).code == 3
    reasons = [cell["reason"] for cell in results("out")["cells"] if cell["verdict"] == "ERROR"]
    assert reasons
    assert all("of max_queries = 700 sequences were asked" in reason for reason in reasons)
    assert sum(body["inputs"][0]["shape"][0] for body in server.seen()["bodies"]) <= 700


def test_secrets_are_in_no_file_of_a_run(
    project: Path, robust: Robust, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "tok-5f1e93c0")
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: {server.url}?key=hunter2\ntoken_env: SHOP_TOKEN\n")
    answer = robust("review", "small.yaml", "--engine", "serial", "--out", "out")
    assert answer.code == 0
    assert server.seen()["headers"][-1]["authorization"] == "Bearer tok-5f1e93c0"
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    texts = [path.read_bytes().decode("latin-1") for path in written] + [answer.out, answer.err]
    assert len(texts) > 5
    assert not any("tok-5f1e93c0" in text or "hunter2" in text for text in texts)


def test_an_address_that_nobody_has(project: Path, robust: Robust) -> None:
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: http://127.0.0.1:{free_port()}\n")
    answer = robust("review", "small.yaml", "--out", "out")
    assert answer.code == 2
    assert "refused the connection" in answer.err


def test_a_plan_tells_how_many_queries_a_review_takes(project: Path, robust: Robust, server: Server) -> None:
    said = robust("plan", "small.yaml", "--workers", "1")
    assert said.code == 0, said.err
    found = re.search(r"about ([\d,]+) sequences of an endpoint", said.out)
    assert found is not None, said.out
    server.fault()
    assert robust("review", "small.yaml", "--engine", "serial", "--out", "out").code == 0
    asked = sum(body["inputs"][0]["shape"][0] for body in server.seen()["bodies"])
    assert int(found[1].replace(",", "")) == pytest.approx(asked, rel=0.3)
