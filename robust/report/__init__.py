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

Format = Literal["html", "md", "json", "console"]
FORMATS: tuple[str, ...] = get_args(Format)


def render(results: Results, format: str) -> str:
    """The whole report in one of `FORMATS`, as text that ends with a line break.

    `json` is the results themselves with sorted keys (the run folder's `results.json` adds a checksum); `console` is
    what `print_console` shows, 100 columns wide and without colours.

    Raises:
        UnknownName: no such format.
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
    raise UnknownName("report format", format, FORMATS)


def write_report(results: Results, run: Path) -> Path:
    """Write `report.html` into a run folder, whole or not at all; returns its path.

    Raises:
        InputError: the folder cannot be written.
    """
    from robust.runner.store import write_atomically

    path = run / "report.html"
    try:
        write_atomically(path, render(results, "html"))
    except OSError as error:
        raise InputError(
            f"The report cannot be written to '{path}': {error.strerror}. Name a folder that can."
        ) from error
    return path
