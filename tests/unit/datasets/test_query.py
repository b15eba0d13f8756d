"""A query gives the log that its rows hold; it can read what it names, and can do nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import numpy as np
import pytest

from robust.datasets import open_log
from robust.datasets.query_text import Query, parse_query, query
from robust.errors import InputError
from robust.log import InteractionLog
from robust.runner.prepare import Request, prepare
from robust.runner.scenario import load_scenario

ROWS = [("b", 30, 9), ("a", 20, 5), ("b", 10, 9), ("a", 10, 4), ("b", 20, 1)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the same rows in a DuckDB file, an SQLite file, Parquet and CSV."""
    monkeypatch.chdir(tmp_path)
    with duckdb.connect("events.duckdb") as database:
        database.execute('CREATE TABLE events ("user" VARCHAR, item HUGEINT, moment TIMESTAMP, n INT)')
        for n, (user, item, at) in enumerate(ROWS):
            database.execute("INSERT INTO events VALUES (?, ?, make_timestamp(? * 1000000), ?)", [user, item, at, n])
        database.execute("COPY events TO 'events.parquet'")
        database.execute("COPY events TO 'events.csv'")
    connection = sqlite3.connect("events.db")
    connection.execute("CREATE TABLE events (user TEXT, item INTEGER, moment INTEGER, n INTEGER)")
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", [(*row, n) for n, row in enumerate(ROWS)])
    connection.commit()
    connection.close()
    return tmp_path


def assert_expected(log: InteractionLog) -> None:
    np.testing.assert_array_equal(log.user, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(log.item, [1, 2, 2, 3, 1])  # at 9 the order of the answer holds: 30 before 10
    np.testing.assert_array_equal(log.timestamp, [4, 5, 1, 9, 9])
    assert log.item_ids is not None
    assert log.item_ids.tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    "source",
    [
        "duckdb:events.duckdb?query=SELECT user, item, moment FROM events ORDER BY n",
        "duckdb:events.duckdb?query=FROM events ORDER BY n;",
        "duckdb:?query=SELECT * FROM 'events.parquet' ORDER BY n",
        "duckdb:.?query=SELECT * FROM read_csv('events.csv') ORDER BY n",
        "duckdb:?query=WITH e AS (FROM './*.parquet') SELECT * FROM e WHERE n < 99 ORDER BY n",
        "adbc:sqlite:events.db?query=SELECT user, item, moment FROM events ORDER BY n",
        "adbc:sqlite:env:EVENTS?query=-- all\nSELECT user, item, moment FROM events ORDER BY n",
    ],
)
def test_the_rows_of_a_query_are_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setenv("EVENTS", "events.db")
    source = source.replace("SELECT user", 'SELECT "user"') if source.startswith("duckdb") else source
    assert_expected(open_log(source, columns={"timestamp": "moment"}))


def test_ids_and_times_of_a_database_s_own_types(folder: Path) -> None:
    log = open_log(
        "duckdb:?query=SELECT ('00000000-0000-0000-0000-00000000000' || (n % 2))::UUID AS \"user\", "
        "(CASE WHEN n < 2 THEN 'low' ELSE 'high' END)::ENUM('low', 'high') AS item, DATE '2013-01-31' + n AS time "
        "FROM 'events.parquet' ORDER BY n"
    )
    assert log.user_ids is not None
    assert log.user_ids.tolist() == [f"00000000-0000-0000-0000-00000000000{n}" for n in (0, 1)]
    assert log.item_ids is not None
    assert log.item_ids.tolist() == ["high", "low"]
    assert log.timestamp.tolist()[:2] == [1359590400, 1359590400 + 2 * 86400]


