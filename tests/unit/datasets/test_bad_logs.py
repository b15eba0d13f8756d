"""What cannot be read is refused in one message: which file, where in it, what was expected."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robust.datasets import open_log
from robust.errors import InputError, UnknownName

HEADER = "user,item,timestamp\n"
NOISE = np.random.default_rng(5).bytes(4000)
FILES: dict[str, tuple[bytes, list[str]]] = {
    "time.csv": (b"user,item,timestamp\n1,2,3\n1,2,x\n", ["line 3", "'x'", "ISO 8601"]),
    "time-nan.csv": (b"user,item,timestamp\n1,2,3.5\n1,2,nan\n", ["line 3", "'nan'"]),
    "time-inf.csv": (b"user,item,timestamp\n1,2,inf\n", ["line 2", "'inf'"]),
    "time-huge.csv": (b"user,item,timestamp\n1,2,3\n1,2,1e30\n", ["line 3", "1e30", "2^63"]),
    "time-missing.csv": (b"user,item,timestamp\n1,2,\n", ["line 2"]),
    "time-mixed.csv": (b"user,item,timestamp\n1,2,7\n1,2,8\n1,2,2013-01-01\n", ["line 4", "a number among dates"]),
    "time-impossible.csv": (b"user,item,timestamp\n1,2,2013-01-01\n1,2,2013-02-30\n", ["line 3", "2013-02-30"]),
    "time-american.csv": (b"user,item,timestamp\n1,2,1/31/2013\n", ["line 2", "1/31/2013"]),
    "after-quoted.csv": (b'user,item,timestamp,t\n1,2,3,"a\nb"\n1,2,x,c\n', ["line 4", "'x'"]),
    "after-blank.csv": (b"\nuser,item,timestamp\n\n1,2,3\n\n1,2,x\n", ["line 6"]),
    "columns.csv": (b"a,b\n1,2\n", ["user and item", "a, b", "--columns"]),
    "one-column.csv": (b"user,thing,timestamp\n1,2,3\n", ["no column for item", "thing"]),
    "twice.csv": (b"user,user,item\n1,2,3\n", ["'user' 2 times"]),
    "three.dat": (b"1::2::3\n", ["no header", "3 fields"]),
    "empty.csv": (b"", ["empty"]),
    "blank.csv": (b" \n\n", ["empty"]),
    "header.csv": (b"user,item,timestamp\n", ["no rows"]),
    "header.inter": (b"user_id:token\titem_id:token\n", ["no rows"]),
    "header.txt": (b"user item timestamp", ["no rows"]),
    "nan.csv": (b"user,item,timestamp\n1,4,5\nnan,4,5\n", ["line 3", "user id is missing"]),
    "missing.csv": (b"user,item,timestamp\n1,,5\n", ["line 2", "item id is missing"]),
    "missing.txt": (b"\n1 5 6\n\n2 5 nan\n", ["line 4", "item id is missing"]),
    "negative.csv": (b"user,item,timestamp\n1,1,5\n1,-2,6\n", ["line 3", "-2", "never negative"]),
    "ragged.csv": (b"user,item,timestamp\n1,2,3\n1,2\n1,2,3\n", ["line 3", "2 fields", "3"]),
    "ragged.dat": (b"1::2::3::4\n1::2::3::4::5\n", ["line 2", "5 fields", "::"]),
    "ragged.txt": (b"1 2\n1 3 4\n2 4\n", ["line 2", "3 fields"]),
    "bare.txt": (b"1 2 3\n2\n2 5\n", ["line 2", "1 fields"]),
    "open-quote.csv": (b'user,item,timestamp,text\n1,2,3,"hi\n1,3,4,a\n', ["quote"]),
    "long-field.csv": (b"user,item,timestamp\n1," + b"x" * 3_000_000 + b",3\n", ["131,072 characters"]),
    "long-id.csv": (b"user,item,timestamp\n1,2,3\n1," + b"x" * 300 + b",3\n", ["line 3", "256 characters"]),
    "noise.csv": (NOISE, ["binary"]),
    "noise.parquet": (NOISE, ["not a Parquet file"]),
    "cut.parquet": (b"PAR1" + NOISE, ["damaged"]),
    "cut.csv.gz": (gzip.compress(NOISE)[:2000], ["cut short"]),
    "latin.csv": ("user,item,timestamp\n1,2,3\n1,é,3\n".encode("latin1"), ["line 3", "UTF-8"]),
    "utf-16.csv": ("user,item\n1,2\n".encode("utf-16"), ["UTF-16"]),
    "log.zip": (b"PK\x03\x04" + NOISE, ["zip"]),
}


def refusal(path: Path, **arguments: Any) -> str:
    """The message, which must name the file and not let the parser's own words through."""
    with pytest.raises(InputError) as caught:
        open_log(path, **arguments)
    message = str(caught.value)
    assert path.name in message
    assert "Arrow" not in message
    return message


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(path)
    for part in expected:
        assert part in message


