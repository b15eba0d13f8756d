"""JSON Lines give the log that a hand can write down, whatever the types of their ids, and faults have lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.datasets import open_log
from robust.errors import InputError

ROWS = [("b", "z", 9), ("a", "y", 5), ("b", "x", 9), ("a", "x", 4), ("b", "y", 1)]


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def write(folder: Path, text: str, name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_objects_give_the_same_log_as_a_table(tmp_path: Path, packed: bool) -> None:
    text = lines(*({"what": i, "seen": {"page": [1, 2]}, "user": u, "ts": t} for u, i, t in ROWS))
    path = tmp_path / "events.ndjson"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    log = open_log(path, columns={"item": "what"})
    np.testing.assert_array_equal(log.user, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(log.item, [1, 2, 2, 3, 1])
    np.testing.assert_array_equal(log.timestamp, [4, 5, 1, 9, 9])
    assert log.name == "events"


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([3, 1, 10], [1, 3, 10]),
        (["3", 1, 10], [1, 3, 10]),  # text and numbers mixed: all are written as integers
        ([3, "x1", 10], ["10", "3", "x1"]),
        ([3, 2**70, 1], ["1", "1180591620717411303424", "3"]),
        (["2013-01-31", "2013-01-30", "x"], ["2013-01-30", "2013-01-31", "x"]),  # never taken for dates
    ],
)
def test_ids_of_any_type(tmp_path: Path, items: list[Any], expected: list[Any]) -> None:
    log = open_log(write(tmp_path, lines(*({"user": 1, "item": item} for item in items))))
    assert log.item_ids is not None
    assert log.item_ids.tolist() == expected


def test_types_that_change_far_into_the_file(tmp_path: Path) -> None:
    many = [{"user": n % 7, "item": n % 5, "time": n} for n in range(3000)]
    log = open_log(write(tmp_path, lines(*many, {"user": "guest", "item": 2, "time": 3000.5})))
    assert (log.n_users, log.n_items, len(log)) == (8, 5, 3001)
    assert log.user_ids is not None
    assert log.user_ids.tolist() == [*map(str, range(7)), "guest"]


def test_times_as_text(tmp_path: Path) -> None:
    stamps = ["2013-01-31T17:05:00Z", "2013-01-31T17:04:00Z"]
    log = open_log(
        write(tmp_path, lines(*({"user": 1, "item": n, "at": at} for n, at in enumerate(stamps))), "a.jsonl"),
        columns={"timestamp": "at"},
    )
    assert log.timestamp.tolist() == [1359651840, 1359651900]


FAULTS = {
    "not JSON": ('{"user": 1, "item": 2}\n\n{"user": 1, "item": }\n', ["line 3", "not JSON"]),
    "no object": ('{"user": 1, "item": 2}\n[1, 2]\n', ["line 2", "object"]),
    "array": ('[{"user": 1, "item": 2}]', ["one JSON array", "jq"]),
    "missing id": (lines({"user": 1, "item": 2}, {"user": None, "item": 2}), ["line 2", "user id is missing"]),
    "no item in one line": (lines({"user": 1, "item": 2}, {"user": 1}), ["line 2", "item id is missing"]),
    "no item at all": (lines({"user": 1, "thing": 2}), ["no column for item", "thing"]),
    "nested": (lines({"user": 1, "item": {"id": 5}}), ["line 1", "expected a number or text"]),
    "truth": (lines({"user": 1, "item": True}), ["line 1", "true"]),
    "time": (lines({"user": 1, "item": 2, "time": "x"}), ["line 1", "'x'", "ISO 8601"]),
    "two on a line": ('{"user": 1, "item": 2} {"user": 1, "item": 3}\n', ["line 1", "not JSON"]),
    "deep": ('{"user": 1, "item": 2, "x": ' + "[" * 100_000 + "\n", ["line 1", "too deep"]),
    "latin": ('{"user": 1, "item": "caf\xe9"}\n', ["line 1", "UTF-8"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_refused_with_their_line(tmp_path: Path, name: str) -> None:
    text, expected = FAULTS[name]
    path = tmp_path / "log.jsonl"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError) as caught:
        open_log(path)
    for part in ("log.jsonl", *expected):
        assert part in str(caught.value)
