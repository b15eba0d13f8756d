"""A command that trains: what it is given, what it makes, and how it may fail.

The pipeline is a script of its own process, which knows nothing of this package: it counts successors in the CSV.
"""

from __future__ import annotations

import csv
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robust.errors import InputError, ModelFault, RobustError
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from robust.recommenders.adapters.base import TRUST
from robust.recommenders.fingerprint import fingerprint
from robust.recommenders.protocols import Fittable, Recommender, capabilities, lacks
from robust.runner.prepare import Request, prepare
from robust.runner.store import Store
from robust.runner.workshop import Workshop

TRAIN = """
    import csv, json, sys
    log, items, out, seed = sys.argv[1:5]
    names = [row["item"] for row in csv.DictReader(open(items, newline=""))]
    place = {name: number for number, name in enumerate(names)}
    counts = [[0] * len(names) for _ in names]
    last = {}
    for row in csv.DictReader(open(log, newline="")):
        if row["user"] in last:
            counts[place[last[row["user"]]]][place[row["item"]]] += 1
        last[row["user"]] = row["item"]
    json.dump({"counts": counts, "seed": seed}, open(out + "/counts.json", "w"))
    print("trained on", len(last), "users")
"""

RANKER = """
    import json
    import numpy as np

    class Successors:
        def __init__(self, folder):
            made = json.loads((folder / "counts.json").read_text())
            self.counts, self.seed = np.array(made["counts"], dtype=np.float32), made["seed"]
            self.n_items = len(self.counts)

        def score(self, sequences):
            scores = np.zeros((len(sequences), self.n_items + 1), dtype=np.float32)
            newest = sequences.items[:, -1]
            scores[newest > 0, 1:] = self.counts[newest[newest > 0] - 1]
            return scores
"""

IDS = np.array(["plain", 'with "quotes", a comma', "=1+1", "two\nlines", "é", " "])
USERS = np.array([[1, 2, 3, 4], [1, 2, 3, 5], [2, 3, 4, 1]])

Write = Callable[..., Path]


@pytest.fixture
def log() -> InteractionLog:
    return InteractionLog.from_columns(
        np.repeat(np.arange(3), 4),
        USERS.ravel(),
        np.tile(np.arange(4), 3) * 60,
        n_items=6,
        user_ids=np.array(["ann", "bob", "cy"]),
        item_ids=IDS,
    )


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """Write a description, and the pipeline beside it; a module name of its own, since modules are imported once."""
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    module = f"ranker_{abs(hash(request.node.name))}"
    (folder / "train.py").write_text(textwrap.dedent(TRAIN))
    (folder / f"{module}.py").write_text(textwrap.dedent(RANKER))

    def written(fit: str = f"{sys.executable} train.py {{log}} {{items}} {{out}} {{seed}}", **more: str) -> Path:
        lines = {"recommend": f"{{adapter: python, model: '{module}:Successors'}}"} | more
        body = "".join(f"{key}: {value}\n" for key, value in lines.items())
        quoted = fit.replace("'", "''")
        (folder / "model.yaml").write_text(f"adapter: command\nfit: '{quoted}'\n{body}")
        return folder / "model.yaml"

    return written


def opened(path: Path) -> Any:
    model = adapt(open_adapter(path))
    assert isinstance(model, Fittable)
    return model


def successors(users: np.ndarray[Any, Any], n_items: int = 6) -> np.ndarray[Any, Any]:
    pairs = Counter((a, b) for row in users.tolist() for a, b in pairwise(row))
    return np.array([[pairs[a, b] for b in range(1, n_items + 1)] for a in range(1, n_items + 1)])


def scores(model: Recommender, n_items: int = 6) -> np.ndarray[Any, Any]:
    answer: np.ndarray[Any, Any] = model.score(SequenceBatch(np.arange(1, n_items + 1)[:, None]))[:, 1:]  # type: ignore[attr-defined]
    return answer


def test_it_learns_what_the_log_says_whatever_the_ids_are(write: Write, log: InteractionLog) -> None:
    model = opened(write()).fit(log, seed=7)
    assert np.array_equal(scores(model), successors(USERS))
    assert model.model.seed == "7"


def test_a_poisoned_log_arrives_whole(write: Write, log: InteractionLog) -> None:
    fakes = np.array([[6, 5, 6, 5], [6, 5, 0, 0]], dtype=np.int32)
    model = opened(write()).fit(LogEdit(add=fakes).apply(log), seed=0)
    assert np.array_equal(scores(model), successors(np.concatenate([USERS, fakes])))


