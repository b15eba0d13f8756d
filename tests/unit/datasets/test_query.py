"""A query gives the log that its rows hold; it can read what it names, and can do nothing else."""

from __future__ import annotations

import importlib
import sqlite3
import sys
import traceback
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from robust.datasets import open_log
from robust.datasets.identifiers import encode
from robust.datasets.query_text import Query, parse_query, query
from robust.datasets.raw import RawLog
from robust.datasets.timestamps import times_of
from robust.datasets.together import compact
from robust.errors import InputError
from robust.log import InteractionLog
from robust.runner.prepare import Request, prepare
from robust.runner.reading import load_scenario

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


@pytest.mark.parametrize("files", ["events.parquet", "*.parquet", "./*.parquet", "EXPORTS/*.parquet"])
@pytest.mark.parametrize("place", ["exports", "exports/events.duckdb"])
def test_files_are_named_as_they_stand_in_the_folder(folder: Path, place: str, files: str) -> None:
    (folder / "exports").mkdir()
    for file in ("events.parquet", "events.duckdb"):
        (folder / file).rename(folder / "exports" / file)
    files = files.replace("EXPORTS", str(folder / "exports"))
    assert_expected(open_log(f"duckdb:{place}?query=FROM '{files}' ORDER BY n", columns={"timestamp": "moment"}))
    assert Path.cwd() == folder
    with pytest.raises(InputError, match="Permission"):
        open_log(f"duckdb:{place}?query=FROM '../events.csv'")
    assert Path.cwd() == folder


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


@pytest.mark.parametrize(
    "source",
    [
        "adbc:postgresql:postgresql://ann:hunter2@db/shop?query=SELECT 1",
        "adbc:postgresql:postgresql://ann:hun/hunter2@db/shop?query=SELECT 1",
        "adbc:postgresql:postgresql://ann:hunter2@db/shop",
        "adbc:postgresql:postgresql://ann:hunter2@db/shop?query=",
        "adbc:postgre-sql:postgresql://ann:hunter2@db/shop?query=SELECT 1",
        "ADBC:postgresql:postgresql://db/shop?sslpassword=hunter2?query=SELECT 1",
        "adbc:postgresql:host=db passwd=hunter2?query=SELECT 1",
        "adbc:snowflake:ann:hunter2@account/shop?query=SELECT 1",
        "adbc:postgresql:env:SHOP?query=SELECT * FROM dblink('host=db password=hunter2', 'SELECT 1')",
        "duckdb:?query=SELECT * FROM 'https://ann:hunter2@db/x.parquet'",
        "postgresql://ann:hunter2@db/shop",
    ],
)
def test_a_password_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(InputError) as caught:
        open_log(source)
    assert "hunter2" not in str(caught.value)
    assert (
        "env:NAME" in str(caught.value)
        or "would stand in every report" in str(caught.value)
        or "://…" in str(caught.value)
    )


@pytest.mark.parametrize(
    "source",
    [
        "adbc:postgresql:postgresql://ann@db:5432/shop?query=SELECT 1",
        "adbc:postgresql:host=db user=ann passfile=/run/pass?query=SELECT 1 WHERE password = 'x' AND token = 'y'",
        "adbc:sqlite:file:/mnt/a@b/events.db?query=SELECT 1",
    ],
)
def test_what_is_no_password_is_not_taken_for_one(source: str) -> None:
    assert isinstance(parse_query(source), Query)


@pytest.mark.parametrize(
    ("address", "said"),  # what libpq says of these addresses
    [
        ("postgresql://me:hunter2/x@h/db", 'invalid integer value "hunter2" for connection option "port"'),
        ("postgresql://me:a@hunter2@h/db", 'could not translate host name "hunter2@h" to address'),
        ("me:hunter2", 'missing "=" after "me:hunter2" in connection info string'),
        ("host=h passwort=hunter2", "invalid connection option: hunter2"),
        ("postgresql://me:%68unter2@h/db", "password hunter2 is wrong"),
    ],
)
def test_a_driver_that_quotes_a_password_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    """Through a driver of the name that says so; the real one was tried by hand (docs/data.md)."""
    manager = importlib.import_module("adbc_driver_manager")

    def connect(given: str) -> None:
        assert given == address
        raise manager.OperationalError(said, status_code=manager.AdbcStatusCode.IO)

    module = ModuleType("adbc_driver_postgresql.dbapi")
    module.connect = connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", ModuleType("adbc_driver_postgresql"))
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", module)
    monkeypatch.setenv("SHOP", address)
    with pytest.raises(InputError) as caught:
        open_log("adbc:postgresql:env:SHOP?query=SELECT 1")
    shown = "".join(traceback.format_exception(caught.value))
    assert "(hidden)" in shown
    assert "hunter2" not in shown


def test_numbers_without_an_arrow_type_are_numbers() -> None:
    """As PostgreSQL's driver gives `numeric`, which `extract(epoch FROM at)` and `sum(…)` are too."""
    numeric = pa.opaque(pa.string(), "numeric", "PostgreSQL")

    def column(*texts: str) -> pa.Array:
        return pa.ExtensionArray.from_storage(numeric, pa.array(texts))

    raw = compact(RawLog(Path("q"), column("7", "10"), column("1e30", "x"), column("5.25", "5.5"), lambda _: "row"))
    assert encode(raw, "user").values.tolist() == [7, 10]
    assert encode(raw, "item").values.tolist() == ["1e30", "x"]
    assert times_of(raw).seconds.tolist() == [5, 5]


def test_infinite_times_are_refused(folder: Path) -> None:
    for time in ("infinity", "-infinity"):
        with pytest.raises(InputError, match="row 1 of its answer: the timestamp is infinite"):
            open_log(f"duckdb:?query=SELECT 1 AS \"user\", 2 AS item, '{time}'::TIMESTAMP AS time")


def test_a_query_sees_no_variable_of_this_program(folder: Path) -> None:
    names = pa.table({"user": [1], "item": [2]})
    assert len(names) == 1
    with pytest.raises(InputError, match="names"):
        open_log("duckdb:?query=SELECT * FROM names")


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
