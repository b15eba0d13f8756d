"""What a format reader hands on: the three columns as they stand in the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RawLog:
    """Columns of one file, before ids become dense and times become seconds.

    Attributes:
        path: the file, for messages.
        user, item: pyarrow arrays [n] of any type that can hold ids.
        timestamp: pyarrow array [n], or None where the file has no times and the order of rows is all there is.
        where: says where row r stands in the file, such as "line 17"; slow, for messages only.
        notes: what is worth telling about how the file was read.
    """

    path: Path
    user: Any
    item: Any
    timestamp: Any | None
    where: Callable[[int], str]
    notes: tuple[str, ...] = ()