def test_users_are_numbers_so_that_fake_ones_do_not_stand_out(write: Write, log: InteractionLog) -> None:
    path = write("cp {log} {items} {out}; touch {out}/counts.json")
    kept: list[list[dict[str, str]]] = []
    for rows in (log, LogEdit(add=np.array([[6, 5]], dtype=np.int32)).apply(log)):
        with pytest.raises(ModelFault) as error:  # cp leaves no model; the folder that it names does
            open_adapter(path).fit(rows, seed=0)
        assert "log.csv" in str(error.value)
        newest = max(path.parent.parent.glob("robust-fit-*"), key=lambda one: one.stat().st_mtime_ns)
        with (newest / "out" / "log.csv").open(newline="") as file:
            kept.append(list(csv.DictReader(file)))
    assert [row["user"] for row in kept[0]] == [str(user) for user in np.repeat(np.arange(3), 4)]
    assert [row["item"] for row in kept[0]] == IDS[USERS.ravel() - 1].tolist()
    assert [row["timestamp"] for row in kept[0]] == [str(60 * step) for step in range(4)] * 3
    assert kept[1][: len(kept[0])] == kept[0]
    assert [row["user"] for row in kept[1][12:]] == ["3", "3"]


def test_a_log_without_ids_is_written_by_its_numbers(write: Write, log: InteractionLog) -> None:
    plain = InteractionLog(log.user, log.item, log.timestamp, log.n_users, log.n_items)
    assert np.array_equal(scores(opened(write()).fit(plain, seed=0)), successors(USERS))


def test_what_it_offers_is_said_before_the_first_fit(write: Write) -> None:
    assert capabilities(opened(write())) == {"lists", "fit"}
    assert capabilities(opened(write(offers="scores"))) == {"lists", "scores", "fit"}
    assert "gradients" in capabilities(opened(write(offers="gradients")))
    assert lacks(opened(write(offers="scores"))) == {"gradients": "its description says 'offers: scores'"}


def test_a_promise_that_is_not_kept_is_a_fault(write: Write, log: InteractionLog) -> None:
    with pytest.raises(ModelFault, match="offers: gradients"):
        opened(write(offers="gradients")).fit(log, seed=0)


def test_a_shell_is_used_only_where_the_command_needs_one(write: Write, log: InteractionLog) -> None:
    train = f"{sys.executable} train.py {{log}} {{items}} {{out}} {{seed}}"
    model = opened(write(f"cat {{log}} > copy.csv && {train}")).fit(log, seed=0)
    assert np.array_equal(scores(model), successors(USERS))
    Path("argument.py").write_text("import sys; open(sys.argv[2] + '/said', 'w').write(sys.argv[1]); sys.exit(3)")
    with pytest.raises(ModelFault):
        opened(write(f'{sys.executable} argument.py "two words" {{out}} {{log}}')).fit(log, seed=0)
    assert [path.read_text() for path in Path("..").glob("robust-fit-*/out/said")] == ["two words"]


def test_a_program_beside_the_description_is_found(write: Write, log: InteractionLog) -> None:
    Path("train.sh").write_text(f'#!/bin/sh\nexec {sys.executable} train.py "$1" "$2" "$3" 0\n')
    with pytest.raises(InputError, match=r"chmod \+x"):
        opened(write("train.sh {log} {items} {out}"))
    Path("train.sh").chmod(0o755)
    assert np.array_equal(scores(opened(write("train.sh {log} {items} {out}")).fit(log, seed=0)), successors(USERS))


