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
