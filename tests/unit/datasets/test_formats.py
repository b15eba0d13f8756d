"""Every form of file gives the log that a hand can write down."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust.datasets import open_log
from robust.log import InteractionLog

# user b arrives first; at time 9 she has two rows, and the file's order (z before x) must hold
ROWS = [("b", "z", 9), ("a", "y", 5), ("b", "x", 9), ("a", "x", 4), ("b", "y", 1)]
EXPECTED = {"user": [0, 0, 1, 1, 1], "item": [1, 2, 2, 3, 1], "timestamp": [4, 5, 1, 9, 9]}
NUMBERED = [(20, 300, 9), (3, 20, 5), (20, 4, 9), (3, 4, 4), (20, 20, 1)]  # the same log, with numbers for names


def lines(rows: Sequence[tuple[object, ...]], mark: str) -> str:
    return "".join(mark.join(str(field) for field in row) + "\n" for row in rows)


def rated(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [(user, item, 3.5, time) for user, item, time in rows]


FILES = {
    "plain.csv": "user,item,timestamp\n" + lines(ROWS, ","),
    "aliases.csv": "userId,movieId,rating,timestamp\n" + lines(rated(ROWS), ","),
    "other-names.tsv": "User ID\titem_id\tratings\tunix_review_time\n" + lines(rated(ROWS), "\t"),
    "quoted.csv": 'title,user,item,ts\n"one, ""two""\nthree",b,z,9\n' + lines([("t", *row) for row in ROWS[1:]], ","),
    "semicolons.csv": "user;item;time\n" + lines(ROWS, ";"),
    "windows.csv": ("user,item,timestamp\n" + lines(ROWS, ",")).replace("\n", "\r\n"),
    "byte-order-mark.csv": "\ufeffuser,item,timestamp\n" + lines(ROWS, ","),
    "blank-lines.csv": "\n\nuser,item,timestamp\n\n" + lines(ROWS, ",").replace("\n", "\n\n"),
    "no-final-newline.csv": ("user,item,timestamp\n" + lines(ROWS, ",")).rstrip("\n"),
    "u.data": lines(rated(NUMBERED), "\t"),
    "ratings.dat": lines(rated(NUMBERED), "::"),
    "header.dat": "user::item::rating::timestamp\n" + lines(rated(NUMBERED), "::"),
    "ratings.csv": "userId,movieId,rating,timestamp\n" + lines(rated(NUMBERED), ","),
    "amazon.csv": lines(rated(ROWS), ","),
    "x.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + lines(rated(NUMBERED), "\t"),
    "spaces.txt": "user item timestamp\n" + lines(ROWS, " "),
    "four.txt": lines(rated(NUMBERED), " "),
}


def assert_expected(log: InteractionLog) -> None:
    for column, values in EXPECTED.items():
        np.testing.assert_array_equal(getattr(log, column), values, err_msg=column)
    assert (log.n_users, log.n_items) == (2, 3)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", FILES)
def test_each_form_gives_the_same_log(tmp_path: Path, name: str, packed: bool) -> None:
    data = FILES[name].encode()
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    assert_expected(open_log(path))


@pytest.mark.parametrize("text", ["b z\na y\nb x\na x\nb y\n", "b z x y\na y x\n"], ids=["sasrec", "s3rec"])
def test_order_only_files_give_positions_and_say_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text)
    log = open_log(path)
    np.testing.assert_array_equal(log.item, [2, 1, 3, 1, 2])
    np.testing.assert_array_equal(log.timestamp, [0, 1, 0, 1, 2])
    assert any("no times" in note for note in log.notes)


def test_a_table_without_a_time_column_is_in_order_of_arrival(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item\n" + lines([row[:2] for row in ROWS], ","))
    log = open_log(path)
    np.testing.assert_array_equal(log.item, [2, 1, 3, 1, 2])
    np.testing.assert_array_equal(log.timestamp, [0, 1, 0, 1, 2])


def test_parquet_types_give_the_same_log(tmp_path: Path) -> None:
    names = pd.DataFrame(ROWS, columns=["user", "item", "timestamp"])
    numbers = pd.DataFrame(NUMBERED, columns=["user", "item", "timestamp"])
    frames = {
        "strings": names,
        "categories": names.astype({"user": "category", "item": pd.CategoricalDtype(["unused", "z", "y", "x"])}),
        "int64": numbers,
        "small": numbers.astype({"user": "uint8", "item": "int16", "timestamp": "int32"}),
        "floats": numbers.astype(float),
        "dates": names.assign(timestamp=pd.to_datetime(names["timestamp"], unit="s")),
        "zoned": names.assign(timestamp=pd.to_datetime(names["timestamp"], unit="s", utc=True)),
    }
    for name, frame in frames.items():
        path = tmp_path / f"{name}.parquet"
        frame.to_parquet(path)
        assert_expected(open_log(path))


def test_contiguous_ids_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "dense.parquet"
    pd.DataFrame({"user": [2, 1, 10, *range(3, 10)], "item": [10, 9, *range(1, 9)], "timestamp": 0}).to_parquet(path)
    log = open_log(path)
    assert log.item_ids is not None
    assert log.user_ids is not None
    np.testing.assert_array_equal(log.item_ids[log.item - 1], log.item)
    np.testing.assert_array_equal(log.user_ids, np.arange(1, 11))


def test_raw_ids_are_kept_for_reports(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(FILES["plain.csv"])
    log = open_log(path)
    assert log.user_ids is not None
    assert log.item_ids is not None
    assert log.user_ids.tolist() == ["a", "b"]
    assert log.item_ids.tolist() == ["x", "y", "z"]


def test_ids_that_only_look_like_numbers_stay_strings(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,007,1\n1,7,2\n1,10,3\n")
    assert open_log(path).item_ids.tolist() == ["007", "10", "7"]  # type: ignore[union-attr]


def test_floats_that_are_whole_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,9.0,1\n1,10.0,2\n")
    assert open_log(path).item_ids.tolist() == [9, 10]  # type: ignore[union-attr]


def test_columns_by_name_and_by_place(tmp_path: Path) -> None:
    named, bare = tmp_path / "named.csv", tmp_path / "bare.csv"
    named.write_text("t,what,who,user\n" + lines([(time, item, user, 0) for user, item, time in ROWS], ","))
    bare.write_text(lines([(time, item, user) for user, item, time in ROWS], ","))
    assert_expected(open_log(named, columns={"user": "who", "item": "what", "timestamp": "t"}))
    assert_expected(open_log(bare, columns={"user": "3", "item": "2", "timestamp": "1"}))


def test_places_are_not_taken_for_names(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("1,2,3\n1,5,4\n")
    assert len(open_log(path, columns={"user": "1", "item": "2", "timestamp": "3"})) == 2


def test_line_breaks_in_quotes_across_the_blocks_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    review = '"' + "good\n" * 200 + '"'
    path.write_text("user,item,text,timestamp\n" + "".join(f"1,{item},{review},{item}\n" for item in range(4000)))
    log = open_log(path)
    assert log.timestamp.tolist() == list(range(4000))


@pytest.mark.parametrize("name", ["ratings.dat", "ratings.csv", "u.data", "x.inter"])
def test_a_folder_of_a_known_layout(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "ml-tiny"
    folder.mkdir()
    (folder / name).write_text(FILES[name])
    for other in ("README", "movies.csv", "tags.csv", "x.item", "u.item"):
        (folder / other).write_text("no log\n")
    log = open_log(folder)
    assert_expected(log)
    assert log.name == ("x" if name == "x.inter" else "ml-tiny")


def test_exact_duplicates_are_kept_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n1,5,7\n1,6,7\n1,5,7\n1,5,8\n")
    log = open_log(path)
    assert len(log) == 4
    assert any(note.startswith("1 rows repeat") for note in log.notes)


def test_core_filters_but_keeps_the_ids_of_the_whole_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n" + lines([*ROWS, ("c", "m", 0)], ","))
    log = open_log(path, core=2)
    assert log.item_ids is not None
    assert log.item_ids.tolist() == ["m", "x", "y", "z"]
    np.testing.assert_array_equal(log.item, [2, 3, 3, 2])
