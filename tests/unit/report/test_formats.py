"""Every form from the command line: printed or written to a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from robust.cli import app
from robust.errors import InputError, UnknownName
from robust.report import FORMATS, render, write_file
from robust.runner.export import results_json
from tests.unit.report.example import example


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder."""
    (tmp_path / "results.json").write_text(results_json(example()), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_line_writes_what_render_gives(run: Path, form: str) -> None:
    out = run / "filed" / f"report.{form}"
    done = CliRunner().invoke(app, ["report", str(run), "--format", form, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output == ""
    assert out.read_text(encoding="utf-8") == render(example(), form)


@pytest.mark.parametrize("form", ["sarif", "junit", "csv", "card"])
def test_the_command_line_prints_the_same(run: Path, form: str) -> None:
    done = CliRunner().invoke(app, ["report", str(run), "--format", form])
    assert done.exit_code == 0, done.output
    assert done.stdout == render(example(), form)


def test_a_parquet_table_goes_to_a_file_and_nowhere_else(run: Path) -> None:
    out = run / "filed" / "cells.parquet"
    done = CliRunner().invoke(app, ["report", str(run), "--format", "parquet", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert pq.read_table(out).num_rows == len(example().cells)
    printed = CliRunner().invoke(app, ["report", str(run), "--format", "parquet"])
    assert printed.exit_code != 0
    assert isinstance(printed.exception, InputError)
    assert "--out" in str(printed.exception)


def test_an_unknown_form_is_told_which_there_are() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'parquet'"):
        render(example(), "parket")


def test_a_file_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_file(tmp_path / "file" / "report.sarif", "text")
