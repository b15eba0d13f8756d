"""Reading a run folder: what belongs together is read to the bit, and what was changed is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robust.compare.runs import read_run
from robust.errors import InputError
from robust.runner.export import results_json
from robust.runner.results import Point
from tests.unit.report.example import example

SEEDS, USERS = (3, 4), 5
CLEAN = np.linspace(0.1, 1.0, len(SEEDS) * USERS).reshape(len(SEEDS), USERS)
CLEAN[0, 2] = np.nan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of one measured cell, as an older version wrote it: without digests of its tables."""
    cell = example().cells[0]
    points = [
        Point(seed=seed, clean=float(np.nanmean(row)), attacked=float(np.nanmean(row / 2)), change=0.5)
        for seed, row in zip(SEEDS, CLEAN, strict=True)
    ]
    cell = cell.model_copy(update={"points": points, "seeds": list(SEEDS), "n_users": USERS})
    results = example().model_copy(update={"cells": [cell], "environment": {"data": "d"}})
    (tmp_path / "results.json").write_text(results_json(results))
    write(tmp_path, cell.id, {})
    return tmp_path


def write(folder: Path, cell: str, change: dict[str, Any]) -> None:
    columns = {
        "cell": pa.array([cell] * CLEAN.size).dictionary_encode(),
        "seed": np.repeat(SEEDS, USERS),
        "user": pa.array([f"u{user}" for user in range(USERS)] * len(SEEDS)).dictionary_encode(),
        "clean": CLEAN.ravel(),
        "attacked": CLEAN.ravel() / 2,
    }
    pq.write_table(pa.table(columns | change), folder / "users.parquet")


def test_what_users_got_is_read(folder: Path) -> None:
    run = read_run(folder)
    (values,) = run.values.values()
    assert values.seeds == SEEDS
    assert np.array_equal(values.clean, CLEAN, equal_nan=True)
    assert np.array_equal(values.attacked, CLEAN / 2, equal_nan=True)
    assert read_run(folder / "results.json").checksum == run.checksum


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"attacked": CLEAN.ravel() / 3}, "the attacked means"),
        ({"clean": np.roll(CLEAN.ravel(), 5)}, "the clean means"),
        ({"seed": np.repeat((4, 3), USERS)}, "other users or seeds"),
        (
            {"user": pa.array([f"u{4 - user}" for user in range(5)] * 2).dictionary_encode().take([4, 0, 1, 2, 3] * 2)},
            "users",
        ),
        ({"cell": pa.array(["other"] * CLEAN.size).dictionary_encode()}, "does not hold the cell"),
        ({"cell": pa.array(["other"] * CLEAN.size)}, "columns"),
        ({name: pa.array([], pa.float64()) for name in ("cell", "seed", "user", "clean", "attacked")}, "0 rows"),
    ],
)
def test_a_table_that_does_not_belong_to_the_results_is_refused(
    folder: Path, change: dict[str, Any], reason: str
) -> None:
    write(folder, read_run(folder).results.cells[0].id, change)
    with pytest.raises(InputError, match=reason):
        read_run(folder)


def test_a_table_that_is_none_is_refused(folder: Path) -> None:
    (folder / "users.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(folder)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run in"):
        read_run(tmp_path)
