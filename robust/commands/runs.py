"""`robust report` and `robust compare`: what stands in run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from robust.commands.options import NamesOption
from robust.commands.printing import write


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    format: Annotated[
        Literal["console", "html", "md", "json", "junit", "sarif", "csv", "parquet", "card"],
        typer.Option(help="Which form."),
    ] = "console",
    out: Annotated[Path | None, typer.Option("--out", help="Write it to this file instead.")] = None,
    names: NamesOption = None,
) -> None:
    """Print a run's report in another form, or write it to a file."""
    from robust.report import render, write_form
    from robust.report.console import print_console
    from robust.runner.export import read_results

    results = read_results(run)
    if names is not None:
        from robust.runner.targets import with_names

        results = with_names(results, Path(names))
    if out is not None:
        write_form(results, format, out)
    elif format == "console":
        print_console(results, run)
    else:
        write(render(results, format))


def compare(
    base: Annotated[Path, typer.Argument(help="The run folder of the version that is in use.")],
    candidate: Annotated[Path, typer.Argument(help="The run folder of the new version.")],
    margin: Annotated[str, typer.Option(help="Quality under attack that may be lost, of the base's.")] = "10%",
    exposure_margin: Annotated[str, typer.Option(help="Exposure that may be added, in percentage points.")] = "2pp",
    format: Annotated[Literal["console", "md", "json"], typer.Option(help="Which form.")] = "console",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; the same as --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 if something can't be told.")] = False,
) -> None:
    """Is a new version less robust? Exit code 1 if it is shown to be, 2 if the runs can't be compared."""
    from robust.compare import Margins
    from robust.compare import compare as compare_runs
    from robust.compare.console import print_comparison, render_markdown

    margins = Margins.parse(margin, exposure_margin)
    found = compare_runs(base, candidate, margins)
    if as_json or format == "json":
        write(found.model_dump_json(by_alias=True, indent=1))
    elif format == "md":
        write(render_markdown(found))
    else:
        print_comparison(found)
    raise typer.Exit(found.exit_code(strict=strict))
