"""What a command shows in a terminal while it runs, and small tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from robust.visible import one_line

if TYPE_CHECKING:
    from robust.runner.looks import Progress
    from robust.runner.step import Step


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar over the steps of a review on standard error; silent where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("preparing", total=None)

        def tell(done: int, total: int, step: Step | None) -> None:
            said = "starting" if step is None else f"done: {one_line(step.label)}"
            bar.update(task, completed=done, total=total, description=said)

        yield tell


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """A plain table; its columns are the keys of the first row."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        sys.stdout.write("nothing to list\n")
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name == "name")
    for row in rows:
        table.add_row(*(Text(one_line(str(row.get(name, "")))) for name in names))
    Console().print(table)
