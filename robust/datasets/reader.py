"""Reading an interaction log from a file, a folder or a query, whatever its form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robust.datasets.filters import is_positional, k_core
from robust.datasets.folders import LAYOUTS, locate
from robust.datasets.query_text import Query, parse_query
from robust.log import InteractionLog

if TYPE_CHECKING:
    from robust.datasets.raw import RawLog


def open_log(
    path: str | Path | Query,
    *,
    columns: Mapping[str, str] | None = None,
    vocabulary: str | Path | None = None,
    core: int = 0,
    name: str | None = None,
) -> InteractionLog:
    """Read CSV, TSV, JSON Lines, Parquet, MovieLens, RecBole, SASRec or S3Rec files, gzipped or not, or a query.

    Every row is kept, exact duplicates too (a note counts them); rows of equal time keep their order in the file.

    Args:
        path: the file; a folder such as `ml-1m` with `ratings.dat` in it, or with the parts of an export; or a query,
            such as `duckdb:events.duckdb?query=SELECT …` (see `robust.datasets.query`).
        columns: role (`user`, `item`, `timestamp`) → the file's column; what is left out is found by its usual names.
        vocabulary: how raw items become dense ids: None follows the sorted raw ids of this log, before `core`; a file
            lists them in the order of a fitted model's ids 1…n; "dense" says that the log holds these ids already.
        core: drop users and items with fewer interactions than this, repeatedly (0 keeps all); ids stay.
        name: for reports; by default the file's name, or its folder's where the file's is the same for everyone.

    Returns:
        The log. Without times in the file, `timestamp` is the position 0, 1, … within the user, and a note says so.

    Raises:
        InputError: whatever cannot be read, with file, line or column, what was expected and how to mend it.
    """
    # Reading imports pyarrow, which listing names or asking for help should not wait for.
    query = path if isinstance(path, Query) else parse_query(str(path))
    if query is not None:
        from robust.datasets.query import run_query

        return k_core(_dense(run_query(query, columns), vocabulary, name or query.name), core)
    from robust.datasets.tables import read_parts

    named = Path(str(path))
    files = locate(named)
    source = named if len(files) > 1 else files[0]
    return k_core(_dense(read_parts(source, files, columns), vocabulary, name or _name(named, files)), core)


def _dense(raw: RawLog, vocabulary: str | Path | None, name: str) -> InteractionLog:
    from robust.datasets.identifiers import encode
    from robust.datasets.timestamps import Times, times_of
    from robust.datasets.vocabulary import item_vocabulary

    # columns are let go as soon as the next stage has them: on a large log each is gigabytes
    users, items = encode(raw, "user"), encode(raw, "item")
    item_ids, dense = item_vocabulary(items, vocabulary, raw.path)
    user_ids, user, item = users.values, users.codes, dense.astype(np.int32)[items.codes]
    del users, items
    timed = raw.timestamp is not None
    times, order, noted = times_of(raw) if timed else Times(np.zeros(len(user), dtype=np.int64), None)
    notes = (*raw.notes, *noted)
    del raw
    if order is not None:
        user, item, times = user[order], item[order], times[order]
    log = InteractionLog.from_columns(
        user,
        item,
        times,
        n_users=len(user_ids),
        n_items=len(item_ids),
        user_ids=user_ids,
        item_ids=item_ids,
        name=name,
        notes=notes,
    )
    del user, item, times, order
    if not timed:
        log = replace(log, timestamp=log.position)
    return replace(log, notes=(*log.notes, *_remarks(log)))


def _remarks(log: InteractionLog) -> Iterator[str]:
    if is_positional(log):
        yield "no times, only order: timestamps are positions within each user"
    if twins := exact_duplicates(log):
        yield f"{twins:,} rows repeat another row exactly (user, item and time); all are kept"


def exact_duplicates(log: InteractionLog) -> int:
    """How many rows repeat another row's user, item and timestamp."""
    if len(log) < 2:
        return 0
    tied = (log.user[1:] == log.user[:-1]) & (log.timestamp[1:] == log.timestamp[:-1])
    key = np.zeros(len(log), dtype=np.int64)  # in place: a log may have a hundred million rows
    np.cumsum(~tied, out=key[1:])
    key *= log.n_items + 1
    key += log.item
    key.sort()
    return int(np.count_nonzero(key[1:] == key[:-1]))


def _name(path: Path, files: list[Path]) -> str:
    if len(files) > 1:
        return path.resolve().name
    file = files[0]
    stem = file.name.removesuffix(".gz")
    if stem in LAYOUTS and file.parent.name:
        return file.parent.name
    return stem.rsplit(".", 1)[0] or stem
