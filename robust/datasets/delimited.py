"""Tables with a delimiter: CSV, TSV, MovieLens' `u.data`, `ratings.dat` and `ratings.csv`, RecBole's `.inter`."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from robust.datasets.columns import choose
from robust.datasets.files import Empty
from robust.datasets.raw import RawLog
from robust.datasets.text import UNIT, Layout, records
from robust.errors import InputError

OPEN_QUOTE = "a double quote opens a field and never closes it"


def read_delimited(path: Path, data: bytes, layout: Layout, columns: Mapping[str, str] | None) -> RawLog:
    """Parse with pyarrow; ids as dictionaries, times as strings, so that nothing is guessed and faults have lines.

    `data` is a file, or a piece of one whose first lines are `layout.before`.

    Raises:
        InputError: columns that cannot be found, no rows, a row of another width, quotes that do not close.
    """
    chosen = choose(layout.header, layout.width, columns, path)
    if not data[layout.start :].strip():
        raise Empty(f"{path} has a header ({', '.join(layout.header or ())}) but no rows.")
    names = [str(place) for place in range(layout.width)]
    ids, times = pa.dictionary(pa.int32(), pa.string()), pa.string()
    types = {names[place]: times if role == "timestamp" else ids for role, place in chosen.items()}
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(data).slice(layout.start),
            read_options=pyarrow.csv.ReadOptions(column_names=names),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=layout.delimiter,
                quote_char='"' if layout.quoted else False,
                newlines_in_values=layout.quoted and b'"' in data,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=list(types), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _fault(path, data, layout) from error
    if layout.quoted and data.count(b'"') % 2 and not _closes(data, layout):
        raise InputError(f"{path}: {OPEN_QUOTE}.")
    picked = {role: table[names[place]] for role, place in chosen.items()}

    def where(row: int) -> str:
        try:
            return f"line {next(islice(records(data, layout), row, None))[0]}"
        except (csv.Error, StopIteration):  # the two parsers disagree where quotes are not in order
            return f"row {row + 1}"

    return RawLog(path, picked["user"], picked["item"], picked.get("timestamp"), where)


def _fault(path: Path, data: bytes, layout: Layout) -> InputError:
    try:
        for line, fields in records(data, layout):
            if len(fields) != layout.width:
                source = "the header" if layout.header else "the first line"
                mark = {UNIT: "::", "\t": "a tab"}.get(layout.delimiter, layout.delimiter)
                return InputError(
                    f"{path}, line {line}: {len(fields)} fields, but {source} has {layout.width} (separated by {mark})."
                )
    except csv.Error:
        return InputError(f"{path}: {OPEN_QUOTE}, or a field is longer than {csv.field_size_limit():,} characters.")
    return InputError(f"{path} cannot be split into rows of {layout.width} fields.")


def _closes(data: bytes, layout: Layout) -> bool:
    """Whether all quotes close; pyarrow takes the rest of a file for one field where one does not, in silence."""
    try:
        deque(records(data, layout, strict=True), maxlen=0)
    except csv.Error:
        return False
    return True
