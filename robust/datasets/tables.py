"""One file as a raw log: which reader it needs, told by its content; large text a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from robust.datasets.delimited import read_delimited
from robust.datasets.files import Empty, Unpacked, empty, opened, pieces
from robust.datasets.folders import kind_of
from robust.datasets.jsonl import is_jsonl, keys, read_jsonl
from robust.datasets.parquet import MAGIC, read_parquet
from robust.datasets.raw import RawLog
from robust.datasets.text import BOM, UNIT, Layout, check_text, sniff
from robust.datasets.together import compact, together
from robust.datasets.whitespace import read_whitespace
from robust.errors import InputError

HEADER = 1 << 16  # bytes that hold a header


def read_file(path: Path, columns: Mapping[str, str] | None) -> RawLog:
    """The three columns of one file.

    Raises:
        InputError: whatever cannot be read. Empty: a file without rows.
    """
    with opened(path) as stream:
        start = stream.peek(len(MAGIC))[: len(MAGIC)]  # type: ignore[attr-defined]
        if not start:
            raise empty(path)
        if start == MAGIC:
            whole = b"".join(pieces(stream, path)) if isinstance(stream, Unpacked) else None
            return read_parquet(path, whole, columns)
        if kind_of(path) == "parquet":
            raise InputError(f"{path} is not a Parquet file: it does not begin with PAR1. Is the name right?")
        return _text(path, pieces(stream, path), columns)


def _text(path: Path, blocks: Iterator[bytes], columns: Mapping[str, str] | None) -> RawLog:
    first = next(blocks).removeprefix(BOM)
    if not first or first.isspace():
        raise empty(path)
    check_text(first, path)
    lines = is_jsonl(first)
    layout = None if lines else sniff(first, columns, path)
    if layout is not None and layout.delimiter == " ":
        whole = b"".join([first, *blocks])
        check_text(whole, path)
        return read_whitespace(path, whole, layout, columns)
    parts, before, previous = [], 0, b""
    for data in chain([first], blocks):
        before += previous.count(b"\n")
        if layout is not None and layout.quoted and b'"' in data:
            data = b"".join([data, *blocks])  # a line may end within quotes, so that pieces may end within a row
        if data.isspace():
            previous = data
            continue
        if data is not first:
            check_text(data, path, before)
        if layout is None:
            raw = read_jsonl(path, data, columns, before)
        else:
            raw = _delimited(path, data, replace(layout, before=before, start=0 if before else layout.start), columns)
        parts.append(compact(raw))
        previous = data
    return together(path, parts)


def _delimited(path: Path, data: bytes, layout: Layout, columns: Mapping[str, str] | None) -> RawLog:
    if layout.delimiter == UNIT:
        data = data.replace(b"::", UNIT.encode())
    return read_delimited(path, data, layout, columns)


def read_parts(folder: Path, files: list[Path], columns: Mapping[str, str] | None) -> RawLog:
    """All files as one raw log; those without rows are passed over.

    Raises:
        InputError: also where their columns differ, so that they are hardly parts of one log.
    """
    if len(files) == 1:
        return read_file(files[0], columns)
    _check_alike(folder, files, columns)
    parts, nothing = [], None
    for file in files:
        try:
            parts.append(compact(read_file(file, columns)))
        except Empty as error:
            nothing = error
    if not parts:
        assert nothing is not None
        raise nothing
    raw = together(folder, parts)
    return replace(raw, notes=(*raw.notes, f"read from {len(files):,} files, one after another by name"))


def _check_alike(folder: Path, files: list[Path], columns: Mapping[str, str] | None) -> None:
    first: tuple[Path, tuple[str, ...]] | None = None
    for file in files:
        header = columns_of(file, columns, lines=False)
        named = (f"{header} without names",) if isinstance(header, int) else header
        if not named:
            continue
        if first is None:
            first = file, named
        elif named != first[1]:
            raise InputError(
                f"{folder} holds several logs: the columns of {first[0].name} ({', '.join(first[1])[:200]}) and of "
                f"{file.name} ({', '.join(named)[:200]}) differ, so they are not parts of one. Name the one that is "
                "meant."
            )


def columns_of(file: Path, columns: Mapping[str, str] | None = None, *, lines: bool = True) -> tuple[str, ...] | int:
    """The names of a table's columns, or their number where they have none; () where reading it would tell of a fault.

    `lines`: also of JSON Lines, whose objects may differ.
    """
    with opened(file) as stream:
        if stream.peek(len(MAGIC))[: len(MAGIC)] == MAGIC:  # type: ignore[attr-defined]
            try:
                source = pa.BufferReader(b"".join(pieces(stream, file))) if isinstance(stream, Unpacked) else file
                return tuple(pyarrow.parquet.read_schema(source).names)
            except (pa.ArrowException, OSError):
                return ()
        data = stream.read(HEADER)
    data = (data if len(data) < HEADER else data.rpartition(b"\n")[0]).removeprefix(BOM)
    try:
        check_text(data, file)
        if is_jsonl(data):
            return keys(file, data) if lines else ()
        layout = sniff(data, columns, file) if data.strip() else None
    except InputError:
        return ()
    return () if layout is None else layout.header or layout.width