FRAMES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "null": ({"user": [1, 2], "item": ["a", None]}, ["row 2", "item id is missing"]),
    "nan": ({"user": [1.0, np.nan], "item": [1, 2]}, ["row 2", "user id is missing"]),
    "fractions": ({"user": [1, 2], "item": [1.5, 2.0]}, ["fractions"]),
    "negative": ({"user": [1, -1], "item": [1, 2]}, ["row 2", "never negative"]),
    "lists": ({"user": [1, 2], "item": [[1], [2]]}, ["list", "integers or strings"]),
    "booleans": ({"user": [1, 2], "item": [True, False]}, ["bool"]),
    "no-rows": ({"user": [], "item": []}, ["no rows"]),
    "no-time": ({"user": [1, 2], "item": [1, 2], "time": [pd.Timestamp(2013, 1, 1), None]}, ["row 2", "missing"]),
    "boolean-time": ({"user": [1, 2], "item": [1, 2], "time": [True, False]}, ["bool"]),
    "endless-time": ({"user": [1, 2], "item": [1, 2], "time": [1.0, np.inf]}, ["row 2", "finite"]),
    "wide-time": ({"user": [1], "item": [1], "time": np.array([2**63], dtype=np.uint64)}, ["2^63"]),
}


@pytest.mark.parametrize("name", FRAMES)
def test_parquet_columns(tmp_path: Path, name: str) -> None:
    frame, expected = FRAMES[name]
    path = tmp_path / f"{name}.parquet"
    pd.DataFrame(frame).to_parquet(path)
    message = refusal(path)
    for part in expected:
        assert part in message


def test_a_column_that_was_asked_for_and_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("usr,item,timestamp\n1,2,3\n")
    with pytest.raises(UnknownName, match="Did you mean 'usr'"):
        open_log(path, columns={"user": "usrr"})
    with pytest.raises(UnknownName, match="Did you mean 'user'"):
        open_log(path, columns={"usre": "usr"})
    assert "different columns" in refusal(path, columns={"user": "usr", "item": "usr"})


def test_a_missing_file_and_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(HEADER + "1,2,3\n")
    assert "Did you mean 'events.csv'" in refusal(tmp_path / "event.csv")
    assert "no such file" in refusal(tmp_path / "no" / "such.csv")
    assert "cannot be reached" in refusal(tmp_path / ("x" * 400))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "1,2,3\n")

    def denied(_: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refusal(path)


def test_folders_without_a_log_and_with_several(tmp_path: Path) -> None:
    assert "holds no log" in refusal(tmp_path)
    for name in ("b.inter", "a.inter", "c.csv"):
        (tmp_path / name).write_text("")
    assert "a.inter, b.inter" in refusal(tmp_path)


def test_a_core_that_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "1,2,3\n")
    assert "smaller core" in refusal(path, core=5, name="log.csv")
    with pytest.raises(InputError, match="k ≥ 0"):
        open_log(path, core=-1)
