"""Files that lie about what they are, or that grow when they are read: each is refused, with its reason, at once."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sqlite3
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robust.datasets import claims, open_log
from robust.datasets.foreign import check_kind
from robust.datasets.names import read_names
from robust.errors import InputError
from robust.runner.reading import load_scenario

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


@pytest.mark.parametrize("role", ["user", "item", "timestamp"])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_string()], ids=str)
def test_a_few_bytes_that_stand_for_gigabytes(tmp_path: Path, role: str, kind: pa.DataType) -> None:
    path = tmp_path / "log.parquet"
    count = pa.array(np.arange(5_000))
    once = pa.array([b"1" * 1_000_000], pa.binary()).cast(kind)
    codes = pa.array(np.zeros(5_000, dtype=np.int32))
    columns = {"user": count, "item": count, "timestamp": count, role: pa.DictionaryArray.from_arrays(codes, once)}
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False)  # 5 GB out of 60 kB
    assert path.stat().st_size < 300_000
    assert f"'{role}' holds a value of 1,000,000 bytes" in refusal(path)


def test_long_values_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    table = pa.table({"user": ["x" * 70_000_000], "item": [1]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    assert "'user' unpacks to 70,000,0" in refusal(path)


def test_ids_of_bytes_and_texts_beside_the_log_s_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    columns = {"user": pa.array([b"b", b"a", b"b"]), "item": [1, 2, 3], "picture": ["x" * 100_000_000, "", ""]}
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)
    log = open_log(path)
    assert log.user_ids is not None
    assert log.user_ids.tolist() == ["a", "b"]
    assert log.user.tolist() == [0, 1, 1]


def test_a_packed_parquet_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    bomb = gzip.compress(b"PAR1") + gzip.compress(b"\0" * 50_000_000) * 8
    (tmp_path / "parts").mkdir()
    for name in ("parts/1.parquet.gz", "parts/2.parquet.gz"):
        (tmp_path / name).write_bytes(bomb)
    for read in (lambda: open_log(tmp_path / "parts"), lambda: read_names(tmp_path / "parts/1.parquet.gz", [1])):
        with pytest.raises(InputError, match="no log is packed so tightly"):
            read()


@pytest.mark.parametrize("before", [0, 200])
@pytest.mark.parametrize("half", ["user", "item"])
def test_half_a_character_is_no_id(tmp_path: Path, half: str, before: int) -> None:
    path = tmp_path / "log.jsonl"
    row = {"user": "u", "item": "i", half: "\ud800"}
    path.write_text('{"user": "u", "item": "i"}\n' * before + json.dumps(row) + "\n")
    assert f"line {before + 1}: '{half}' holds half a character" in refusal(path)


def test_json_within_json_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"user": 1, "item": 2}\n' * 200 + '{"user": 1, "item": 2, "x": ' + "[" * 10**6 + "]" * 10**6 + "}")
    assert len(open_log(path)) == 201


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
        ("threats: [" + "a, " * 100_000 + "]", "too many"),
        ("".join(f"a{i}: &a{i} x\n" for i in range(30_000)), "too many"),
        ("seed: " + "9" * 900_000, "line 1: a number of 900,000 digits"),
        ("seed: 0x" + "f" * 900_000, "digits"),
        ('title: "\\ud800"', "half a character"),
        ("users: 1\nusers: 2", "line 2.*duplicate key"),
        ("threats: !!python/object/apply:os.system ['true']", "bomb.yaml"),
    ],
    ids=["aliases", "deep", "long", "many", "anchors", "digits", "hexadecimal", "half", "twice", "object"],
)
def test_a_scenario_that_grows_when_it_is_read(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    began = time.perf_counter()
    with pytest.raises(InputError, match=said):
        load_scenario(str(path))
    assert time.perf_counter() - began < 10
