"""Parquet files, by column mapping: a few row groups at a time, text as codes into a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from robust.datasets.claims import check_claim
from robust.datasets.columns import choose
from robust.datasets.files import Empty
from robust.datasets.raw import RawLog
from robust.datasets.together import compact, is_text, together
from robust.errors import InputError

MAGIC = b"PAR1"
BATCH = 4_000_000  # rows


def read_parquet(path: Path, data: bytes | None, columns: Mapping[str, str] | None) -> RawLog:
    """Read the three columns that are needed, from the file itself, or from `data` where it had to be unpacked.

    Raises:
        InputError: not a Parquet file, a damaged one, no rows, columns that cannot be found, or more rows than its
            size, or this machine's memory, allows.
    """
    size = path.stat().st_size if data is None else len(data)
    try:
        file = _open(path, data)
        names = list(file.schema_arrow.names)
        chosen = choose(names, len(names), columns, path)
        wanted = [names[place] for place in chosen.values()]
        rows = file.metadata.num_rows
        check_claim(rows, size, path)
        if not rows:
            raise Empty(f"{path} has columns ({', '.join(names)}) but no rows.")
        text = [name for name in wanted if is_text(file.schema_arrow.field(name).type)]
        if text:
            file = _open(path, data, read_dictionary=text)
        tables = []
        for groups in _batches(file):
            table = file.read_row_groups(groups, columns=wanted)
            table.validate(full=True)  # a flipped bit may leave places beyond the dictionary, or broken UTF-8
            tables.append(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is a Parquet file that is damaged or was cut short. Copy it again.") from error
    if sum(table.num_rows for table in tables) != rows:
        raise InputError(f"{path} claims {rows:,} rows, but holds another number. It is damaged; write it again.")

    def part(table: pa.Table) -> RawLog:
        picked = {role: table[names[place]] for role, place in chosen.items()}
        return RawLog(path, picked["user"], picked["item"], picked.get("timestamp"), lambda row: f"row {row + 1}")

    parts = [part(table) for table in tables]
    if len(parts) == 1:
        return parts[0]
    joined = together(path, [compact(one) for one in parts])
    return RawLog(path, joined.user, joined.item, joined.timestamp, lambda row: f"row {row + 1}")


def _open(path: Path, data: bytes | None, **options: Any) -> pyarrow.parquet.ParquetFile:
    source = path if data is None else pa.BufferReader(data)
    return pyarrow.parquet.ParquetFile(source, **options)


def _batches(file: pyarrow.parquet.ParquetFile) -> Iterator[list[int]]:
    """Row groups by their numbers, together about `BATCH` rows."""
    groups, rows = [], 0
    for group in range(file.num_row_groups):
        groups.append(group)
        rows += file.metadata.row_group(group).num_rows
        if rows >= BATCH:
            yield groups
            groups, rows = [], 0
    if groups:
        yield groups
