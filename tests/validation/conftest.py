"""Floors on real logs: collected only where `ROBUST_DATA` names their folder, or where this folder is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these files out of a plain `pytest`: they need logs that are not shipped, and up to an hour each."""
    asked_for = any(str(HERE.name) in argument for argument in config.args)
    if HERE in collection_path.parents and not asked_for and "ROBUST_DATA" not in os.environ:
        return True
    return None


@pytest.fixture(scope="session")
def robust_data() -> Path:
    """The folder with ml-1m.parquet and the other logs."""
    named = os.environ.get("ROBUST_DATA")
    if not named:
        pytest.fail(
            "Set ROBUST_DATA to the folder that holds ml-1m.parquet: ROBUST_DATA=… make validate", pytrace=False
        )
    folder = Path(named)
    if not (folder / "ml-1m.parquet").is_file():
        pytest.fail(f"ROBUST_DATA={named}: there is no ml-1m.parquet in it.", pytrace=False)
    return folder
