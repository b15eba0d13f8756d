"""A log out of a real PostgreSQL: its types, its errors, what a query cannot do there, and where the password goes.

`ROBUST_POSTGRESQL` names the server, with a user that may create a table in the schema `public`:
`pip install adbc-driver-postgresql && ROBUST_POSTGRESQL=postgresql://me:PASSWORD@host/db pytest
tests/validation/test_postgresql.py`.
"""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from robust.datasets import open_log
from robust.errors import InputError
from robust.log import InteractionLog

ROWS = 1_000_000
TABLE = "robust_events"
CREATE = f"""
    CREATE TABLE {TABLE} AS SELECT
        i % 20000 AS visitor, i % 2000 + 1 AS item, md5((i % 7)::text)::uuid AS device,
        ((i % 2000 + 1)::numeric) AS sku, (i % 5)::numeric(12, 0) AS shop, (i % 11)::bigint AS big,
        timestamptz '2024-01-01 00:00+02' + i * interval '1 second' AS at,
        timestamp '2024-01-01 00:00' + i * interval '1 second' AS naive
    FROM generate_series(1, {ROWS}) AS i
"""
MIDNIGHT = 1_704_067_200  # 2024-01-01 in UTC


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of the server, with the table in it; the environment holds it as SHOP."""
    named = os.environ.get("ROBUST_POSTGRESQL", "")
    if not urlsplit(named).password:
        pytest.fail("Set ROBUST_POSTGRESQL to postgresql://USER:PASSWORD@HOST/DATABASE", pytrace=False)
    os.environ["SHOP"] = named
    with connected(named) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        cursor.execute(CREATE)
        connection.commit()
        yield named
        cursor.execute(f"DROP TABLE {TABLE}")
        connection.commit()


def connected(address: str) -> Any:
    return importlib.import_module("adbc_driver_postgresql.dbapi").connect(address)


def asked(sql: str) -> InteractionLog:
    return open_log(f"adbc:postgresql:env:SHOP?query={sql}")


def test_a_million_rows(address: str) -> None:
    log = asked(f'SELECT visitor AS "user", item, at AS timestamp FROM {TABLE} ORDER BY at')
    assert len(log) == ROWS
    assert (log.n_users, log.n_items) == (20_000, 2_000)
    ordinals = np.sort(log.timestamp) - MIDNIGHT + 2 * 3600
    np.testing.assert_array_equal(ordinals, np.arange(1, ROWS + 1))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("sku", range(2, 12)),
        ("shop", range(5)),
        ("big", range(11)),
        ("'i' || big", [f"i{n}" for n in range(11)]),
    ],
)
def test_ids_of_its_types(address: str, item: str, expected: Sequence[Any]) -> None:
    log = asked(
        f'SELECT device AS "user", {item} AS item, naive AS timestamp FROM {TABLE} WHERE visitor BETWEEN 1 AND 10'
    )
    assert log.item_ids is not None
    assert log.user_ids is not None
    assert set(log.item_ids.tolist()) == set(expected)
    assert all(len(user) == 36 and user.count("-") == 4 for user in log.user_ids.tolist())


@pytest.mark.parametrize("time", ["at", "naive AT TIME ZONE 'Europe/Athens'", "extract(epoch FROM at)", "at::text"])
def test_times_of_its_types(address: str, time: str) -> None:
    log = asked(f'SELECT visitor AS "user", item, {time} AS timestamp FROM {TABLE} WHERE visitor = 7 ORDER BY at')
    assert log.timestamp[0] == MIDNIGHT - 2 * 3600 + 7


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT visitor, nosuch FROM {}", 'column "nosuch" does not exist'),
        ("SELECT visitor AS \"user\", item FROM {} WHERE false", "no rows"),
        ("SELECT visitor AS \"user\", at FROM {}", "no column for item"),
        ("SELECT visitor AS \"user\", item, 'infinity'::timestamptz AS time FROM {}", "the timestamp is infinite"),
        ("SELECT visitor AS \"user\", 'NaN'::numeric AS item FROM {}", "the item id is missing"),
        ("SELECT visitor AS \"user\", item, 1 / (item - 1000) AS time FROM {}", "division by zero"),
        ("WITH gone AS (DELETE FROM {} RETURNING *) SELECT visitor AS \"user\", item FROM gone", "read-only"),
        ("SELECT visitor AS \"user\", item, set_config('transaction_read_only', 'off', false) FROM {}", "read-write"),
        (
            "SELECT visitor AS \"user\", item, pg_terminate_backend(CASE item WHEN 1999 THEN pg_backend_pid() END) "
            "FROM {}",
            "failed",
        ),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_in_one_message_and_changes_nothing(address: str, sql: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        asked(sql.format(TABLE))
    with connected(address) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        assert cursor.fetchone() == (ROWS,)


@pytest.mark.parametrize("broken", ["{}x", "{}/x", "x/{}", "x@{}", "{}#", "{}?x=1", "{}:1"])
def test_no_message_holds_a_password_or_a_part_of_it(
    address: str, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    password = urlsplit(address).password
    assert password
    monkeypatch.setenv("SHOP", address.replace(f":{password}@", f":{broken.format('hunter2')}@"))
    with pytest.raises(InputError) as caught:
        asked(f'SELECT visitor AS "user", item FROM {TABLE}')
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
