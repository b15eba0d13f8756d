"""The floor on the whole path: `robust review quick` on ml-1m with SASRec, on two cores, as a user would call it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
MINUTES = 30


def test_quick_on_ml_1m_in_half_an_hour(robust_data: Path, tmp_path: Path) -> None:
    robust = Path(sys.executable).with_name("robust")  # of this environment, activated or not
    command = [str(robust), "review", "quick", "--log", str(robust_data / "ml-1m.parquet"), "--model", "sasrec"]
    command += ["--workers", "2", "--out", str(tmp_path / "out")]
    started = time.monotonic()
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    minutes = (time.monotonic() - started) / 60
    print(first.stdout, first.stderr)
    assert first.returncode in (0, 1), first.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    verdicts = [cell["verdict"] for cell in results["cells"]]
    print(f"{minutes:.1f} minutes; " + ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts))))
    assert minutes < MINUTES
    assert "ERROR" not in verdicts
    assert verdicts.count("INCONCLUSIVE") <= len(verdicts) / 4
    started = time.monotonic()
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"again: {time.monotonic() - started:.0f} s")
    assert second.returncode == first.returncode
    assert time.monotonic() - started < 60
