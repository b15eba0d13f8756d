"""Reports, made from results only: `render` gives any form as text, `write_report` files the HTML one in a run folder.

Importing this package is cheap: each form imports what it needs when it is asked for. For a terminal there is
`robust.report.console.print_console`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from robust.errors import InputError, UnknownName

if TYPE_CHECKING:
    from robust.runner.results import Results

Format = Literal["html", "md", "json", "console", "junit", "sarif", "csv", "card"]
FORMATS: tuple[str, ...] = get_args(Format)
PARQUET = "parquet"
"""The one form that is no text: `write_form` writes it to a file."""


def render(results: Results, format: str) -> str:
    """The whole report in one of `FORMATS`, as text that ends with a line break.

    `json` is the results themselves with sorted keys (the run folder's `results.json` adds a checksum); `console` is
    what `print_console` shows, 100 columns wide and without colours. `junit`, `sarif` and `csv` are what CI servers,
    code scanning and spreadsheets read, `card` a section for a model card.

    Raises:
        UnknownName: no such format. InputError: `parquet`, which is no text.
    """
    if format == "html":
        from robust.report.html import render_html

        return render_html(results)
    if format == "md":
        from robust.report.markdown import render_markdown

        return render_markdown(results)
    if format == "json":
        from robust.report.json import render_json

        return render_json(results)
    if format == "console":
        from robust.report.console import render_console

        return render_console(results)
    if format == "junit":
        from robust.report.junit import render_junit

        return render_junit(results)
    if format == "sarif":
        from robust.report.sarif import render_sarif

        return render_sarif(results)
    if format == "csv":
        from robust.report.tables import render_csv

        return render_csv(results)
    if format == "card":
        from robust.report.card import render_card

        return render_card(results)
    if format == PARQUET:
        raise InputError("A Parquet table is no text that could be printed: name the file to write it to with --out.")
    raise UnknownName("report format", format, (*FORMATS, PARQUET))


def write_form(results: Results, format: str, path: Path) -> Path:
    """Write any form to this file, `parquet` too, whole or not at all; returns its path.

    Raises:
        UnknownName: no such format. InputError: the file cannot be written.
    """
    if format == PARQUET:
        from robust.report.tables import parquet

        return write_file(path, parquet(results))
    return write_file(path, render(results, format))


def write_report(results: Results, run: Path) -> Path:
    """Write `report.html` into a run folder, whole or not at all; returns its path.

    Raises:
        InputError: the folder cannot be written.
    """
    return write_form(results, "html", run / "report.html")


def write_file(path: Path, content: str | bytes) -> Path:
    """Write a report to this file, whole or not at all; returns its path.

    Raises:
        InputError: it cannot be written.
    """
    from robust.runner.store import write_atomically

    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(
            f"The report cannot be written to '{path}': {error.strerror}. Name a folder that can."
        ) from error
    return path
