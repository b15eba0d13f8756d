"""Parquet files, by column mapping: a few row groups at a time, text as codes into a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from robust.datasets.claims import BYTES_PER_VALUE, check_claim, check_width
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
        check_width(_unpacked(file, wanted), rows, path)
        # as codes: a value is then held once, however often it stands there
        text = [name for name in wanted if _is_bytes(file.schema_arrow.field(name).type)]
        if text:
            file = _open(path, data, read_dictionary=text)
        tables = []
        for groups in _batches(file):
            table = file.read_row_groups(groups, columns=wanted)
            table.validate(full=True)  # a flipped bit may leave places beyond the dictionary, or broken UTF-8
            _check_values(table, path)
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


def _is_bytes(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _unpacked(file: pyarrow.parquet.ParquetFile, wanted: list[str]) -> dict[str, int]:
    """The bytes that each of these columns has when it is unpacked, as the footer states them."""
    sizes = dict.fromkeys(wanted, 0)
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in sizes:
                sizes[column.path_in_schema] += column.total_uncompressed_size
    return sizes


def _check_values(table: pa.Table, path: Path) -> None:
    """Refuse long values while they are held once each: a few bytes of codes may stand for gigabytes of them.

    Raises:
        InputError: a value that is no id and no time.
    """
    for name in table.column_names:
        for chunk in table[name].chunks if pa.types.is_dictionary(table[name].type) else ():
            longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
            if longest > BYTES_PER_VALUE:
                raise InputError(
                    f"{path}: the column '{name}' holds a value of {longest:,} bytes, too long for an id or a time. "
                    "Is it the right column?"
                )


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