def test_the_environment_is_passed_on(write: Write, log: InteractionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAVOUR", "sour")
    with pytest.raises(ModelFault, match="sour"):
        opened(write("echo $FLAVOUR {log} {out}; exit 4")).fit(log, seed=0)


def test_a_failure_shows_the_last_lines_and_keeps_all(write: Write, log: InteractionLog) -> None:
    Path("fail.py").write_text("for n in range(40): print('line', n)\nprint('\\x1b[2Jcleared')\nraise SystemExit(5)")
    with pytest.raises(ModelFault, match="exit code 5") as error:
        opened(write(f"{sys.executable} fail.py {{log}} {{out}}")).fit(log, seed=0)
    said = str(error.value)
    assert "line 39" in said
    assert "line 20" not in said
    assert "\x1b" not in said
    (output,) = Path("..").resolve().glob("robust-fit-*/output.txt")
    assert str(output) in said
    assert "line 0" in output.read_text()


def test_one_that_hangs_is_ended_with_all_that_it_started(write: Write, log: InteractionLog) -> None:
    path = write("(sleep 30; touch survived) & echo started; sleep 30; true {log} {out}", timeout="0.5")
    began = time.monotonic()
    with pytest.raises(ModelFault, match=r"(?s)after 0.5 seconds.*timeout.*started"):
        opened(path).fit(log, seed=0)
    assert time.monotonic() - began < 10
    while _running_here() - {os.getpid()}:  # dying takes a moment
        assert time.monotonic() - began < 10
        time.sleep(0.02)


def _running_here() -> set[int]:
    return {int(link.parent.name) for link in Path("/proc").glob("[0-9]*/cwd") if _cwd(link) == str(Path.cwd())}


def _cwd(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def test_one_that_writes_nothing_is_a_fault(write: Write, log: InteractionLog) -> None:
    with pytest.raises(ModelFault, match="wrote nothing"):
        opened(write("true {log} {out}")).fit(log, seed=0)


def test_one_that_makes_another_catalogue_is_a_fault(write: Write, log: InteractionLog) -> None:
    command = f"{sys.executable} train.py {{log}} {{log}} {{out}} 0"  # the log's rows as if they were its items
    with pytest.raises(ModelFault, match="6"):
        opened(write(command)).fit(log, seed=0)


@pytest.mark.parametrize(
    ("fit", "more", "said"),
    [
        ("train {log}", {}, "line 2.*needs {out}"),
        ("train {out}", {}, "line 2.*needs {log}"),
        ("train {logs} {log} {out}", {}, "Did you mean {log}"),
        ('train "{log} {out}', {}, "line 2.*no command"),
        ("nosuchprogram {log} {out}", {}, "no program 'nosuchprogram'"),
        ("true {log} {out}", {"recommend": "onnx"}, "line 3.*mapping with the key 'adapter'"),
        ("true {log} {out}", {"recommend": "{adapter: pyhton}"}, "line 3.*Did you mean 'python'"),
        ("true {log} {out}", {"recommend": "\n  adapter: python\n  modle: a:B"}, "line 5.*Did you mean 'model'"),
        ("true {log} {out}", {"recommend": "{adapter: python, model: nowhere}"}, "package.module:attribute"),
        ("true {log} {out}", {"timeout": "0"}, "line 4: timeout"),
        ("true {log} {out}", {"depends": "[nosuch.py]"}, "nosuch.py"),
    ],
)
def test_a_wrong_description_says_where(fit: str, more: dict[str, str], said: str, write: Write) -> None:
    path = write(fit, **more)
    with pytest.raises(RobustError, match=said):
        open_adapter(path).fit(InteractionLog.from_columns([0], [1], [0]), seed=0)


def test_its_fingerprint_knows_the_files_that_train(write: Write) -> None:
    path = write(depends="[shared.cfg]")
    Path("shared.cfg").write_text("a = 1")
    before = fingerprint("model.yaml", open_adapter(path))
    assert fingerprint("model.yaml", open_adapter(path)) == before
    Path("shared.cfg").write_text("a = 2")
    changed = fingerprint("model.yaml", open_adapter(path))
    Path("train.py").write_text("pass")
    assert len({before, changed, fingerprint("model.yaml", open_adapter(path))}) == 3


@pytest.mark.parametrize("nested", ["recbole, checkpoint: a.pth", "rectools, checkpoint: a.pkl"])
def test_a_pickle_needs_trust_before_anything_is_trained(
    nested: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUST, raising=False)
    with pytest.raises(InputError, match="--trust-pickle"):
        open_adapter(write("true {log} {out}", recommend=f"{{adapter: {nested}}}"))


def test_folders_go_with_the_models(write: Write, log: InteractionLog) -> None:
    model = opened(write()).fit(log, seed=0)
    assert len(list(Path("..").glob("robust-fit-*"))) == 1
    del model
    assert not list(Path("..").glob("robust-fit-*"))


@pytest.mark.parametrize("ours", [False, True])
def test_in_a_review_the_items_keep_their_ids(ours: bool, write: Write, tmp_path: Path) -> None:
    path = write("cp {log} {items} {out}")
    rows = [(user, f"item {(user * step) % 40:03}", step) for user in range(90) for step in range(1, 9)]
    pd.DataFrame(rows, columns=["user", "item", "timestamp"]).to_csv("log.csv", index=False)
    store = Store(tmp_path / "store")
    prepared = prepare(Request(log="log.csv", model="markov" if ours else str(path)), store)
    log = Workshop(store).split(prepared.ground.split.key)["log"]
    if ours:  # which knows items by number only, so that the same rows under other ids are the same step
        assert log.item_ids is None
    else:
        assert log.item_ids.tolist() == [f"item {number:03}" for number in range(40)]
