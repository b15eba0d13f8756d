"""Whatever a file holds, opening it gives a log or one InputError that names the file: nothing else ever gets out."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robust.datasets import open_log
from robust.errors import InputError

NAMES = ["user", "item", "timestamp", "user_id:token"]
MARKS = [",", ";", "|", "::", ":", " ", "\t", "\n", "\n", "\r", "\r\n", '"', ""]
NUMBERS = ["0", "1", "-1", "7.5", "nan", "inf", "1e999", "99999999999999999999"]
DATES = ["1677-01-01", "9999-12-31", "2013-01-01T00:00:00Z", "2013-02-30"]
CHARACTERS = ["é", "\x00", "\x1f", "\x85", "\u2028"]
TOKENS = st.sampled_from([*NAMES, *MARKS, *NUMBERS, *DATES, *CHARACTERS])
TEXT = st.lists(TOKENS, max_size=40).map("".join)
ROWS = st.lists(st.lists(TOKENS, min_size=3, max_size=3).map(",".join), max_size=6).map("\n".join)
TABLE = pd.DataFrame({"user": ["a", "b", "a"] * 50, "item": range(150), "timestamp": range(150)})


def opens_or_refuses(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            log, message = open_log(path), None
        except InputError as error:
            log, message = None, str(error)
    if log is not None:
        assert len(log) > 0
        assert log.item.min() >= 1
    if message is not None:
        assert name in message
        assert "Arrow" not in message


@pytest.mark.parametrize("name", ["log.csv", "u.data", "log.txt"])
@settings(deadline=None)
@given(content=st.one_of(TEXT, ROWS.map("user,item,timestamp\n".__add__)))
def test_text(name: str, content: str) -> None:
    opens_or_refuses(name, content.encode("utf-8"))


@settings(deadline=None)
@given(content=st.binary(max_size=300))
@example(content=b"ARROW1")  # the first bytes of a Feather file, which is refused in our own words
def test_bytes(content: bytes) -> None:
    opens_or_refuses("log.csv", content)


@settings(deadline=None)
@given(data=st.data())
def test_parquet_with_flipped_bytes(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    TABLE.to_parquet(buffer, row_group_size=50)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    opens_or_refuses("log.parquet", bytes(content))
