"""A million ratings in MovieLens' form are read, filtered and split in under two seconds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from robust.datasets import leave_last_out, open_log
from robust.datasets.synthetic import generate

FLOOR = 2.0  # seconds, on two cores


@pytest.mark.slow
def test_a_million_ratings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    log = generate(users=6040, items=3416, length=166, rng=rng, popularity=0.8, concentration=0.2).log
    arrival = np.argsort(log.timestamp, kind="stable")  # not sorted by user: the reader has to do it
    rows = zip(log.user[arrival] + 1, log.item[arrival], log.timestamp[arrival] + 956_703_932, strict=True)
    path = tmp_path / "ratings.dat"
    path.write_text("".join(f"{user}::{item}::4::{moment}\n" for user, item, moment in rows))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        split = leave_last_out(open_log(path, core=5))
        seconds.append(time.perf_counter() - start)
    assert len(split.train) + len(split.users) > 990_000
    assert min(seconds) < FLOOR, f"{len(log):,} rows took {min(seconds):.2f} to {max(seconds):.2f} s"
