"""`robust attack` and `robust sanitize`: poison or clean a log, and write it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust import completion as known
from robust.commands.options import ColumnsOption, SeedOption, SetOption, parse_columns, parse_settings
from robust.commands.printing import write_rows


def attack(
    name: Annotated[str, typer.Argument(help="A poisoning attack's name.", autocompletion=known.log_attacks)],
    log: Annotated[str, typer.Option("--log", help="Interaction log.", autocompletion=known.logs)],
    goal: Annotated[str, typer.Option(help="promote:ITEM[,ITEM…] or promote:cold*5.")],
    budget: Annotated[str, typer.Option(help="users=1%[,profile_length=20].")],
    out: Annotated[Path, typer.Option("--out", help="CSV or Parquet file to write.")],
    set_: SetOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write the poisoned log."""
    from robust.workbench import write_attacked

    said = write_attacked(
        name,
        log,
        goal=goal,
        budget=budget,
        out=out,
        settings=parse_settings(set_),
        columns=parse_columns(columns),
        seed=seed,
    )
    write_rows(said, False)


def sanitize(
    name: Annotated[str, typer.Argument(help="A sanitiser's name.", autocompletion=known.sanitizers)],
    log: Annotated[str, typer.Option("--log", help="Interaction log.", autocompletion=known.logs)],
    out: Annotated[Path, typer.Option("--out", help="CSV or Parquet file to write; scores go beside it.")],
    set_: SetOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write the kept log and the suspicion scores."""
    from robust.workbench import write_sanitized

    said = write_sanitized(name, log, out=out, settings=parse_settings(set_), columns=parse_columns(columns), seed=seed)
    write_rows(said, False)
