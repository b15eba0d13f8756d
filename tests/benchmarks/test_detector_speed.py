"""All detectors together judge a million rows in a minute of one core, in less than 4 GB.

20,000 users of 50 items each among 5,000 of Zipf popularity, in sessions over three years. Each detector runs in a
process of its own, so that its peak of memory is its own, imports included; time is the processor's, also of processes
that it starts. The rank average runs its members again, and is counted beside them. Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust import plugins
from robust.defense import Detector
from robust.log import InteractionLog

USERS, LENGTH, ITEMS = 20_000, 50, 5_000
FLOOR = 60.0  # seconds of one core, all together
PEAK = 4.0  # GB
DETECTORS = [name for name, kind in plugins.load_all("defenses").items() if issubclass(kind, Detector)]
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")


def write_million(path: Path) -> None:
    """Columns of the log; no user holds an item twice."""
    rng = np.random.default_rng(0)
    rarity = np.log(np.arange(1, ITEMS + 1)) * 0.8
    drawn = [
        np.argpartition(rarity - rng.gumbel(size=(500, ITEMS)), LENGTH, axis=1)[:, :LENGTH] for _ in range(USERS // 500)
    ]
    items = rng.permuted(np.concatenate(drawn), axis=1) + 1
    gaps = rng.exponential(60, items.shape) + (rng.random(items.shape) < 0.1) * rng.exponential(86_400, items.shape)
    times = rng.integers(0, 3 * 365 * 86_400, (USERS, 1)) + np.cumsum(1 + gaps, axis=1).astype(np.int64)
    np.savez(path, user=np.repeat(np.arange(USERS), LENGTH), item=items.ravel(), timestamp=times.ravel())


def seconds() -> float:
    """Of the processor, by this process and those that it has started and seen end."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def measure(name: str, path: str) -> dict[str, float]:
    """Seconds and GB at the peak; run in a process of its own."""
    detector: Any = plugins.build("defenses", name, {})
    with np.load(path) as columns:
        log = InteractionLog.from_columns(**columns, n_users=USERS, n_items=ITEMS)
    start = seconds()
    suspicion = detector.suspicion(log, np.random.default_rng(0))
    spent = seconds() - start
    assert np.isfinite(suspicion).sum() == USERS
    return {"seconds": spent, "peak": peak()}


def peak() -> float:
    """GB that this process has had at most. Not `ru_maxrss`: a child begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    path = tmp_path_factory.mktemp("million") / "log.npz"
    write_million(path)
    found = {}
    for name in DETECTORS:
        run = subprocess.run([sys.executable, __file__, name, str(path)], capture_output=True, text=True, check=True)
        found[name] = json.loads(run.stdout)
    return found


def test_all_detectors_judge_a_million_rows_in_a_minute(figures: dict[str, dict[str, float]]) -> None:
    for name, figure in figures.items():
        print(f"\n{name:<22} {figure['seconds']:6.1f} s   peak {figure['peak']:.2f} GB", end="")
    total = sum(figure["seconds"] for figure in figures.values())
    print(f"\n{'together':<22} {total:6.1f} s")
    assert {"pca", "near-duplicates", "dense-blocks", "time-bursts"} <= figures.keys()
    assert total < FLOOR


def test_none_needs_more_than_four_gigabytes(figures: dict[str, dict[str, float]]) -> None:
    assert max(figure["peak"] for figure in figures.values()) < PEAK


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
