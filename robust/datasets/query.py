"""A log from a query: DuckDB (a database, or files that the query names), or any database with an ADBC driver.

Only one SELECT is run, and nothing can be written. DuckDB gets no network and no extension, and reads no file outside
the database's folder, nor the variables of this program. Rows come as Arrow, batch by batch; ids become codes as they
come. What an environment variable holds (`env:NAME`) is in no message, nor is a part of it that may be a password.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from robust.datasets.claims import check_rows, memory
from robust.datasets.columns import choose
from robust.datasets.files import near_miss
from robust.datasets.query_text import Query
from robust.datasets.raw import RawLog
from robust.datasets.together import compact, together
from robust.errors import InputError

BATCH = 1_000_000  # rows
TOGETHER = 4_000_000  # rows that are made compact at once
_OPEN = ("host", "hostaddr", "port", "user", "dbname", "sslmode", "mode")  # parts of an address that hide nothing
_SELECT = re.compile(r"\s*(--[^\n]*\n\s*|/\*.*?\*/\s*)*(select|with|from|values)\b", re.IGNORECASE | re.DOTALL)


def run_query(query: Query, columns: Mapping[str, str] | None) -> RawLog:
    """The user, item and time columns of what a query gives, in the order in which it gives them.

    Raises:
        InputError: a driver that is not installed, a database that is not there, a query that fails, is no single
            SELECT, or gives no rows, too many, or other columns.
    """
    ask = _duckdb if query.driver == "duckdb" else _adbc
    with ask(query) as (schema, batches):
        return _collected(query, schema, batches, columns)


def _collected(query: Query, schema: pa.Schema, batches: Iterable[Any], columns: Mapping[str, str] | None) -> RawLog:
    path = Path(f"The query of {query.database or 'the current folder'}")
    names = list(schema.names)
    chosen = choose(names, len(names), columns, path)
    wanted = [names[place] for place in chosen.values()]
    parts: list[RawLog] = []
    waiting: list[Any] = []
    rows = 0

    def flush() -> None:
        table = pa.Table.from_batches(waiting)
        picked = {role: table[names[place]] for role, place in chosen.items()}
        parts.append(
            compact(RawLog(path, picked["user"], picked["item"], picked.get("timestamp"), lambda r: f"row {r + 1}"))
        )
        waiting.clear()

    for batch in batches:
        if batch.num_rows:
            rows += batch.num_rows
            check_rows(rows, path)
            waiting.append(batch.select(wanted))
            if sum(one.num_rows for one in waiting) >= TOGETHER:
                flush()
    if waiting:
        flush()
    if not parts:
        raise InputError(f"{path} gives columns ({', '.join(names)}) but no rows: {query.sql[:200]}")
    whole = together(path, parts)
    return RawLog(path, whole.user, whole.item, whole.timestamp, lambda row: f"row {row + 1} of its answer")


@contextmanager
def _duckdb(query: Query) -> Iterator[tuple[pa.Schema, Iterable[Any]]]:
    duckdb = _imported("duckdb", "a query of DuckDB")
    place = Path(query.database or ".")
    if not place.exists():
        raise near_miss(place)
    if place.is_file():
        with place.open("rb") as file:
            if file.read(12)[8:] != b"DUCK":
                raise InputError(
                    f"{place} is no DuckDB database. To ask files something, name their folder: "
                    f"duckdb:{place.parent}?query=SELECT … FROM '{place.name}'."
                )
    folder = (place if place.is_dir() else place.parent).resolve()
    try:
        connection = duckdb.connect(
            ":memory:" if place.is_dir() else str(place.resolve()),
            read_only=not place.is_dir(),
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
        )
        # DuckDB holds relative names against the working folder before it looks along `file_search_path`
        with closing(connection), chdir(folder):
            quoted = str(folder).replace("'", "''")
            for setting in (
                "allow_community_extensions = false",
                f"memory_limit = '{memory() // 2}B'",
                f"allowed_directories = ['{quoted}']",
                "enable_external_access = false",
                "lock_configuration = true",
            ):
                connection.execute(f"SET {setting}")
            statements = connection.extract_statements(query.sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise _no_select(query)
            reader = connection.sql(query.sql).to_arrow_reader(BATCH)
            yield reader.schema, reader
    except duckdb.Error as error:
        raise _failed(query, error) from error


@contextmanager
def _adbc(query: Query) -> Iterator[tuple[pa.Schema, Iterable[Any]]]:
    if not _SELECT.match(query.sql) or ";" in query.sql:
        raise _no_select(query)
    module = _imported(f"adbc_driver_{query.driver}.dbapi", f"a query through ADBC's driver '{query.driver}'")
    manager = importlib.import_module("adbc_driver_manager")
    address = _address(query)
    if query.driver == "sqlite":
        if not address.startswith("file:"):
            if not Path(address).exists():
                raise near_miss(Path(address))
            address = Path(address).resolve().as_uri()
        address += "&mode=ro" if "?" in address else "?mode=ro"
    try:
        with module.connect(address) as connection, connection.cursor() as cursor:
            if query.driver == "postgresql":
                cursor.execute("SET TRANSACTION READ ONLY")  # the driver has begun one; it cannot be undone within it
            cursor.execute(query.sql)
            reader = cursor.fetch_record_batch()
            yield reader.schema, reader
    except (manager.Error, pa.ArrowException, OSError) as error:
        secret = query.database.startswith("env:")
        raise _failed(query, error, address) from (None if secret else error)  # a traceback would show its message


def _address(query: Query) -> str:
    if not query.database.startswith("env:"):
        return query.database
    variable = query.database.removeprefix("env:")
    if not os.environ.get(variable):
        raise InputError(f"The environment variable {variable} is not set; it should hold the database's address.")
    return os.environ[variable]


def _imported(module: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0].replace("_", "-")
        extra = "'seqrobust[sql]'" if package in ("duckdb", "adbc-driver-sqlite") else package
        raise InputError(f"{purpose[0].upper()}{purpose[1:]} needs {package}: pip install {extra}.") from error


def _no_select(query: Query) -> InputError:
    return InputError(f"A log is read by one SELECT, and by nothing that writes or attaches; got: {query.sql[:200]}")


def _failed(query: Query, error: Exception, address: str = "") -> InputError:
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if query.database.startswith("env:") and address:
        for secret in _secrets(address):
            said = said.replace(secret, "(hidden)")
    return InputError(f"The query of {query.database or 'the current folder'} failed: {said} Query: {query.sql[:200]}")


def _secrets(address: str) -> list[str]:
    """The address, and what in it may be a password or a piece of one, the longest first.

    A driver that cannot read an address quotes the piece that it stumbled on: of `//me:a/b@host` it takes `a` for the
    port.
    """
    rest = address.partition("://")[2] or address
    found = [address, rest]
    if "@" in rest:
        told = rest.rpartition("@")[0].partition(":")[2]
        found += [told, *re.split(r"[/@:?#&\s]", told)]
    found += [
        value.strip("'\"") for key, value in re.findall(r"(\w+)\s*=\s*([^\s&]+)", rest) if key.lower() not in _OPEN
    ]
    plain = [unquote(text) for text in found]
    return sorted({text for text in (*found, *plain) if len(text) > 2}, key=len, reverse=True)
