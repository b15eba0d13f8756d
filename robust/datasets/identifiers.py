"""Raw ids of users and items, whatever their type, as codes into the sorted distinct ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from robust.datasets.raw import RawLog
from robust.errors import InputError

MISSING = ("", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "n/a", "<NA>")
LONGEST = 256  # characters; raw ids become fixed-width arrays, and longer "ids" are free text or garbage
_INTEGER = r"^-?(0|[1-9][0-9]{0,18})(\.0+)?$"  # "196.0" is how pandas writes 196 beside a gap
EXACT = {pa.float32(): 2**24, pa.float64(): 2**53}  # from here on neighbouring integers are one number


@dataclass(frozen=True)
class Ids:
    """A column of ids.

    Attributes:
        values: the distinct raw ids, sorted: int64 [k] where all are integers, else strings [k] by code point.
        codes: [n], each row's place in `values`.
    """

    values: NDArray[Any]
    codes: NDArray[np.signedinteger[Any]]


def integers(values: pa.Array) -> pa.Array | None:
    """Strings as int64 where every one is written as an integer, else None."""
    if not pc.all(pc.match_substring_regex(values, _INTEGER)).as_py():
        return None
    try:
        return pc.cast(pc.replace_substring_regex(values, r"\.0+$", ""), pa.int64())
    except pa.ArrowInvalid:  # some of 19 digits do not fit
        return None


def encode(raw: RawLog, role: str) -> Ids:
    """The column `user` or `item` of a raw log as codes.

    Raises:
        InputError: a missing or negative id, with its line; or a type that cannot hold ids.
    """
    column = _plain(getattr(raw, role))
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(column.type):
        _check_type(raw, role, column.type)
        column = pc.dictionary_encode(column)
    _check_type(raw, role, column.type.value_type)
    if column.null_count:
        raise _missing(raw, role, int(np.flatnonzero(pc.is_null(column).to_numpy(zero_copy_only=False))[0]))
    places = column.indices.to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(places, minlength=len(column.dictionary)))
    values, inverse = _sorted(raw, role, column.dictionary.take(pa.array(used)), used, places)
    lookup = np.zeros(len(column.dictionary), dtype=np.int32)
    lookup[used] = inverse
    return Ids(values, lookup[places])


def _sorted(
    raw: RawLog, role: str, distinct: pa.Array, used: NDArray[np.int64], places: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Distinct values sorted, and each one's place; `used` and `places` lead a faulty one back to its row."""

    def first_row(bad: pa.Array) -> int:
        faulty = used[pc.fill_null(bad, True).to_numpy(zero_copy_only=False)]
        return int(np.flatnonzero(np.isin(places, faulty))[0])

    def refuse(bad: pa.Array) -> None:
        if pc.any(pc.fill_null(bad, True)).as_py():
            raise _missing(raw, role, first_row(bad))

    if pa.types.is_floating(distinct.type):
        refuse(pc.is_nan(distinct))
        fractions = pc.not_equal(pc.floor(distinct), distinct)
        if pc.any(fractions).as_py() or not pc.all(pc.is_finite(distinct)).as_py():
            raise _fractions(raw, role)
        if pc.max(pc.abs(distinct)).as_py() >= EXACT[distinct.type]:
            raise InputError(
                f"{raw.path}: the {role} column holds floating-point numbers from {EXACT[distinct.type]:,} on, where "
                "neighbouring ids are one number. Write ids as integers, or as text."
            )
        distinct = pc.cast(distinct, pa.int64())
    elif pa.types.is_uint64(distinct.type) and pc.max(distinct).as_py() >= 2**63:
        distinct = pc.cast(distinct, pa.string())
    elif not pa.types.is_integer(distinct.type):
        text = pc.utf8_trim_whitespace(pc.cast(distinct, pa.string()))
        refuse(pc.is_in(text, pa.array(MISSING)))
        if pc.max(pc.utf8_length(text)).as_py() > LONGEST:
            row = first_row(pc.greater(pc.utf8_length(text), LONGEST))
            raise InputError(
                f"{raw.path}, {raw.where(row)}: the {role} id has more than {LONGEST} characters, so it is none."
            )
        numbers = integers(text)
        distinct = text if numbers is None else numbers
    if pa.types.is_integer(distinct.type):
        negative = pc.less(distinct, 0)
        if pc.any(negative).as_py():
            row = first_row(negative)
            lowest = f" ({pc.min(distinct).as_py()} is the lowest)" if role == "item" else ""  # a user is not named
            raise InputError(
                f"{raw.path}, {raw.where(row)}: {role} ids are never negative{lowest}. Drop such rows "
                "if they mark missing values; if they are hashes, put a letter before every id."
            )
        array = distinct.to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        array = np.array(distinct.to_pylist(), dtype=np.str_)
    values, inverse = np.unique(array, return_inverse=True)
    return values, inverse.astype(np.int64)


def _plain(column: Any) -> Any:
    """Types that can hold ids, but are neither integers nor strings, as one of these: UUIDs, whole decimals, bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind) and pa.types.is_binary(kind.value_type):
        column = column.unify_dictionaries().combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return pa.DictionaryArray.from_arrays(column.indices, _plain(column.dictionary))
    if isinstance(kind, pa.BaseExtensionType) and pa.types.is_fixed_size_binary(kind.storage_type):
        column = pc.cast(column, kind.storage_type)
        kind = column.type
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        distinct = pc.dictionary_encode(column)
        distinct = distinct.combine_chunks() if isinstance(distinct, pa.ChunkedArray) else distinct
        named = [None if v is None else str(UUID(bytes=v)) for v in distinct.dictionary.to_pylist()]
        return pa.DictionaryArray.from_arrays(distinct.indices, pa.array(named, pa.string()))
    if pa.types.is_null(kind) or pa.types.is_string_view(kind):
        return pc.cast(column, pa.string())
    try:
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return pc.cast(column, pa.string())
        if pa.types.is_decimal(kind):
            column = pc.cast(column, pa.decimal256(76, 0))
            return pc.cast(column, pa.int64())
    except pa.ArrowInvalid:  # bytes that are no text, and fractions, are refused by their type
        return pc.cast(column, pa.string()) if pa.types.is_decimal(column.type) and not column.type.scale else column
    return column


def _check_type(raw: RawLog, role: str, kind: pa.DataType) -> None:
    types = pa.types
    if types.is_decimal(kind):
        raise _fractions(raw, role)
    if types.is_binary(kind) or types.is_large_binary(kind):
        raise InputError(f"{raw.path}: the {role} column holds bytes that are not UTF-8 text. Write them in hex.")
    text = types.is_string(kind) or types.is_large_string(kind)
    number = types.is_integer(kind) or (types.is_floating(kind) and not types.is_float16(kind))
    if not (text or number or types.is_dictionary(kind)):
        raise InputError(f"{raw.path}: the {role} column holds {kind}; ids are integers or strings.")


def _fractions(raw: RawLog, role: str) -> InputError:
    return InputError(f"{raw.path}: the {role} column holds fractions, so it cannot hold ids. Is it the rating?")


def _missing(raw: RawLog, role: str, row: int) -> InputError:
    return InputError(f"{raw.path}, {raw.where(row)}: the {role} id is missing. Drop such rows, or fill the id in.")
