"""Times as a file writes them, as whole seconds and, where there are fractions, the order that they give."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
_ZONE = r"[T ].*(Z|[-+][0-9]{2}(:?[0-9]{2})?)$"

UNITS = {"nanoseconds": 10**9, "microseconds": 10**6, "milliseconds": 10**3}
LEAST = 10**8
"""Seconds since 1970 from which on a unit is told by the size of a number: March 1973. As seconds, the same numbers of
milliseconds begin in the year 5138."""

Seconds = NDArray[np.int64]


class Times(NamedTuple):
    """When each row happened.

    Attributes:
        seconds: int64 [n], rounded down. order: int64 [n], rows by exact time, where fractions were dropped.
        unit: what numbers were taken for, where that is not seconds.
    """

    seconds: Seconds
    order: NDArray[np.int64] | None
    unit: str = "seconds"


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
        return _in_seconds(column.to_numpy(zero_copy_only=False))
    raise InputError(f"{raw.path}: the timestamp column holds {kind}. {EXPECTED}.")


def _in_seconds(numbers: NDArray[Any]) -> Times:
    """In the finest unit in which not even the least of them lies before 1973."""
    least = numbers.min() if len(numbers) else 0
    for unit, ticks in UNITS.items():
        if least >= LEAST * ticks:
            return _floored(numbers, ticks)._replace(unit=unit)
    return _floored(numbers, 1)


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
        text = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), _UTC, "Z")
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
    zoned = pc.match_substring_regex(text, _ZONE)
    instants = np.zeros(len(text), dtype=np.int64)
    for chosen, kind in ((zoned, pa.timestamp("ns", "UTC")), (pc.invert(zoned), pa.timestamp("ns"))):
        rows = np.flatnonzero(chosen.to_numpy(zero_copy_only=False))
        try:
            parsed = pc.cast(text.filter(chosen), kind)
        except pa.ArrowInvalid as error:
            impossible = pa.array([row in set(rows) and not _casts(text[row], kind) for row in range(len(text))])
            raise _fault(raw, impossible, "there is no such date as {value!r}") from error
        instants[rows] = pc.cast(parsed, pa.int64()).to_numpy(zero_copy_only=False)
    return pa.array(instants.view("datetime64[ns]"))


def _casts(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        pc.cast(value, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _fault(raw: RawLog, bad: pa.Array, what: str) -> InputError:
    row = int(np.flatnonzero(bad.to_numpy(zero_copy_only=False))[0])
    # a timestamp beyond Python's years has no value that could be shown
    value = raw.timestamp[row].as_py() if raw.timestamp is not None and "{value" in what else None
    return InputError(f"{raw.path}, {raw.where(row)}: {what.format(value=value)}. {EXPECTED}.")
