"""`robust leaderboard`: parse, call, print, return a code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from robust.errors import InputError, UnknownName

app = typer.Typer(no_args_is_help=True, help="Rows of defences: add a review's, show them, make a page of them.")

FOLDER = Path("leaderboard")
FolderArgument = Annotated[Path, typer.Argument(help="The folder of rows.")]


@app.command()
def add(
    run: Annotated[Path, typer.Argument(help="A run folder of robust review.")],
    to: Annotated[Path, typer.Option("--to", help="The folder of rows.")] = FOLDER,
    defense: Annotated[str | None, typer.Option(help="This defence's rows only.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a row that says something else.")] = False,
) -> None:
    """Write a row for each victim behind each defence; refuse what was not soundly evaluated (exit code 2)."""
    from robust.leaderboard.refusal import rows_of
    from robust.leaderboard.rows import write_row
    from robust.runner.export import checksum_of, read_results

    results = read_results(run)
    known = {cell.defense for cell in results.cells}
    if defense is not None and defense not in known:
        raise UnknownName("defence in this run", defense, known)
    rows, refused = rows_of(results, checksum=checksum_of(run), defense=defense)
    for row in rows:
        said = write_row(row, to, replace=replace)
        sys.stdout.write(f"{said}: {to / row.file_name}\n")
    if refused:
        listed = "".join(f"\n  {what}: {why}" for what, why in refused.items())
        raise InputError(f"{len(refused)} of what this review measured cannot stand in the leaderboard:{listed}")
    if not rows:
        raise InputError(f"The review in '{run}' measured nothing that a row could be made of.")


@app.command()
def show(
    folder: FolderArgument = FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """The tables: for each threat and victim the best worst case first, and the Pareto front (*)."""
    from robust.leaderboard.board import as_json as rows_as_json
    from robust.leaderboard.board import tables
    from robust.leaderboard.rows import read_rows

    rows = read_rows(folder)
    if as_json:
        sys.stdout.write(json.dumps(rows_as_json(rows), indent=1, ensure_ascii=False) + "\n")
        return
    from robust.leaderboard.console import print_table

    for table in tables(rows):
        print_table(table)
    if not rows:
        sys.stdout.write(f"There are no rows in '{folder}' yet: robust leaderboard add RUN --to {folder}\n")


@app.command()
def page(
    folder: FolderArgument = FOLDER,
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("leaderboard.html"),
) -> None:
    """The tables with their Pareto pictures, as one HTML file."""
    from robust.leaderboard.page import render_page
    from robust.leaderboard.rows import read_rows
    from robust.runner.store import write_atomically

    content = render_page(read_rows(folder))
    try:
        write_atomically(out, content)
    except OSError as error:
        raise InputError(f"The page cannot be written to '{out}': {error.strerror}. Name another file.") from error
    sys.stdout.write(f"{out}\n")
