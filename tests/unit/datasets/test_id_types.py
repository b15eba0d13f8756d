"""Ids of any type: the same ids give the same log, however they are stored; what holds no ids is refused and named."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from robust.datasets import open_log
from robust.errors import InputError

SNOWFLAKE = 1_234_567_890_123_456_789  # 19 digits, as Twitter's; doubles cannot hold it


def parquet(folder: Path, items: Any) -> Path:
    items = items if isinstance(items, pa.Array) else pa.array(items)
    path = folder / "log.parquet"
    table = pa.table({"user": pa.array([1] * len(items)), "item": items, "ts": pa.array(range(len(items)))})
    pa.parquet.write_table(table, path)
    return path


def text(folder: Path, items: list[Any]) -> Path:
    path = folder / "log.csv"
    path.write_text("user,item,ts\n" + "".join(f"1,{item},{row}\n" for row, item in enumerate(items)))
    return path


def lines(folder: Path, items: list[Any]) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps({"user": 1, "item": i, "ts": t}) + "\n" for t, i in enumerate(items)))
    return path


@pytest.mark.parametrize("write", [parquet, text, lines])
@pytest.mark.parametrize(
    "items",
    [
        [SNOWFLAKE, SNOWFLAKE + 1, 5],
        [2**53 + 1, 2**53, 10],
        [2**63 - 1, 7],
        ["b", "a10", "a9"],
        ["007", "7", "é"],
    ],
    ids=["snowflake", "beyond-doubles", "largest", "text", "zeros"],
)
def test_every_form_gives_the_same_ids(tmp_path: Path, write: Any, items: list[Any]) -> None:
    log = open_log(write(tmp_path, items))
    assert log.item_ids is not None
    assert log.item_ids.tolist() == sorted(items)
    assert [log.item_ids[item - 1] for item in log.item] == items


@pytest.mark.parametrize(
    "items",
    [
        pa.array([Decimal("30.00"), Decimal("1.00"), Decimal("2.00")], pa.decimal128(10, 2)),
        pa.array([30.0, 1.0, 2.0]),
        pa.array([30, 1, 2], pa.uint8()),
        pa.array(["30", "1", "2"]).dictionary_encode(),
        pa.array(["30.0", "1.0", "2.0"], pa.large_string()),
        pa.array([b"30", b"1", b"2"]),
    ],
    ids=["decimal", "float", "uint8", "categorical", "large", "bytes"],
)
def test_whole_numbers_of_any_type_are_integers(tmp_path: Path, items: pa.Array) -> None:
    log = open_log(parquet(tmp_path, items))
    assert log.item_ids is not None
    assert (log.item_ids.tolist(), log.item.tolist()) == ([1, 2, 30], [3, 1, 2])


def test_decimals_beyond_64_bits_are_text(tmp_path: Path) -> None:
    log = open_log(parquet(tmp_path, pa.array([Decimal(10**30), Decimal(10**30 + 1)], pa.decimal128(38, 2))))
    assert log.item_ids is not None
    assert log.item_ids.tolist() == [str(10**30), str(10**30 + 1)]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([float(SNOWFLAKE), 1.0], "floating-point numbers from 9,007,199,254,740,992 on.*integers, or as text"),
        ([1e30, 1.0], "floating-point numbers"),
        (pa.array([2.0**24, 1], pa.float32()), "floating-point numbers from 16,777,216 on"),
        (pa.array(np.array([1, 2], np.float16)), "holds halffloat; ids are"),
        ([1.5, 2.0], "holds fractions.*Is it the rating"),
        (pa.array([Decimal("3.50")], pa.decimal128(10, 2)), "holds fractions.*Is it the rating"),
        ([1, None], "row 2: the item id is missing"),
        ([1.0, float("nan")], "row 2: the item id is missing"),
        (pa.array([None, None]), "row 1: the item id is missing"),
        ([-1, 2], "row 1: item ids are never negative"),
        ([True, False], "holds bool; ids are"),
        ([b"\xff\xfe"], "bytes that are not UTF-8 text"),
        ([["a"], ["b"]], "holds list<.*; ids are"),
        ([{"id": 1}], "holds struct<.*; ids are"),
    ],
)
def test_what_holds_no_ids_is_refused(tmp_path: Path, items: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_log(parquet(tmp_path, items))
