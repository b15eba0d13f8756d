"""The report on a terminal: the headline, per threat a line, what broke and how grave it is, and the cells in a compact
table; then where the rest lies.

Texts become `rich.text.Text`, never markup. Between 60 and any number of columns nothing is cut off: names fold.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robust.report.detection import sights
from robust.report.findings import Broken, broken
from robust.report.price import choices
from robust.report.rows import Group, Row, findings, groups
from robust.report.severity import Level
from robust.report.text import VERDICT_WORDS, plural, presentable
from robust.runner.results import Results, Verdict

STYLES: dict[Verdict, str] = {
    "PASS": "cyan",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "NOT_APPLICABLE": "dim",
    "ERROR": "bold magenta",
}
SHORT: dict[Verdict, str] = {**VERDICT_WORDS, "INCONCLUSIVE": "INCONCL.", "NOT_APPLICABLE": "N/A"}
GRAVITY: dict[Level, str] = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}
ROOMY = 110
MOST = 3  # findings of a threat that are told in words; the table below them has all


def render_console(results: Results, width: int = 100) -> str:
    """What `print_console` shows, without colours."""
    buffer = io.StringIO()
    print_console(results, console=Console(file=buffer, width=width, color_system=None, force_terminal=False))
    return buffer.getvalue()


def print_console(results: Results, run: Path | None = None, *, console: Console | None = None) -> None:
    """Print the report at the console's width.

    Args:
        run: the run folder, whose `report.html` the last line points to; None if none was written.
        console: where to print; standard output by default.
    """
    console = console or Console()
    shown = presentable(results)
    arranged = groups(shown)
    console.print()
    console.print(Text.assemble(_word(shown.verdict), "  ", (shown.title, "bold")))
    console.print(Text(shown.headline, style="bold"))
    console.print(Text(shown.explanation))
    console.print()
    told = {one.number: one for one in broken(shown, arranged, MOST)}
    for group in arranged:
        _print_group(group, told.get(group.number), console)
    _print_defenses(shown, arranged, console)
    _print_end(shown, arranged, console)
    if run is not None:
        console.print(Text.assemble("Report: ", (str(run / "report.html"), "bold")), soft_wrap=True)


def _word(verdict: Verdict, words: dict[Verdict, str] = VERDICT_WORDS) -> Text:
    return Text(words[verdict], style=STYLES[verdict])


def _print_group(group: Group, told: Broken | None, console: Console) -> None:
    console.print(Text.assemble(_word(group.threat.verdict), "  ", (group.threat.title, "bold")))
    line = Text(f"{group.bound}; " if group.bound else "")
    if group.worst is not None:
        line.append(f"worst {_change(group.worst)} by {group.worst.attempt}")
    else:
        line.append(group.threat.summary or "nothing was measured")
    console.print(Padding(line, (0, 0, 0, 2), expand=False))
    if told is not None:
        _print_broken(told, console)
    if group.rows:
        console.print(Padding(_table(group.rows, roomy=console.width >= ROOMY), (0, 0, 1, 2), expand=False))
    undecided = [row for row in group.rows if row.reason and row.cell.verdict not in ("PASS", "FAIL")]
    for text in dict.fromkeys(row.reason for row in undecided):
        numbers = ", ".join(str(row.number) for row in undecided if row.reason == text)
        console.print(Padding(Text(f"{numbers}: {text}"), (0, 0, 0, 2), expand=False))
    console.print()


def _print_broken(told: Broken, console: Console) -> None:
    """Severity and breaking budget of the gravest findings, what they are called elsewhere, and what to do."""
    for one in told.findings:
        level = one.severity.level if one.severity else "low"
        accepted = " (accepted)" if one.accepted else ""
        line = Text.assemble((level, GRAVITY[level]), f"{accepted}: {one.series.attack} on {one.where}, {one.breaking}")
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
    known = ", ".join(str(entry) for entry in (*told.techniques, *told.classes))
    lines = [f"{plural(told.left, 'more finding')} in the report."] if told.left else []
    lines.append(f"Taxonomy: {known}")
    lines += [f"What to do ({victim}): {sentence}" for victim, sentence in told.advice]
    for said in lines:
        console.print(Padding(Text(said), (0, 0, 0, 2), expand=False))


def _table(rows: list[Row], *, roomy: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("attack", overflow="fold")
    table.add_column("defence", overflow="fold")
    table.add_column("budget", overflow="fold")
    if roomy:
        table.add_column("clean → attacked", justify="right", no_wrap=True)
    table.add_column("change", justify="right", no_wrap=True)
    if roomy:
        table.add_column("noise floor", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        defense = "–" if row.cell.defense == "none" else row.cell.defense
        if row.planning and row.cell.defense != "none":
            defense += f", {row.planning}"
        cells = [str(row.number), row.attack, defense, row.budget]
        cells += [row.figures.level] if roomy else []
        cells.append(_change(row))
        cells += [row.figures.null] if roomy else []
        verdict = _word(row.cell.verdict, VERDICT_WORDS if roomy else SHORT)
        verdict.append("*" if row.cell.accepted else "", style="")
        table.add_row(*(Text(cell) for cell in cells), verdict)
    return table


def _change(row: Row) -> str:
    return f"{row.figures.change} ({row.figures.interval})" if row.figures.interval else row.figures.change


def _print_defenses(results: Results, arranged: list[Group], console: Console) -> None:
    """A line to decide by and a table for each threat, then a line for each attack that a sanitiser met."""
    for one in choices(results, arranged):
        console.print(Text.assemble("Defences  ", (one.threat, "bold")))
        console.print(Padding(Text(one.sentence), (0, 0, 0, 2), expand=False))
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("defence", overflow="fold")
        for name in ("worst case", "clean NDCG lost", "removed", "training", "serving"):
            table.add_column(name, justify="right", overflow="fold")
        for row in one.rows:
            cells = [row.name, row.worst, row.lost[0], row.removed, row.training[0], row.serving[0]]
            table.add_row(*(Text(cell, style="bold" if row.best else "") for cell in cells))
        console.print(Padding(table, (0, 0, 1, 2), expand=False))
    for sight in sights(results):
        line = f"{sight.result.defense} on {sight.attack}: AUC {sight.auc}, {sight.caught} of the fake users caught, "
        console.print(Text(f"{line}{sight.accused} of the genuine ones accused"))
    if results.detections:
        console.print()


def _print_end(results: Results, arranged: list[Group], console: Console) -> None:
    accepted = [row for group in arranged for row in group.rows if row.cell.accepted]
    if accepted:
        console.print(Text(f"* {plural(len(accepted), 'finding')} accepted in the scenario:"))
        for row in accepted:
            console.print(Padding(Text(f"{row.number}: {row.cell.accepted}"), (0, 0, 0, 2), expand=False))
    found = findings(results, arranged)
    if found:
        names = ", ".join(finding.name.replace("_", " ") for finding in found)
        console.print(Text(f"{plural(len(found), 'flag')} on the evaluation: {names} (docs/flags.md)", style="yellow"))
    if results.not_tested:
        console.print(Text(f"Not tested: {plural(len(results.not_tested), 'limit')}, listed in the report."))
