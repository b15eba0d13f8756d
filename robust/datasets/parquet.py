"""Parquet files, by column mapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from robust.datasets.columns import choose
from robust.datasets.raw import RawLog
from robust.errors import InputError

MAGIC = b"PAR1"


def read_parquet(path: Path, data: bytes, columns: Mapping[str, str] | None) -> RawLog:
    """Read the three columns that are needed.

    Raises:
        InputError: not a Parquet file, a damaged one, no rows, or columns that cannot be found.
    """
    if not data.startswith(MAGIC):
        raise InputError(f"{path} is not a Parquet file: it does not begin with PAR1. Is the name right?")
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        names = list(file.schema_arrow.names)
        chosen = choose(names, len(names), columns, path)
        table = file.read(columns=[names[place] for place in chosen.values()])
        table.validate(full=True)  # a flipped bit may leave places beyond the dictionary, or broken UTF-8
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is a Parquet file that is damaged or was cut short. Copy it again.") from error
    if not table.num_rows:
        raise InputError(f"{path} has columns ({', '.join(names)}) but no rows.")
    picked = {role: table[names[place]] for role, place in chosen.items()}
    return RawLog(path, picked["user"], picked["item"], picked.get("timestamp"), lambda row: f"row {row + 1}")
