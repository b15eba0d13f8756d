"""Parts of a log (files of a folder, pieces of a file, batches of a query) as one, compactly, whatever their types."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from robust.datasets.raw import RawLog
from robust.errors import InputError


def compact(raw: RawLog) -> RawLog:
    """The same with text ids as codes into one dictionary, and times as integers where they are written so."""
    times = None if raw.timestamp is None else without_opaque_numbers(raw.timestamp)
    if times is not None and is_text(times.type):
        with suppress(pa.ArrowInvalid):
            times = pc.cast(times, pa.int64())
    return replace(raw, user=_coded(raw.user), item=_coded(raw.item), timestamp=times)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds strings as they are."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def without_opaque_numbers(column: Any) -> Any:
    """PostgreSQL's `numeric`, which has no limit of digits and so no type of Arrow's, as the text that it comes as."""
    kind = column.type
    known = isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric" and is_text(kind.storage_type)
    return pc.cast(column, kind.storage_type) if known else column


def _coded(column: Any) -> Any:
    column = without_opaque_numbers(column)
    if is_text(column.type):
        column = pc.dictionary_encode(pc.cast(column, pa.string()))
    if pa.types.is_dictionary(column.type) and isinstance(column, pa.ChunkedArray):
        return column.unify_dictionaries().combine_chunks()
    return column


def together(path: Path, parts: list[RawLog]) -> RawLog:
    """One after another; `path` names them all in messages.

    Raises:
        InputError: some parts have times and others have none.
    """
    if len(parts) == 1:
        return parts[0]
    timed = [part for part in parts if part.timestamp is not None]
    if timed and len(timed) < len(parts):
        bare = next(part for part in parts if part.timestamp is None)
        raise InputError(f"{bare.path} has no column of times, but {timed[0].path} has one. Parts of a log are alike.")
    starts = [0, *accumulate(len(part.user) for part in parts)]

    def where(row: int) -> str:
        place = bisect_right(starts, row) - 1
        said = parts[place].where(row - starts[place])
        return said if parts[place].path == path else f"{parts[place].path.name}, {said}"

    notes = dict.fromkeys(note for part in parts for note in part.notes)
    columns = {role: _chained([getattr(part, role) for part in parts]) for role in ("user", "item")}
    times = _chained([part.timestamp for part in timed]) if timed else None
    return RawLog(path, columns["user"], columns["item"], times, where, tuple(notes))


def _chained(columns: list[Any]) -> pa.ChunkedArray:
    """As one column; where the parts' types differ, of the widest integers, or of text."""
    kinds = {column.type for column in columns}
    if len(kinds) > 1 and all(pa.types.is_integer(kind) for kind in kinds):
        try:
            columns = [pc.cast(column, pa.int64()) for column in columns]
            kinds = {pa.int64()}
        except pa.ArrowInvalid:  # beyond 2^63: as text
            pass
    if len(kinds) > 1:
        columns = [_as_text(column) for column in columns]
    chunks = [chunk for column in columns for chunk in getattr(column, "chunks", [column])]
    return pa.chunked_array(chunks, type=columns[0].type)


def _as_text(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.string())
