"""`robust init`: files to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.commands.printing import write


def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
    run: Annotated[
        Path | None, typer.Option("--from", help="A run folder: its scenario, with bounds from what it measured.")
    ] = None,
) -> None:
    """Write a scenario, a test, a recommender and an attack to start from. Nothing is overwritten."""
    from robust.starter import proposed, starter, write_files

    for path in write_files(folder, starter() if run is None else proposed(run, folder)):
        write(str(path))