REFUSED = {
    "write": ("duckdb:events.duckdb?query=DELETE FROM events", "one SELECT"),
    "two": ("duckdb:events.duckdb?query=SELECT 1; DROP TABLE events", "one SELECT"),
    "hidden write": ("duckdb:events.duckdb?query=WITH x AS (SELECT 1) DELETE FROM events", "one SELECT"),
    "attach": ("duckdb:?query=ATTACH 'x.db'", "one SELECT"),
    "extension": ("duckdb:?query=INSTALL httpfs", "one SELECT"),
    "copy": ("duckdb:?query=COPY (SELECT 1) TO 'stolen.csv'", "one SELECT"),
    "setting": ("duckdb:?query=SET enable_external_access = true", "one SELECT"),
    "network": ("duckdb:?query=SELECT * FROM 'https://example.com/x.parquet'", "Permission"),
    "bucket": ("duckdb:?query=SELECT * FROM 's3://bucket/x.parquet'", "failed"),
    "other folder": ("duckdb:?query=SELECT * FROM read_text('/etc/hostname')", "Permission"),
    "climbing": ("duckdb:?query=SELECT * FROM read_csv('../../../../etc/passwd')", "failed"),
    "listing": ("duckdb:?query=SELECT * FROM glob('/etc/*')", "Permission"),
    "syntax": ("duckdb:events.duckdb?query=SELECT * FROM events WHERE", "WHERE"),
    "no rows": ("duckdb:events.duckdb?query=SELECT * FROM events WHERE false", "no rows"),
    "no columns": ("duckdb:events.duckdb?query=SELECT n AS item FROM events", "no column for user"),
    "missing": ("duckdb:event.duckdb?query=SELECT 1", "Did you mean 'events.duckdb'"),
    "no database": ("duckdb:events.csv?query=SELECT 1", "no DuckDB database"),
    "no query": ("duckdb:events.duckdb", r"expected duckdb:FILE\?query"),
    "sqlite writes": ("adbc:sqlite:events.db?query=DELETE FROM events", "one SELECT"),
    "sqlite two": ("adbc:sqlite:events.db?query=SELECT 1; DELETE FROM events", "one SELECT"),
    "sqlite hidden": ("adbc:sqlite:events.db?query=WITH x AS (SELECT 1) DELETE FROM events", "readonly"),
    "sqlite missing": ("adbc:sqlite:new.db?query=SELECT 1", "no such file"),
    "no driver": ("adbc:nowhere:x?query=SELECT 1", "pip install adbc-driver-nowhere"),
    "half": ("adbc:sqlite?query=SELECT 1", "adbc:DRIVER:DATABASE"),
    "unset": ("adbc:sqlite:env:NO_SUCH_VARIABLE?query=SELECT 1", "NO_SUCH_VARIABLE is not set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_query_cannot_do(folder: Path, name: str) -> None:
    source, said = REFUSED[name]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=said):
        open_log(source)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="environment variable") as caught:
        parse_query("adbc:postgresql:postgresql://ann:hunter2@db/shop?query=SELECT 1")
    assert "hunter2" not in str(caught.value)


def test_what_a_variable_holds_is_not_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS", "file:secret-place.db")
    with pytest.raises(InputError) as caught:
        open_log("adbc:sqlite:env:EVENTS?query=SELECT 1")
    assert "secret-place" not in str(caught.value)


def test_more_rows_than_memory_are_refused_while_they_come(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robust.datasets.claims.memory", lambda: 300_000_000)
    with pytest.raises(InputError, match="memory"):
        open_log('duckdb:?query=SELECT i AS "user", i AS item FROM range(100000000) r(i)')


def test_the_forms_of_a_query() -> None:
    assert parse_query("events.csv") is None
    assert parse_query("duckdb:a.duckdb?query=SELECT 1;") == Query("duckdb", "a.duckdb", "SELECT 1")
    assert query(None, "SELECT 1") == Query("duckdb", "", "SELECT 1")
    assert query("adbc:sqlite:a.db", "SELECT 1") == Query("sqlite", "a.db", "SELECT 1")


SCENARIO = """
dataset:
  query: SELECT "user", item, moment FROM '{place}' ORDER BY n
  columns: {{timestamp: moment}}
{more}
threats:
  - id: fakes
    goal: {{promote: any*1, k: 1}}
    attacks: [random]
    budgets: [{{users: 1}}]
    bound: {{metric: target_hr@1, kind: rise, limit: 0.5}}
"""


def test_a_scenario_s_query_reads_beside_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "review.yaml"
    path.write_text(SCENARIO.format(place="events.parquet", more=""))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert_expected(prepare(Request(scenario=str(path)), None).log)
    path.write_text(SCENARIO.format(place="events", more="  database: events.duckdb"))
    assert_expected(prepare(Request(scenario=str(path)), None).log)


@pytest.mark.parametrize("more", ["  file: events.csv", "  database: 5", "  qeury: SELECT 1"])
def test_a_scenario_names_one_source(folder: Path, more: str) -> None:
    path = folder / "review.yaml"
    path.write_text(SCENARIO.format(place="events.parquet", more=more))
    with pytest.raises(InputError, match=r"review\.yaml, line [2-6]"):
        load_scenario(str(path))
