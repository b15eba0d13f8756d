"""Times in every spelling; fractions decide the order and are then dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust.datasets import open_log

NOON = 1_359_633_600  # 2013-01-31 12:00 UTC


@pytest.mark.parametrize(
    "spelling",
    [
        str(NOON),
        f"{NOON}.0",
        "1.3596336e9",
        "2013-01-31T12:00:00",
        "2013-01-31 12:00",
        "2013-01-31T12:00:00Z",
        "2013-01-31T12:00:00.000000Z",
        "2013-01-31T14:00:00+02:00",
        "2013-01-31T07:00:00-0500",
        "2013-01-31 12:00:00 UTC",  # BigQuery
        f"{NOON}123",  # milliseconds, as JavaScript counts
        f"{NOON}123.0",
        f"{NOON}123456",
        f"{NOON}123456789",
    ],
)
def test_one_moment(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\n1,2,{spelling}\n")
    assert open_log(path).timestamp.tolist() == [NOON]


def test_zones_may_be_mixed(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,2,2013-01-31T14:00:00+02:00\n1,3,2013-01-31\n1,4,2013-01-31T11:59:59Z\n")
    assert open_log(path).timestamp.tolist() == [NOON - 43_200, NOON - 1, NOON]


def test_times_before_1970_round_down(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,2,-1.5\n1,3,-1.75\n")
    log = open_log(path)
    assert log.timestamp.tolist() == [-2, -2]
    assert log.item.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("first", "second"), [("8.9", "8.2"), ("2013-01-31T12:00:00.900", "2013-01-31T12:00:00.2")], ids=["float", "iso"]
)
def test_fractions_order_events_of_one_second(tmp_path: Path, first: str, second: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\n1,2,{first}\n1,3,{second}\n1,4,{second}\n")
    log = open_log(path)
    assert len(set(log.timestamp.tolist())) == 1
    assert log.item.tolist() == [2, 3, 1]  # the two earlier ones in the order of the file, then the later one


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_units_become_seconds(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "log.parquet"
    times = np.array(["2013-01-31T12:00:00", "2013-01-31T11:00:00"], dtype=f"datetime64[{unit}]")
    pd.DataFrame({"user": [1, 1], "item": [1, 2], "timestamp": times}).to_parquet(path)
    assert open_log(path).timestamp.tolist() == [NOON - 3600, NOON]


def test_the_unit_of_numbers_is_told_by_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\n1,2,{NOON}900\n1,3,{NOON}200\n")
    log = open_log(path)
    assert (log.timestamp.tolist(), log.item.tolist()) == ([NOON, NOON], [2, 1])
    assert any("milliseconds" in note for note in log.notes)
    path.write_text(f"user,item,timestamp\n1,2,{NOON}900\n1,3,17\n")  # one that is no such time: as they are
    log = open_log(path)
    assert log.timestamp.tolist() == [17, int(f"{NOON}900")]
    assert not log.notes
