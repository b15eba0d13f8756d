"""A query as people write it on a command line or in a scenario: `duckdb:events.duckdb?query=SELECT …`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from robust.errors import InputError

MARK = "?query="
_SOURCE = re.compile(r"(duckdb|adbc):(.*?)\?query=(.*)", re.DOTALL | re.IGNORECASE)
_LOOKS_LIKE_ONE = re.compile(r"(duckdb|adbc):", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SECRET = re.compile(
    r"(password|passwd|pwd|passphrase|token|secret|credentials?|(api|access|private)_?key)\s*=", re.IGNORECASE
)
_USER_AND_PASSWORD = re.compile(r"[^/@]*:.*@", re.DOTALL)  # after the scheme
_ADDRESS_WITHIN = re.compile(r"://[^\s/@]*:[^\s]*@")
_LITERAL = re.compile(r"'(?:[^']|'')*'")


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
        InputError: an address; it begins as a query and cannot be read as one; it holds a password.
    """
    if not _LOOKS_LIKE_ONE.match(text):
        if scheme := _ADDRESS.match(text):
            raise InputError(
                f"A log is a file, a folder or a query; addresses such as {scheme[0]}… are not read. Of a database, "
                "give a query: adbc:DRIVER:ADDRESS?query=SELECT …"
            )
        return None
    match = _SOURCE.fullmatch(text)
    if match is None or not match[3].strip():
        _check_secrets("NAME", text.partition(":")[2].partition(":")[2], text)  # which the message below would repeat
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
            _check_secrets("NAME", f"{driver}:{database}", "")
            raise InputError(
                f"The database 'adbc:{driver}': expected adbc:DRIVER:DATABASE, such as adbc:sqlite:events.db."
            )
    _check_secrets(driver, database, sql)
    return Query(driver, database.removeprefix("duckdb:"), sql.strip().rstrip(";"))


def _check_secrets(driver: str, database: str, sql: str) -> None:
    """Refuse a password where everybody can read it: commands and scenarios stand in reports and in run folders.

    Raises:
        InputError: the address, or a text within the query, holds one. The message does not repeat it.
    """
    bare = database.partition("://")[2] or database
    told = driver not in ("duckdb", "sqlite") and _USER_AND_PASSWORD.match(bare)
    if told or _SECRET.search(database):
        raise InputError(
            "The database's address holds a password, which would stand in every report. Put the address into an "
            f"environment variable and name that: adbc:{driver}:env:NAME."
        )
    if any(_SECRET.search(text) or _ADDRESS_WITHIN.search(text) for text in _LITERAL.findall(sql)):
        raise InputError(
            "The query holds a password, or another secret, in a text, and would stand in every report with it. Let "
            "the database keep it (a foreign server, a view), and ask that."
        )
