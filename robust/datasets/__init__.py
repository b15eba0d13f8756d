"""Logs: readers, filters, splits, the embedded log and a synthetic generator.

Nothing heavy is imported here; readers import pyarrow when they read.
"""

from __future__ import annotations

from robust.datasets.catalogue import load_dataset
from robust.datasets.filters import is_positional, k_core
from robust.datasets.reader import open_log
from robust.datasets.repeats import default_seen, repeat_share
from robust.datasets.splits import Split, global_time, leave_last_out

__all__ = [
    "Split",
    "default_seen",
    "global_time",
    "is_positional",
    "k_core",
    "leave_last_out",
    "load_dataset",
    "open_log",
    "repeat_share",
]
