"""A review of an endpoint: it dies on the way, and the same command goes on from where it was."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import Robust
from tests.integration.servers.project import ENDPOINT, Whole, measured, results, sequences, stored, write_project
from tests.integration.servers.start import Server, free_port


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_server_that_dies_loses_nothing(
    engine: str, endpoint_project: Path, robust: Robust, server: Server, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("review", "small.yaml", "--engine", engine, "--workers", "2", "--out", "broken")
    if engine == "processes":  # warm workers stand in another folder than this review
        server.fault("die", count=len(whole.bodies) // 3)
        robust(*command)
        server.start()
        monkeypatch.chdir(write_project(endpoint_project / "here", server))

    server.fault("die", count=len(whole.bodies) * 2 // 3)
    broken = robust(*command)
    assert broken.code == 3
    reasons = [cell["reason"] for cell in results("broken")["cells"] if cell["verdict"] == "ERROR"]
    assert reasons
    assert all(re.search(r"broke off|refused the connection|cannot be reached", reason) for reason in reasons)
    before = stored("broken")
    assert 0 < len(before) < whole.stored

    dead = robust(*command)
    assert dead.code == 2
    assert "refused the connection" in dead.err
    assert "Traceback" not in dead.err

    server.start()
    again = robust(*command)
    assert again.code == 0
    after = stored("broken")
    assert {name: after[name] for name in before} == before
    assert measured("broken") == whole.cells
    assert len(server.seen()["bodies"]) < len(whole.bodies)


def test_a_server_that_dies_while_it_is_opened_is_no_other_server(
    endpoint_project: Path, robust: Robust, server: Server, whole: Whole
) -> None:
    command = ("review", "small.yaml", "--engine", "serial", "--out", "out")
    shutil.copytree(whole.out, "out")
    before = stored("out")
    for survived in range(1, 4):  # twice the check, once one row, then the mark
        server.fault("die", count=survived)
        dead = robust(*command)
        assert dead.code in (2, 3)
        assert re.search(r"^robust: .*(broke off|refused the connection|cannot be reached)", dead.err)
        assert stored("out") == before
        server.start()
    assert "what an earlier run left is untouched" in dead.err
    assert robust(*command).code == 0
    assert stored("out") == before
    assert sequences(server.seen()["bodies"]) == 72


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_run_that_may_not_ask_more_says_so_and_keeps_what_it_has(
    engine: str, endpoint_project: Path, robust: Robust, server: Server
) -> None:
    command = ("review", "small.yaml", "--engine", engine, "--workers", "2", "--out", "out")
    own = f"headers: {{X-Test: {engine}}}"  # this process keeps one account for each description
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: {server.url}\n{own}\nmax_queries: 700\n")
    assert robust(*command).code == 3
    reasons = [cell["reason"] for cell in results("out")["cells"] if cell["verdict"] == "ERROR"]
    assert reasons
    assert all("of max_queries = 700 sequences were asked" in reason for reason in reasons)
    assert sequences(server.seen()["bodies"]) <= 700


@pytest.mark.parametrize(
    ("user", "query", "proof"),
    [
        pytest.param("", "?key=hunter2", "Bearer tok-5f1e93c0", id="a token, and a key in the query"),
        pytest.param("me:hunter2@", "", "Basic bWU6aHVudGVyMg==", id="a password in the address"),
    ],
)
def test_secrets_are_in_no_file_of_a_run(
    user: str,
    query: str,
    proof: str,
    endpoint_project: Path,
    robust: Robust,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "tok-5f1e93c0")
    token = "" if user else "token_env: SHOP_TOKEN\n"
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: {server.url.replace('//', f'//{user}')}{query}\n{token}")
    planned = robust("plan", "small.yaml")
    server.fault("echo", count=1, status=500)  # a server may hand back what it was sent
    answer = robust("review", "small.yaml", "--engine", "serial", "--out", "out")
    assert (planned.code, answer.code) == (0, 0)
    assert server.seen()["headers"][-1]["authorization"] == proof
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    texts = [path.read_bytes().decode("latin-1") for path in written]
    texts += [said for one in (planned, answer) for said in (one.out, one.err)]
    assert len(texts) > 5
    assert not any(secret in text for text in texts for secret in ("tok-5f1e93c0", "hunter2", "bWU6aHVudGVyMg"))


def test_an_address_that_nobody_has(endpoint_project: Path, robust: Robust) -> None:
    Path("endpoint.yaml").write_text(ENDPOINT + f"url: http://127.0.0.1:{free_port()}\n")
    answer = robust("review", "small.yaml", "--out", "out")
    assert answer.code == 2
    assert "refused the connection" in answer.err
