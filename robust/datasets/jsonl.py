"""JSON Lines: an object a line, by column mapping; ids may be numbers in one line and text in the next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from robust.datasets.columns import choose
from robust.datasets.raw import RawLog
from robust.errors import InputError

SAMPLE = 100  # lines that tell the names and the types
BLOCK = 1 << 24  # bytes; a line is never longer
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: JSON can state it, UTF-8 cannot
_KINDS: dict[frozenset[type], pa.DataType] = {
    frozenset({int}): pa.int64(),
    frozenset({str}): pa.string(),
    frozenset({float}): pa.float64(),
    frozenset({int, float}): pa.float64(),
}


def is_jsonl(data: bytes) -> bool:
    """Whether text can only be JSON."""
    return data.lstrip()[:1] in (b"{", b"[")


def read_jsonl(path: Path, data: bytes, columns: Mapping[str, str] | None, before: int = 0) -> RawLog:
    """Parse with pyarrow, or, where that cannot (a line at fault, types that change), line by line.

    `data` is a file, or a piece of one with `before` lines before it.

    Raises:
        InputError: a line that is no JSON object, an array instead of lines, columns that cannot be found.
    """
    if data.lstrip()[:1] == b"[":
        raise InputError(f"{path} is one JSON array. Write an object a line instead (jq -c '.[]' {path.name}).")
    names = keys(path, data, before)
    chosen = {role: names[place] for role, place in choose(names, len(names), columns, path).items()}
    sample = [value for _, value in islice(_objects(path, data, before), SAMPLE)]

    def where(row: int) -> str:
        return f"line {next(islice(_lines(data, before), row, None))[0]}"

    picked = _parsed(data, sample, chosen) or _slowly(path, data, before, chosen)
    return RawLog(path, picked["user"], picked["item"], picked.get("timestamp"), where)


def keys(path: Path, data: bytes, before: int = 0) -> tuple[str, ...]:
    """The names that the first objects have.

    Raises:
        InputError: a line that is no JSON object.
    """
    sample = (value for _, value in islice(_objects(path, data, before), SAMPLE))
    return tuple(dict.fromkeys(name for value in sample for name in value))


def _parsed(data: bytes, sample: list[dict[str, Any]], chosen: dict[str, str]) -> dict[str, Any] | None:
    fields = []
    for name in chosen.values():
        kind = _KINDS.get(frozenset(type(v) for line in sample if (v := line.get(name)) is not None))
        if kind is None:
            return None
        fields.append(pa.field(name, kind))
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            read_options=pyarrow.json.ReadOptions(block_size=BLOCK),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"
            ),
        )
    except (pa.ArrowException, OSError):
        return None
    return {role: table[name] for role, name in chosen.items()}


def _slowly(path: Path, data: bytes, before: int, chosen: dict[str, str]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {role: [] for role in chosen}
    for line, value in _objects(path, data, before):
        for role, name in chosen.items():
            given = value.get(name)
            if isinstance(given, bool | list | dict):
                kind = {bool: "true or false", list: "an array", dict: "an object"}[type(given)]
                raise InputError(f"{path}, line {line}: the {role} '{name}' is {kind}; expected a number or text.")
            if isinstance(given, str) and _HALF.search(given):
                raise InputError(f"{path}, line {line}: '{name}' holds half a character (\\ud800 to \\udfff).")
            found[role].append(given)
    return {role: _column(values) for role, values in found.items()}


def _column(values: list[Any]) -> pa.Array:
    """One type for all: text, where it changes or does not fit."""
    try:
        return pa.array(values, _KINDS.get(frozenset({type(v) for v in values if v is not None}), pa.string()))
    except (pa.ArrowException, OverflowError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def _objects(path: Path, data: bytes, before: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in _lines(data, before):
        try:
            value = json.loads(text)
        except RecursionError as error:
            raise InputError(f"{path}, line {line}: brackets within brackets, too deep to be read.") from error
        except ValueError as error:
            raise InputError(f"{path}, line {line}: not JSON ({str(error).partition(':')[0]}).") from error
        if not isinstance(value, dict):
            raise InputError(f'{path}, line {line}: expected a JSON object, such as {{"user": 1, "item": 2}}.')
        yield line, value


def _lines(data: bytes, before: int) -> Iterator[tuple[int, bytes]]:
    """(line number, text) of each line that is not blank."""
    start, number = 0, before
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        number += 1
        if text := data[start:end].strip():
            yield number, text
        start = end + 1
