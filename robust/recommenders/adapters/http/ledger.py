"""What a run has asked of an endpoint, shared by its worker processes: the count, and when the next request may go.

A small SQLite file in a private temporary folder, removed at the end. A run is a process and those that it starts.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from robust.errors import RobustError

VARIABLE = "ROBUST_ENDPOINT_LEDGER"


class QueriesSpent(RobustError):
    """The endpoint's `max_queries` would be exceeded; the request was not sent."""


def _folder() -> Path:
    known = os.environ.get(VARIABLE)
    if known and Path(known).is_dir():
        return Path(known)
    made, owner = tempfile.mkdtemp(prefix="robust-endpoints-"), os.getpid()
    os.environ[VARIABLE] = made  # workers inherit it

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(made, ignore_errors=True)

    atexit.register(remove)
    return Path(made)


def asked_in_run() -> int:
    """Sequences asked so far of all endpoints in this run, by all its processes."""
    file = Path(os.environ.get(VARIABLE, os.devnull)) / "ledger.db"
    if not file.is_file():
        return 0
    with closing(sqlite3.connect(file, timeout=30)) as database:
        return int(database.execute("SELECT coalesce(sum(sequences), 0) FROM endpoint").fetchone()[0])


class Ledger:
    """One endpoint's account.

    Args:
        key: the endpoint. max_queries: sequences that may be asked in a run. rate: requests a second.
    """

    def __init__(self, key: str, max_queries: int | None = None, rate: float | None = None) -> None:
        self._key, self._max, self._rate = key, max_queries, rate
        self._file = _folder() / "ledger.db"
        with self._transaction() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS endpoint (key TEXT PRIMARY KEY, sequences INTEGER, requests INTEGER, "
                "free_at REAL, answered INTEGER, waited REAL)"
            )
            database.execute("INSERT OR IGNORE INTO endpoint VALUES (?, 0, 0, 0, 0, 0)", (key,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = OFF")  # it need not outlive this machine's next crash
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    def reserve(self, sequences: int) -> float:
        """Enter one request before it is sent; returns how many seconds it has to wait for its turn.

        Raises:
            QueriesSpent: it would exceed the budget; nothing is entered.
        """
        with self._transaction() as database:
            asked, free_at = database.execute(
                "SELECT sequences, free_at FROM endpoint WHERE key = ?", (self._key,)
            ).fetchone()
            if self._max is not None and asked + sequences > self._max:
                raise QueriesSpent(
                    f"The endpoint's query budget is spent: {asked} of max_queries = {self._max} sequences were asked "
                    f"in this run, and the next request would ask {sequences} more; it was not sent. Raise max_queries "
                    "in the model's description, or review fewer users or threats: what is done is kept."
                )
            now = time.monotonic()  # one clock for all processes of a machine
            turn = max(now, free_at)
            then = turn + 1 / self._rate if self._rate else free_at
            database.execute(
                "UPDATE endpoint SET sequences = sequences + ?, requests = requests + 1, free_at = ? WHERE key = ?",
                (sequences, then, self._key),
            )
        return float(turn - now)

    def hold(self, seconds: float) -> None:
        """Nobody asks for so long: the server said when to come back."""
        with self._transaction() as database:
            database.execute(
                "UPDATE endpoint SET free_at = max(free_at, ?) WHERE key = ?", (time.monotonic() + seconds, self._key)
            )

    def answered(self, sequences: int, seconds: float) -> None:
        """Enter how long one request was under way."""
        with self._transaction() as database:
            database.execute(
                "UPDATE endpoint SET answered = answered + ?, waited = waited + ? WHERE key = ?",
                (sequences, sequences * seconds, self._key),
            )

    def seconds_a_request(self) -> float:
        """What a request took so far, each counted as often as it held sequences; 0 before the first."""
        with self._transaction() as database:
            found = database.execute("SELECT answered, waited FROM endpoint WHERE key = ?", (self._key,)).fetchone()
        return float(found[1]) / found[0] if found[0] else 0.0

    def spent(self) -> tuple[int, int]:
        """Sequences and requests so far, over all processes of the run; a retried request counts each time."""
        with self._transaction() as database:
            found = database.execute("SELECT sequences, requests FROM endpoint WHERE key = ?", (self._key,)).fetchone()
        return int(found[0]), int(found[1])
