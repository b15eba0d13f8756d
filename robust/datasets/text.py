"""Text tables: CSV, TSV, MovieLens, RecBole, and the space-separated forms; what they have in common."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from robust.datasets.columns import is_known
from robust.errors import InputError

DELIMITERS = ("\t", ",", ";", "|", " ")
BOM = b"\xef\xbb\xbf"
UNIT = "\x1f"  # stands in for MovieLens' `::`, which parsers of one-byte delimiters cannot read
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1e\x7f]")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_TYPED = re.compile(r"(.+):(token|float|token_seq|float_seq)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Layout:
    """How a text table is laid out.

    Attributes:
        delimiter: one character.
        header: the names of the columns, or None where the first line is data already.
        width: the number of columns.
        start: the byte at which the first row begins.
        quoted: whether fields may stand in double quotes.
        before: the number of lines of the file that stand before the data, where that is a later piece of it.
    """

    delimiter: str
    header: tuple[str, ...] | None
    width: int
    start: int
    quoted: bool
    before: int = 0


def check_text(data: bytes, path: Path, before: int = 0) -> None:
    """Refuse what is not UTF-8 text, with the line; `before` counts the file's lines before `data`.

    Raises:
        InputError: binary content, or another encoding.
    """
    if b"\0" in data or _CONTROL.search(data, 0, 1 << 16):
        utf16 = " It looks like UTF-16: save it as UTF-8." if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InputError(
            f"{path} holds binary data, not text.{utf16} Expected CSV, TSV, JSON Lines, Parquet, or MovieLens' forms."
        )
    if data.isascii():
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = before + data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8 text "
            "(iconv -f latin1 -t utf-8); if it is not text at all, it is not a log that can be read."
        ) from error


def sniff(data: bytes, columns: Mapping[str, str] | None, path: Path) -> Layout:
    """Find delimiter and header from the first line that is not blank.

    A first line is a header if one of its fields is a known column name, or has a type as RecBole writes it, or if no
    field is a number (numbers are never names). SASRec's space-separated text never has one otherwise.

    Raises:
        InputError: a first line that is too long, or whose quotes are not in order.
    """
    blank = len(data) - len(data.lstrip(b"\r\n\t "))
    start = data.rfind(b"\n", 0, blank) + 1
    end = _LINE_END.search(data, blank)
    stop = end.end() if end else len(data)
    line = data[start:stop].decode("utf-8").strip("\r\n")
    if UNIT in line or ("::" in line and "\t" not in line and "," not in line):
        # the caller replaces `::` throughout, which moves the rows forward by what the first line loses
        delimiter, stop, line = UNIT, stop - line.count("::"), line.replace("::", UNIT)
    else:
        delimiter = next((mark for mark in DELIMITERS if mark in line.strip()), ",")
    try:
        fields = line.split() if delimiter == " " else next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise InputError(f"{path}: the first line cannot be split into columns. Is it a table?") from error
    fields = [field.strip() for field in fields]
    typed = [_TYPED.fullmatch(field) for field in fields]
    if all(typed):
        names = tuple(match.group(1) for match in typed if match)
        return Layout(delimiter, names, len(fields), stop, quoted=False)
    numbers = any(_NUMBER.fullmatch(field) for field in fields)
    if any(is_known(field, columns) for field in fields) or not (numbers or delimiter == " "):
        return Layout(delimiter, tuple(fields), len(fields), stop, quoted=delimiter not in (UNIT, " "))
    return Layout(delimiter, None, len(fields), start, quoted=delimiter in (",", ";"))


def records(data: bytes, layout: Layout, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each row that is not blank, header left out: the slow way, to find a fault's line.

    Raises:
        csv.Error: a field that is too long; if strict, also quotes that are not in order, as one that never closes.
    """
    before = layout.before + len(data[: layout.start].splitlines())
    reader = csv.reader(
        io.StringIO(data[layout.start :].decode("utf-8"), newline=""),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
        strict=strict,
    )
    first = before + 1
    for fields in reader:
        if fields:
            yield first, fields
        first = before + reader.line_num + 1
