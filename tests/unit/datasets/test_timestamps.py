"""Times in every spelling; fractions decide the order and are then dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust.datasets import open_log
from robust.errors import InputError

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
        "2013/01/31 12:00:00",
        "20130131120000",
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
    assert [note for note in log.notes if "are units mixed?" in note]
    path.write_text(f"user,item,timestamp\n1,2,{NOON}\n1,3,17\n")
    assert not open_log(path).notes


def test_dates_as_numbers_are_dates_if_all_of_them_are(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,2,20120229\n1,3,20130131\n")
    log = open_log(path)
    expected = pd.to_datetime(["2012-02-29", "2013-01-31"]).to_numpy().astype("datetime64[s]").astype(np.int64)
    assert log.timestamp.tolist() == expected.tolist()
    assert [note for note in log.notes if "dates, written as numbers" in note]
    path.write_text("user,item,timestamp\n1,2,20130229\n1,3,20130131\n")  # no leap year: they count something else
    log = open_log(path)
    assert log.timestamp.tolist() == [20130131, 20130229]
    assert not log.notes


@pytest.mark.parametrize("spelling", ["31/01/2013", "01/31/2013 10:00", "01/02/2013", "31.01.2013", "Jan 31, 2013"])
def test_dates_that_could_be_others_are_refused(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f'user,item,timestamp\n1,2,"{spelling}"\n')
    with pytest.raises(InputError, match=rf"line 2: the timestamp '{spelling}' cannot be read.*2013-01-31T17:05:00"):
        open_log(path)


def test_dates_beyond_nanoseconds(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,2,9999-12-31\n1,3,1500-01-01T00:00:00.5Z\n1,4,2013-01-31T12:00\n")
    log = open_log(path)
    assert log.item.tolist() == [2, 3, 1]
    expected = [np.datetime64(day, "s").astype(int) for day in ("1500-01-01", "2013-01-31T12:00", "9999-12-31")]
    assert log.timestamp.tolist() == expected


def test_the_first_impossible_date_of_many(tmp_path: Path) -> None:
    rows = ["1,2,2013-01-31T12:00:00"] * 200_000
    rows[150_000], rows[170_000] = "1,2,2013-02-30T00:00Z", "1,2,2013-01-31T25:00:00"
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user,item,timestamp", *rows, ""]))
    with pytest.raises(InputError, match="line 150002: there is no such date as '2013-02-30T00:00Z'"):
        open_log(path)


@pytest.mark.parametrize("empty", ["", "NULL", "nan"])
def test_a_missing_time_in_text(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\n1,2,{NOON}\n1,3,{empty}\n")
    with pytest.raises(InputError, match="line 3: the timestamp is missing"):
        open_log(path)


def test_times_that_32_bits_cannot_tell_apart_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    times = np.array([NOON + 40, NOON], dtype=np.float32)
    pd.DataFrame({"user": [1, 1], "item": [1, 2], "timestamp": times}).to_parquet(path)
    log = open_log(path)
    assert log.item.tolist() == [1, 2]  # in the file's order, since their times are one number now
    assert [note for note in log.notes if "32-bit numbers, 128 apart" in note]


def test_times_that_are_bytes_are_text(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame({"user": [1], "item": [1], "timestamp": [b"2013-01-31T12:00:00"]}).to_parquet(path)
    assert open_log(path).timestamp.tolist() == [NOON]
