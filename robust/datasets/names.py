"""Names of items from a catalogue file, so that a report speaks of items as people do.

A name is whatever somebody else typed. Here it becomes one line of at most `LONGEST` characters; what could run or
disguise itself in a report is each report's own business to escape (`robust.report.text`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from robust.datasets.columns import ALIASES, normal
from robust.datasets.identifiers import integers
from robust.datasets.tables import columns_of, read_file
from robust.errors import InputError

LONGEST = 80  # characters of a name that a report shows
NAMES = ("name", "title", "itemname", "productname", "movietitle", "producttitle", "itemtitle", "movie", "label")


@dataclass(frozen=True)
class ItemNames:
    """What items are called.

    Attributes:
        names: raw id as text → name; ids without a name are not in it.
        notes: what a reader of a report should know: ids that are named twice, items without a name.
    """

    names: dict[str, str]
    notes: tuple[str, ...] = ()

    def of(self, item: object) -> str | None:
        """The name of the item with this raw id, or None."""
        return self.names.get(str(item))


def read_names(path: str | Path, items: NDArray[Any] | Sequence[str | int]) -> ItemNames:
    """The names of these items, from CSV, TSV, JSON Lines, Parquet or MovieLens' `movies.dat`.

    The column of ids is found by its usual names (item, movie id, asin, …) and that of names by `NAMES`; without a
    header they are the first and the second. Other columns are ignored, and so are other items.

    Args:
        path: the catalogue.
        items: raw ids [n], integers or text.

    Raises:
        InputError: a file that cannot be read, lacks these columns, or names none of the items.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(
            f"The item names {source}: no such file. Expected a table with an item id and a name in a row."
        )
    raw = read_file(source, _columns(source))
    ids, called = _text(raw.item), _text(raw.user)
    wanted = pa.array([str(item) for item in np.asarray(items).tolist()], pa.string())
    if integers(wanted) is not None and (numbers := integers(ids)) is not None:
        ids = pc.cast(numbers, pa.string())
    coded = pc.dictionary_encode(ids)
    _, first = np.unique(coded.indices.to_numpy(zero_copy_only=False), return_index=True)
    place = pc.index_in(wanted, coded.dictionary)
    names = {}
    found = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    rows = (
        pa.array(first[place.take(pa.array(found)).to_numpy(zero_copy_only=False)])
        if len(found)
        else pa.array([], pa.int64())
    )
    for item, name in zip(wanted.take(pa.array(found)).to_pylist(), called.take(rows).to_pylist(), strict=True):
        if said := one_line(name or ""):
            names[item] = said
    if not names:
        raise InputError(
            f"{source} names none of the {len(wanted):,} items: its ids are such as '{ids[0]}', the log's such as "
            f"'{wanted[0]}'. Is it the catalogue of this log?"
        )
    return ItemNames(names, tuple(_notes(source, len(ids) - len(coded.dictionary), len(wanted) - len(names))))


def one_line(name: str) -> str:
    """A name without line breaks and runs of spaces, cut to `LONGEST` characters."""
    said = " ".join(name[: 16 * LONGEST].split())
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1].rstrip()}…"


def _notes(source: Path, twice: int, unnamed: int) -> list[str]:
    notes = []
    if twice:
        notes.append(f"{source.name} names {twice:,} items more than once; the first name counts")
    if unnamed:
        notes.append(f"{source.name} has no name for {unnamed:,} items; they are told by their ids")
    return notes


def _columns(source: Path) -> dict[str, str]:
    """Which column of the file holds the ids, and which the names, as a mapping that the log's readers know."""
    header = columns_of(source)
    if isinstance(header, int):
        if header < 2:
            raise InputError(f"{source} has one column. Expected an item id and a name in a row.")
        return {"item": "1", "user": "2"}
    if not header:
        read_file(source, None)  # which tells of the fault
    known = {normal(name): name for name in reversed(header)}
    item = next((known[alias] for alias in (*ALIASES["item"], "id") if alias in known), None)
    name = next((known[alias] for alias in NAMES if alias in known), None)
    if item is None or name is None or item == name:
        raise InputError(
            f"{source} has no column for the {'ids' if item is None else 'names'} of items among "
            f"{', '.join(header)[:200]}. Call them 'item' and 'name'."
        )
    return {"item": item, "user": name}


def _text(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
