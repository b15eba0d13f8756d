"""Times as a file writes them, as whole seconds and, where there are fractions, the order that they give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from robust.datasets.identifiers import MISSING
from robust.datasets.raw import RawLog
from robust.errors import InputError

EXPECTED = "Expected seconds (an integer or a decimal) or ISO 8601, such as 2013-01-31T17:05:00"
LAST_YEAR = 10_000
LAST_SECOND = LAST_YEAR * 366 * 86_400
_NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_ISO = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)?)?$"
)
_UTC = r" ?UTC$"  # as BigQuery ends them
_SLASHES = r"^([0-9]{4})/([0-9]{2})/([0-9]{2})"  # the year first is clear; the day or the month first is not
_ZONE = r"[T ].*(Z|[-+][0-9]{2}(:?[0-9]{2})?)$"

_FINER = r"(\.[0-9]{6})[0-9]+"  # than microseconds

UNITS = {"nanoseconds": 10**9, "microseconds": 10**6, "milliseconds": 10**3}
LEAST = 10**8
"""Seconds since 1970 from which on a unit is told by the size of a number: March 1973. As seconds, the same numbers of
milliseconds begin in the year 5138."""

Seconds = NDArray[np.int64]


class Times(NamedTuple):
    """When each row happened.

    Attributes:
        seconds: int64 [n], rounded down. order: int64 [n], rows by exact time, where fractions were dropped.
        notes: what a reader of a report should know: the unit, where numbers are not seconds, and what is odd.
    """

    seconds: Seconds
    order: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()


def times_of(raw: RawLog) -> Times:
    """The column of times of a raw log.

    Numbers are seconds, or finer if every one of them is too large for seconds; dates without a zone are UTC. Two
    events within one second keep the order that their fractions give: sort by it before the stable sort by seconds.

    Raises:
        InputError: a time that is missing, not finite or in no known form, with its line; numbers mixed with dates.
    """
    assert raw.timestamp is not None
    column = raw.timestamp
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count:
        raise _fault(raw, pc.is_null(column), "the timestamp is missing")
    if pa.types.is_binary(column.type):
        with suppress(pa.ArrowInvalid):
            column = pc.cast(column, pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _from_text(raw, column)
    kind = column.type
    if pa.types.is_integer(kind):
        return _in_seconds(_whole(raw, column))
    if pa.types.is_date(kind):
        column = pc.cast(column, pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        exact = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
        beyond = np.abs(exact // ticks) > LAST_SECOND
        if beyond.any():  # databases write infinity so; as text it would not even be shown
            raise _fault(raw, pa.array(beyond), f"the timestamp is infinite, or further than {LAST_YEAR:,} years away")
        return _floored(exact, ticks)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = pc.cast(column, pa.float64())
        fits = pc.less(pc.abs(column), 2.0**63)
        if not pc.all(fits).as_py():
            raise _fault(raw, pc.invert(fits), "the timestamp {value!r} is not finite, or beyond 2^63")
        found = _in_seconds(column.to_numpy(zero_copy_only=False))
        return found._replace(notes=(*found.notes, *_coarse(column, kind)))
    raise InputError(f"{raw.path}: the timestamp column holds {kind}. {EXPECTED}.")


def _in_seconds(numbers: NDArray[Any]) -> Times:
    """In the finest unit in which not even the least of them lies before 1973."""
    if not len(numbers):
        return _floored(numbers, 1)
    if (dates := _written_as_dates(numbers)) is not None:
        return Times(dates, None, ("times are dates, written as numbers (20130131): read as such",))
    for unit, ticks in UNITS.items():
        if numbers.min() >= LEAST * ticks:
            return _floored(numbers, ticks)._replace(notes=(f"times are {unit}: read as seconds",))
    found = _floored(numbers, 1)
    if found.seconds.max() <= LAST_SECOND:
        return found
    return found._replace(notes=(f"times run past the year {LAST_YEAR:,} if they are seconds: are units mixed?",))


def _written_as_dates(numbers: NDArray[Any]) -> Seconds | None:
    """Seconds of numbers such as 20130131 or 20130131170500, where all of them are dates; else None.

    As seconds the former would all lie in August 1970, and as milliseconds the latter in the 27th century.
    """
    for scale in (1, 10**6):
        if numbers.dtype.kind != "i" or numbers.min() < 1900_01_01 * scale or numbers.max() >= 2101_01_01 * scale:
            continue
        date, clock = np.divmod(numbers, scale)
        month, day = date // 100 % 100, date % 100
        months = (date // 10_000 - 1970) * 12 + month - 1
        dates = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
        real = (month > 0) & (month < 13) & (dates.astype("datetime64[M]").astype(np.int64) == months)
        hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
        if (real & (hour < 24) & (minute < 60) & (second < 60)).all():
            seconds: Seconds = dates.astype(np.int64) * 86_400 + hour * 3_600 + minute * 60 + second
            return seconds
    return None


def _coarse(column: pa.Array, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_float32(kind) and len(column):
        step = float(np.spacing(np.float32(pc.max(pc.abs(column)).as_py())))
        if step > 1:
            yield f"times are 32-bit numbers, {step:,.0f} apart at best: within that, the order of rows decides"


def _floored(exact: NDArray[Any], ticks: int) -> Times:
    whole = np.floor_divide(exact, ticks)
    fractions = bool((whole * ticks != exact).any())
    return Times(whole.astype(np.int64), np.argsort(exact, kind="stable").astype(np.int64) if fractions else None)


def _whole(raw: RawLog, column: pa.Array) -> Seconds:
    try:
        values: Seconds = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise InputError(f"{raw.path}: timestamps beyond 2^63 do not fit. {EXPECTED}.") from error
    return values


def _from_text(raw: RawLog, text: pa.Array) -> pa.Array:
    """Strings as int64, float64 or nanoseconds since 1970: the first of these that reads all of them."""
    try:
        return pc.cast(text, pa.int64())
    except pa.ArrowInvalid:
        text = pc.utf8_trim_whitespace(text)
    nothing = pc.is_in(text, pa.array(MISSING))
    if pc.any(nothing).as_py():
        raise _fault(raw, nothing, "the timestamp is missing ({value!r})")
    text = pc.replace_substring_regex(pc.replace_substring_regex(text, _UTC, "Z"), _SLASHES, r"\1-\2-\3")
    numbers, dates = pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _ISO)
    readable = pc.or_(numbers, dates)
    if not pc.all(readable).as_py():
        raise _fault(raw, pc.invert(readable), "the timestamp {value!r} cannot be read")
    if pc.all(numbers).as_py():
        return pc.cast(text, pa.float64())
    if pc.any(numbers).as_py():
        odd = dates if pc.sum(dates).as_py() < pc.sum(numbers).as_py() else numbers
        raise _fault(raw, odd, "the timestamp {value!r} is a number among dates, or a date among numbers")
    return _from_dates(raw, text)


def _from_dates(raw: RawLog, text: pa.Array) -> pa.Array:
    with suppress(pa.ArrowInvalid):
        return _instants(text, "ns")
    text = pc.replace_substring_regex(text, _FINER, r"\1")  # nanoseconds reach from 1677 to 2262
    with suppress(pa.ArrowInvalid):
        return _instants(text, "us")
    first, stop = 0, len(text)
    while stop - first > 1:
        middle = (first + stop) // 2
        try:
            _instants(text[first:middle], "us")
            first = middle
        except pa.ArrowInvalid:
            stop = middle
    raise _fault(raw, pa.array(np.arange(len(text)) == first), "there is no such date as {value!r}")


def _instants(text: pa.Array, unit: str) -> pa.Array:
    zoned = pc.match_substring_regex(text, _ZONE)
    instants = np.zeros(len(text), dtype=np.int64)
    for chosen, kind in ((zoned, pa.timestamp(unit, "UTC")), (pc.invert(zoned), pa.timestamp(unit))):
        parsed = pc.cast(text.filter(chosen), kind)
        instants[chosen.to_numpy(zero_copy_only=False)] = pc.cast(parsed, pa.int64()).to_numpy(zero_copy_only=False)
    return pa.array(instants.view(f"datetime64[{unit}]"))


def _fault(raw: RawLog, bad: pa.Array, what: str) -> InputError:
    row = int(np.flatnonzero(bad.to_numpy(zero_copy_only=False))[0])
    # a timestamp beyond Python's years has no value that could be shown
    value = raw.timestamp[row].as_py() if raw.timestamp is not None and "{value" in what else None
    return InputError(f"{raw.path}, {raw.where(row)}: {what.format(value=value)}. {EXPECTED}.")
