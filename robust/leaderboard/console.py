"""A table of the leaderboard on a terminal."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from robust.leaderboard.board import Table, printable
from robust.metrics.registry import metric_name
from robust.report.console import ROOMY
from robust.visible import one_line

WHOLE = ("", "clean", "worst case", "lost", "verdict")
"""Columns that are not broken."""


def print_table(table: Table, console: Console | None = None) -> None:
    """Heading, entries, and what is to be known of them."""
    console = console or Console()
    trial = table.trial
    console.print(Text(one_line(f"{table.title}: {table.victim} on {table.dataset}"), style="bold"))
    clean, worst = metric_name(trial.clean.metric), metric_name(trial.worst.metric)
    measured = f"clean: {clean}; worst case: {worst}, {trial.better} is better"
    console.print(Text(f"{measured}; bound: {table.bound}; * on the Pareto front"))
    console.print(Text(one_line(table.answer)))
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    rows = printable(table, roomy=console.width >= ROOMY)
    for name in rows[0]:
        right = name in ("clean", "worst case", "lost")
        justify: Literal["left", "right"] = "right" if right else "left"
        least = 13 if name in ("defence", "by") else None
        grid.add_column(name, overflow="fold", no_wrap=name in WHOLE, justify=justify, min_width=least)
    for row in rows:
        grid.add_row(*(Text(one_line(value)) for value in row.values()))
    console.print(grid)
    for entry in table.entries:
        for attack, why in entry.missed.items():
            console.print(Text(one_line(f"† {entry.name} was not met by {attack}: {why}")))
    for flag, names in table.noted.items():
        console.print(Text(one_line(f"{flag}: {', '.join(names)}"), style="dim"))
    for name, why in table.refused.items():
        console.print(Text(one_line(f"refused: {name}: {why}"), style="yellow"))
    if table.mixed:
        console.print(Text(f"rows of different versions, compare with care: {'; '.join(table.mixed)}", style="yellow"))
    console.print()
