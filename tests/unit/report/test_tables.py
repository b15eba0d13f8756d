"""CSV and Parquet: read back by pandas, pyarrow and the csv module; numbers stay numbers, no text is a formula."""

from __future__ import annotations

import csv
import io
import math

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robust.report import render
from robust.report.tables import COLUMNS, parquet, safe
from robust.runner.results import Results
from tests.unit.report.example import example
from tests.unit.report.hostile import hostile_example


def rows(results: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(results, "csv"))))


def test_a_row_per_cell_with_the_numbers_of_the_results() -> None:
    review = example()
    table = pd.read_csv(io.StringIO(render(review, "csv")))
    assert len(table) == len(review.cells)
    read = {row["cell"]: row for _, row in table.iterrows()}
    for cell in review.cells:
        metric = cell.metrics.get(cell.bound.metric)
        row = read[cell.id]
        assert row["verdict"] == cell.verdict
        assert row["limit"] == cell.bound.limit
        if metric is None:
            assert math.isnan(row["change"])
        else:
            assert (row["change"], row["low"], row["clean"]) == (metric.change, metric.low, metric.clean)
    assert table["low"].min() < 0  # a negative number is no formula
    for name in ("change", "low", "high", "limit", "users", "queries", "p_fail"):
        assert pd.api.types.is_numeric_dtype(table[name])


def test_tells_severity_and_taxonomy_of_what_fails() -> None:
    for row in rows(example()):
        assert bool(row["severity"]) == (row["verdict"] == "FAIL")
        assert bool(row["breaks_from"]) == (row["verdict"] == "FAIL")
        assert row["atlas"].startswith("AML.T")
        assert row["nist"].startswith("NISTAML.")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "\n=", "＝", "−1+"])
def test_no_text_is_a_formula(start: str) -> None:
    text = safe(f"{start}HYPERLINK(1)")
    assert isinstance(text, str)
    assert text.startswith("'")
    assert not set("\t\r\n") & set(text)


@pytest.mark.parametrize("number", [-1.5, 3, 0.0, -0])
def test_numbers_stay_as_they_are(number: float) -> None:
    assert safe(number) == number
    assert not isinstance(safe(number), str)


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_empty(nothing: float | None) -> None:
    assert safe(nothing) == ""


def test_hostile_names_break_no_row_and_start_no_formula() -> None:
    body = hostile_example().model_dump(by_alias=True)
    for cell in body["cells"]:
        cell["attack"] = "=cmd|'/c calc'!A1\r\n" + cell["attack"] + '";\n"' + "z" * 10_000
        cell["reason"] = "@SUM(1)\t" + cell["reason"]
    hostile = Results.model_validate(body)
    text = render(hostile, "csv")
    assert len(text.splitlines()) == len(hostile.cells) + 1
    read = rows(hostile)
    assert list(read[0]) == list(rows(example())[0])
    for row in read:
        assert None not in row
        assert all(value is not None for value in row.values())
        assert row["attack"].startswith("'=cmd")
        for value in row.values():
            assert not value.startswith(("=", "+", "@")) or value.replace("e+", "").isdigit()


def test_a_review_without_cells_is_a_head() -> None:
    assert render(example().model_copy(update={"cells": [], "threats": []}), "csv") == "cell\n"


def read_parquet(results: Results) -> pa.Table:
    return pq.read_table(io.BytesIO(parquet(results)))


def test_parquet_has_the_columns_of_the_csv_in_their_own_types() -> None:
    table, lines = read_parquet(example()), rows(example())
    assert table.column_names == list(lines[0]) == list(COLUMNS)
    for read, line in zip(table.to_pylist(), lines, strict=True):
        for name, value in read.items():
            said = "; ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
            assert line[name] in (said, f"'{said}")
    assert pa.types.is_floating(table.schema.field("change").type)
    assert pa.types.is_integer(table.schema.field("queries").type)
    assert table.schema.field("seeds").type == pa.list_(pa.int64())


def test_parquet_without_cells_has_the_same_columns_and_types() -> None:
    none = read_parquet(example().model_copy(update={"cells": [], "threats": []}))
    assert none.num_rows == 0
    assert none.schema == read_parquet(example()).schema


def test_parquet_holds_what_is_no_number_as_nothing_and_texts_on_one_line() -> None:
    body = example().model_dump(by_alias=True)
    body["cells"][0]["metrics"]["target_hr@10"]["change"] = math.nan
    body["cells"][0]["reason"] = "one\ntwo\u202e"
    table = read_parquet(Results.model_validate(body)).to_pylist()
    assert table[0]["change"] is None
    assert table[0]["reason"].startswith("one two")
    assert "\u202e" not in table[0]["reason"]
