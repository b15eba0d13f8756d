"""Folders of parts and files read in pieces give the log that one table would; what cannot be parts is refused."""

from __future__ import annotations

import decimal
import uuid
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from robust.datasets import files, open_log, parquet
from robust.errors import InputError
from robust.log import InteractionLog


def whole() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = 600
    return pd.DataFrame(
        {
            "user": [f"u{n}" for n in rng.integers(0, 40, rows)],
            "item": rng.integers(0, 30, rows),
            "timestamp": rng.integers(0, 50, rows),  # many ties, so that the order of parts shows
        }
    )


def expected() -> pd.DataFrame:
    """Sorted by user as text and by time, in the order of arrival where times are equal: pandas' own stable sort."""
    return whole().sort_values(["user", "timestamp"], kind="stable").reset_index(drop=True)


def assert_whole(log: InteractionLog) -> None:
    table = expected()
    assert log.user_ids is not None
    assert log.item_ids is not None
    assert log.user_ids[log.user].tolist() == table["user"].tolist()
    assert [str(item) for item in log.item_ids[log.item - 1]] == [str(item) for item in table["item"]]
    assert log.timestamp.tolist() == table["timestamp"].tolist()


def parts(count: int) -> list[pd.DataFrame]:
    table = whole()
    return [table.iloc[start:stop] for start, stop in pairwise(np.linspace(0, len(table), count + 1).astype(int))]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_parts_follow_each_other_in_the_order_of_their_numbers(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    for number, table in enumerate(parts(12)):  # part-10 comes after part-9, not after part-1
        path = folder / f"part-{number}.{kind}"
        if kind == "parquet":
            table.to_parquet(path)
        elif kind == "jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
    (folder / "_SUCCESS").write_text("")
    (folder / f"._part-3.{kind}").write_text("left by an archive")
    log = open_log(folder)
    assert_whole(log)
    assert log.name == "export"
    assert any("12 files" in note for note in log.notes)


def test_parts_in_folders_by_day_with_an_empty_one(tmp_path: Path) -> None:
    for number, table in enumerate(parts(3)):
        (tmp_path / f"day={number}").mkdir()
        table.to_parquet(tmp_path / f"day={number}" / "part.parquet")
    (tmp_path / "day=1" / "rest.parquet").write_bytes(b"")
    whole().iloc[:0].to_parquet(tmp_path / "day=2" / "a.parquet")
    assert_whole(open_log(tmp_path))


def test_parts_of_other_types(tmp_path: Path) -> None:
    first, second, third = parts(3)
    first.astype({"item": "int16", "timestamp": "int32"}).to_parquet(tmp_path / "1.parquet")
    second.astype({"item": str, "user": "category"}).to_parquet(tmp_path / "2.parquet")
    third.astype({"item": float, "timestamp": float}).to_parquet(tmp_path / "3.parquet")
    assert_whole(open_log(tmp_path))


@pytest.mark.parametrize("kind", ["csv", "dat", "jsonl"])
def test_a_file_that_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    table, path = whole(), tmp_path / f"log.{kind}"
    if kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif kind == "csv":
        table.to_csv(path, index=False)
    else:
        path.write_text("user::item::timestamp\n" + "".join("::".join(map(str, row)) + "\n" for row in table.values))
    monkeypatch.setattr(files.pieces, "__defaults__", (500,))
    assert_whole(open_log(path))


def test_quotes_with_line_breaks_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    whole().assign(review="good\nbad, or\nworse").to_csv(path, index=False)
    monkeypatch.setattr(files.pieces, "__defaults__", (500,))
    assert_whole(open_log(path))


@pytest.mark.parametrize("fault", ["7,5,x", "7,,3", "7,5", "7,5,3,4"])
def test_a_fault_in_a_later_piece_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n" + "1,2,3\n" * 700 + fault + "\n" + "1,2,3\n" * 100)
    monkeypatch.setattr(files.pieces, "__defaults__", (500,))
    with pytest.raises(InputError, match="line 702"):
        open_log(path)


def test_a_fault_in_a_part_names_the_part(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("user,item,timestamp\n1,2,3\n" + ("nan,2,3\n" if number == 1 else ""))
    with pytest.raises(InputError, match=r"1\.csv, line 3: the user id is missing"):
        open_log(tmp_path)


def test_row_groups_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pandas(whole(), preserve_index=False), path, row_group_size=50)
    monkeypatch.setattr(parquet, "BATCH", 120)
    assert_whole(open_log(path))


def test_ids_that_are_uuids_decimals_and_bytes(tmp_path: Path) -> None:
    keys = [uuid.UUID(int=n * 2**100 + 5) for n in (3, 1, 2)]
    table = pa.table(
        {
            "user": pa.array([key.bytes for key in keys], pa.binary(16)),
            "item": pa.array([decimal.Decimal(n) for n in (7, 5, 6)], pa.decimal128(38, 0)),
            "thing": pa.array([b"c", b"a", b"b"]),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    log = open_log(tmp_path / "log.parquet")
    assert log.user_ids is not None
    assert log.user_ids.tolist() == sorted(str(key) for key in keys)
    assert log.item_ids is not None
    assert log.item_ids.tolist() == [5, 6, 7]
    other = open_log(tmp_path / "log.parquet", columns={"item": "thing"})
    assert other.item_ids is not None
    assert other.item_ids.tolist() == ["a", "b", "c"]


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_log(folder)
    return str(caught.value)


def test_what_cannot_be_parts_of_one_log(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,item,timestamp\n1,2,3\n")
    (tmp_path / "purchases.csv").write_text("user,item,price\n1,2,3\n")
    assert "several logs" in (said := refusal(tmp_path))
    assert "events.csv" in said
    assert "purchases.csv" in said
    (tmp_path / "purchases.csv").unlink()
    (tmp_path / "more.jsonl").write_text('{"user": 1, "item": 2}\n')
    assert "events.csv, more.jsonl" in refusal(tmp_path)


def test_parts_with_and_without_times(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"user": 1, "item": 2, "time": 3}\n')
    (tmp_path / "2.jsonl").write_text('{"user": 1, "item": 2}\n')
    assert "2.jsonl has no column of times" in refusal(tmp_path)


def test_a_lake_is_not_read_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    whole().to_parquet(tmp_path / "part.parquet")
    assert "Delta Lake" in refusal(tmp_path)
