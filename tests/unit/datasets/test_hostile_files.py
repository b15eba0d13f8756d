"""Files that lie about what they are, or that grow when they are read: each is refused, with its reason, at once."""

from __future__ import annotations

import gzip
import os
import pickle
import sqlite3
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from robust.datasets import claims, open_log
from robust.datasets.foreign import check_kind
from robust.errors import InputError
from robust.runner.scenario import load_scenario

ROWS = 123_457


def refusal(path: Path) -> str:
    began = time.perf_counter()
    with pytest.raises(InputError) as caught:
        open_log(path)
    assert time.perf_counter() - began < 5
    assert path.name in str(caught.value)
    return str(caught.value)


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.jsonl", "u.data", "log.csv.gz"])
def test_a_pickle_with_another_suffix_is_told_as_what_it_is(tmp_path: Path, name: str, protocol: int) -> None:
    path, mark = tmp_path / name, tmp_path / "ran"
    frame = pd.DataFrame({"user": [1], "item": [2]})
    for content in (Trap(mark), frame, [("u", "i", 3)], {"user": [1]}):
        data = pickle.dumps(content, protocol=protocol)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        assert "is a Python pickle" in refusal(path)
    assert not mark.exists()


@pytest.mark.parametrize("first", ["comedy\ndrama\n", "c1\nc2\n", "(a)\n(b)\n", "}\n", "user,item\n1,2\n", "]x,1\n"])
def test_text_is_not_taken_for_a_pickle(first: str) -> None:
    check_kind(first.encode(), Path("log.txt"))


def varint(number: int) -> bytes:
    """Thrift's compact form of a positive int64."""
    number, out = number << 1, b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def claiming(path: Path, rows: int) -> None:
    """A Parquet file of ROWS rows whose footer says that there are `rows`, everywhere."""
    count = np.arange(ROWS)
    pd.DataFrame({"user": count % 97, "item": count % 53, "timestamp": count}).to_parquet(path)
    raw = path.read_bytes()
    size = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - size : -8]
    assert footer.count(varint(ROWS)) >= 2
    forged = footer.replace(varint(ROWS), varint(rows))
    path.write_bytes(raw[: -8 - size] + forged + len(forged).to_bytes(4, "little") + b"PAR1")


def test_a_footer_that_claims_a_billion_rows(tmp_path: Path) -> None:
    claiming(tmp_path / "log.parquet", 10**9)
    said = refusal(tmp_path / "log.parquet")
    assert "claims 1,000,000,000 rows" in said
    assert "too few" in said


@pytest.mark.parametrize("rows", [ROWS + 5, 40_000_000])
def test_a_footer_that_claims_more_than_there_are(tmp_path: Path, rows: int) -> None:
    claiming(tmp_path / "log.parquet", rows)
    assert "damaged" in refusal(tmp_path / "log.parquet")


def test_more_rows_than_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.parquet"
    claiming(path, ROWS)
    assert len(open_log(path)) == ROWS
    monkeypatch.setattr(claims, "memory", lambda: 1_000_000)
    assert "memory" in refusal(path)


def test_a_gzip_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    member = gzip.compress(b"1,2\n" * 2_500_000)
    path.write_bytes(gzip.compress(b"user,item\n") + member * 200)  # 2 GB out of 2 MB
    assert "no log is packed so tightly" in refusal(path)


def test_databases_and_other_tables_are_named(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.csv")) as database:
        database.execute("CREATE TABLE t (a int)")
    assert "duckdb:" in refusal(tmp_path / "a.csv")
    connection = sqlite3.connect(tmp_path / "b.parquet")
    connection.execute("CREATE TABLE t (a int)")
    connection.commit()
    connection.close()
    assert "adbc:sqlite:" in refusal(tmp_path / "b.parquet")
    pd.DataFrame({"user": [1], "item": [2]}).to_feather(tmp_path / "c.csv")
    assert "Feather" in refusal(tmp_path / "c.csv")
    np.save(tmp_path / "d.npy", np.zeros(3))
    assert "numpy" in refusal(tmp_path / "d.npy")


def test_a_device_has_no_end() -> None:
    assert "is a device" in refusal(Path("/dev/zero"))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nthreats: [*b, *b, *b, *b, *b]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "line 2: aliases"),
        ("threats: " + "[" * 100_000, "too deep"),
        ("title: " + "x" * 2_000_000, "at most"),
        ("threats: !!python/object/apply:os.system ['true']", "bomb.yaml"),
    ],
    ids=["aliases", "deep", "long", "object"],
)
def test_a_scenario_that_grows_when_it_is_read(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_scenario(str(path))
