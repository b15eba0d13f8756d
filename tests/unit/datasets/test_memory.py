"""How much memory rows take while they are read: columns are let go as soon as the next stage has them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from robust.datasets import open_log

ROWS = 400_000
LIMIT = 60  # bytes of numpy's a row at the peak; 42 and 49 were measured, and 81 and 105 while every stage was kept


@pytest.mark.parametrize("fraction", [0, 0.5], ids=["seconds", "fractions"])
def test_the_peak_of_reading_a_log(tmp_path: Path, fraction: float) -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(1, 10**9, ROWS) + fraction
    table = pa.table({"user": rng.integers(1, 9_000, ROWS), "item": rng.integers(1, 3_000, ROWS), "ts": times})
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    tracemalloc.start()
    try:
        log = open_log(tmp_path / "log.parquet")
        peak = tracemalloc.get_traced_memory()[1] / ROWS
    finally:
        tracemalloc.stop()
    assert len(log) == ROWS
    assert peak < LIMIT
