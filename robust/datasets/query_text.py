"""A query as people write it on a command line or in a scenario: `duckdb:events.duckdb?query=SELECT …`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from robust.errors import InputError

MARK = "?query="
_SOURCE = re.compile(r"(duckdb|adbc):(.*?)\?query=(.*)", re.DOTALL | re.IGNORECASE)
_LOOKS_LIKE_ONE = re.compile(r"(duckdb|adbc):", re.IGNORECASE)
_SECRET = re.compile(r"//[^/@]*:[^/@]+@|(password|token|secret)\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class Query:
    """What to ask, and whom.

    Attributes:
        driver: `duckdb`, or the name of an ADBC driver such as `sqlite` or `postgresql`.
        database: a DuckDB file, or a folder whose files the query may name; for ADBC a file or URI, or `env:NAME`
            for the environment variable that holds it.
        sql: one SELECT.
    """

    driver: str
    database: str
    sql: str

    @property
    def source(self) -> str | None:
        """The database as it is written in a scenario."""
        return (self.database or None) if self.driver == "duckdb" else f"adbc:{self.driver}:{self.database}"

    @property
    def name(self) -> str:
        """The database's name, for reports."""
        if self.database.startswith("env:"):
            return self.database.removeprefix("env:")
        return Path(self.database).stem or "query"


def parse_query(text: str) -> Query | None:
    """The query in `text`, or None where it names a file or a folder.

    Raises:
        InputError: it begins as a query and cannot be read as one, or holds a password.
    """
    if not _LOOKS_LIKE_ONE.match(text):
        return None
    match = _SOURCE.fullmatch(text)
    if match is None or not match[3].strip():
        shown = text if len(text) < 80 else f"{text[:80]}…"
        raise InputError(f"'{shown}': expected duckdb:FILE?query=SELECT … or adbc:DRIVER:DATABASE?query=SELECT ….")
    return query(match[2] if match[1].lower() == "duckdb" else f"adbc:{match[2]}", match[3])


def query(database: str | None, sql: str) -> Query:
    """A query of a DuckDB file or of a folder's files (None: of the current folder), or of `adbc:DRIVER:DATABASE`.

    Raises:
        InputError: no driver, or a password where everybody can read it.
    """
    database = database or ""
    driver = "duckdb"
    if database.startswith("adbc:"):
        driver, separator, database = database.removeprefix("adbc:").partition(":")
        if not separator or not re.fullmatch(r"[a-z0-9_]+", driver) or not database:
            raise InputError(
                f"The database 'adbc:{driver}': expected adbc:DRIVER:DATABASE, such as adbc:sqlite:events.db."
            )
        if _SECRET.search(database):
            raise InputError(
                "The database's address holds a password, which would stand in every report. Put the address into an "
                f"environment variable and name that: adbc:{driver}:env:NAME."
            )
    return Query(driver, database.removeprefix("duckdb:"), sql.strip().rstrip(";"))
