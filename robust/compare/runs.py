"""A run folder as it is compared: its results, and what every user got under every seed, from users.parquet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust.errors import InputError
from robust.runner.export import checksum_of, read_results
from robust.runner.results import CellResult, Results
from robust.statistics.moments import Float

COLUMNS = ("cell", "seed", "user", "clean", "attacked")


@dataclass(frozen=True)
class Values:
    """The bounded metric of one cell: float [S, n] each, a row per seed, NaN where a user was not measured."""

    seeds: tuple[int, ...]
    clean: Float
    attacked: Float


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        values: by cell, for the cells that were measured. Columns are the evaluated users, in the order of the split.
    """

    folder: Path
    results: Results
    checksum: str
    values: dict[str, Values]


def read_run(folder: Path) -> Run:
    """Read a run folder, and check that its two files are what was written and belong together.

    Raises:
        InputError: it is no run folder, or was damaged or changed.
    """
    results = read_results(folder)
    folder = folder if folder.is_dir() else folder.parent
    measured = [cell for cell in results.cells if cell.points]
    values = _values(folder / "users.parquet", measured, results.environment.get("tables"))
    return Run(folder, results, checksum_of(folder), values)


def _values(path: Path, cells: list[CellResult], digests: Any) -> dict[str, Values]:
    table = _table(path, sum(cell.n_users * len(cell.points) for cell in cells), digests)
    if not cells:
        return {}
    numbers = {name: table[name].to_numpy() for name in ("seed", "clean", "attacked")}
    named = {name: table[name].combine_chunks() for name in ("cell", "user")}
    names = named["cell"].dictionary.to_pylist()
    owner, user = (named[name].indices.to_numpy() for name in ("cell", "user"))
    users = len(named["user"].dictionary)
    found = {}
    for cell in cells:
        if cell.id not in names:
            raise _changed(path, f"it does not hold the cell {cell.id}")
        rows = np.flatnonzero(owner == names.index(cell.id))
        shape = len(cell.points), cell.n_users
        whole = len(rows) == shape[0] * shape[1] and shape[1] == users
        seeds = tuple(point.seed for point in cell.points)
        if (
            not whole
            or (numbers["seed"][rows].reshape(shape) != np.array(seeds)[:, None]).any()
            or (user[rows].reshape(shape) != np.arange(shape[1])).any()
        ):
            raise _changed(path, f"the cell {cell.id} has other users or seeds there")
        clean, attacked = (numbers[name][rows].reshape(shape) for name in ("clean", "attacked"))
        for name, side in (("clean", clean), ("attacked", attacked)):
            stated = [getattr(point, name) for point in cell.points]
            if not np.allclose(np.nanmean(side, axis=1), stated, rtol=1e-9, atol=1e-12):
                raise _changed(path, f"the {name} means of the cell {cell.id} are other ones there")
        found[cell.id] = Values(seeds, clean, attacked)
    return found


def _table(path: Path, rows: int, digests: Any) -> Any:
    """The table, after its size and its digest, where the results state one, were found to be right."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stated = digests.get(path.name) if isinstance(digests, dict) else None
        if stated is not None and hashlib.sha256(path.read_bytes()).hexdigest() != stated:
            raise _changed(path, "its digest is not the one in results.json")
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != rows:  # before anything of that size is read
                raise _changed(path, f"it has {file.metadata.num_rows:,} rows, and results.json states {rows:,}")
        table = pq.read_table(path, columns=list(COLUMNS))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no '{path}', which holds what every user got: a run is compared with its whole folder."
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"'{path}' cannot be read: {str(error).splitlines()[0]}.") from error
    kinds = {name: pa.types.is_dictionary(table.schema.field(name).type) for name in ("cell", "user")}
    if table.column_names != list(COLUMNS) or not all(kinds.values()):
        raise _changed(path, f"its columns are {', '.join(table.column_names)}, or not of the kind written there")
    return table


def _changed(path: Path, what: str) -> InputError:
    return InputError(f"'{path}' was damaged or changed since it was written: {what}.")
