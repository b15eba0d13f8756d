"""Benchmarks run by `make bench` only: the default options switch pytest-benchmark off, and these files with it."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder out where pytest-benchmark is not loaded."""
    return None if config.pluginmanager.hasplugin("benchmark") else True
