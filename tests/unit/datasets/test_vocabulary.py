"""Dense ids follow the log's own sorted ids, a model's list, or the log where it is dense already."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.datasets import open_log
from robust.errors import InputError

NAMES = "user,item,timestamp\na,y,1\na,x,2\n"
NUMBERS = "user,item,timestamp\n1,10,1\n1,9,2\n"


def read(tmp_path: Path, text: str, vocabulary: str, name: str = "vocabulary.txt") -> list[int]:
    log, listed = tmp_path / "log.csv", tmp_path / name
    log.write_text(text)
    listed.write_text(vocabulary)
    return [int(item) for item in open_log(log, vocabulary=listed).item]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.txt", "z\ny\n\nx\n"),
        ("v.csv", "title,item_id\na,z\nb,y\nc,x\n"),
        ("bare.csv", "z\ny\nx\n"),
        ("list.json", '["z", "y", "x"]'),
        ("map.json", '{"x": 3, "z": 1, "[PAD]": 0, "y": 2}'),
    ],
)
def test_forms_of_a_list(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, NAMES, content, name) == [2, 3]


def test_numbers_match_as_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, NUMBERS, "8\n10\n9\n") == [2, 3]
    assert read(tmp_path, NUMBERS, "[8, 10, 9]", "v.json") == [2, 3]
    assert read(tmp_path, NUMBERS, "extra\n10\n9\n") == [2, 3]


def test_a_vocabulary_may_hold_items_that_the_log_lacks(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(NAMES)
    (tmp_path / "v.txt").write_text("w\nx\ny\nz\n")
    assert open_log(log, vocabulary=tmp_path / "v.txt").n_items == 4


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("v.txt", "x\nz\n", "lacks: y"),
        ("v.txt", "x\ny\nx\n", "'x' twice"),
        ("v.txt", "", "empty"),
        ("v.csv", "id,title\nx,a\n", "no item column"),
        ("v.csv", "title,item\na,x\nb\n", "row 2"),
        ("v.json", '{"x": 1', "line 1"),
        ("v.json", '{"x": 1, "y": 3}', "1…n"),
        ("v.json", '"x"', "list of item ids"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, name: str, content: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        read(tmp_path, NAMES, content, name)
    assert name in str(caught.value)


def test_a_missing_list(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(NAMES)
    with pytest.raises(InputError, match=r"nowhere\.txt is not a file"):
        open_log(tmp_path / "log.csv", vocabulary=tmp_path / "nowhere.txt")


def test_dense_keeps_gaps_where_the_default_closes_them(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(NUMBERS)
    assert open_log(log).item.tolist() == [2, 1]
    dense = open_log(log, vocabulary="dense")
    assert dense.item.tolist() == [10, 9]
    assert dense.n_items == 10


@pytest.mark.parametrize("item", ["0", "x", "3000000000"])
def test_dense_is_a_claim_that_is_checked(tmp_path: Path, item: str) -> None:
    log = tmp_path / "log.csv"
    log.write_text(f"user,item,timestamp\n1,{item},3\n")
    with pytest.raises(InputError, match=r"log\.csv: dense item ids"):
        open_log(log, vocabulary="dense")
    assert open_log(log).item.tolist() == [1]
