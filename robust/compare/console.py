"""A comparison on a terminal, and as Markdown for a comment on a pull request. Texts from files stay texts."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from robust.compare.record import CellComparison, Comparison, Outcome
from robust.compare.words import amount, levels, name_of, span
from robust.metrics.registry import metric_name
from robust.report.markdown import MAX_CHARACTERS, code, escape, table
from robust.visible import one_line

STYLES: dict[Outcome, str] = {"worse": "bold red", "can't be told": "yellow", "better": "green", "not worse": "cyan"}
WORDS: dict[Outcome, str] = {
    "worse": "WORSE",
    "can't be told": "CAN'T TELL",
    "better": "BETTER",
    "not worse": "NOT WORSE",
}
HEADS = ("outcome", "attack", "base", "candidate", "loss under attack", "falls deeper by")

ROOMY = 110


def presentable(comparison: Comparison) -> Comparison:
    """The same with every text made visible, on one line."""

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return one_line(value)
        if isinstance(value, list):
            return [shown(one) for one in value]
        return {key: shown(one) for key, one in value.items()} if isinstance(value, dict) else value

    return Comparison.model_validate(shown(comparison.model_dump(by_alias=True)))


def _row(cell: CellComparison) -> list[str]:
    deeper = span(cell.kind, cell.deeper)
    return [name_of(cell), levels(cell, "base"), levels(cell, "candidate"), span(cell.kind, cell.loss), deeper]


def _margin(comparison: Comparison, threat: str) -> str:
    cell = next(cell for cell in comparison.cells if cell.threat == threat)
    return f"{metric_name(cell.metric)}, margin {amount(cell.kind, cell.margin)}"


def _facts(comparison: Comparison) -> list[str]:
    base, candidate = comparison.base, comparison.candidate
    limits = f"Limits are one-sided at {1 - comparison.alpha:.0%}, each; worse and better hold over all cells together."
    return [
        f"Base: {base.run} ({base.finished}); candidate: {candidate.run} ({candidate.finished}).",
        comparison.seeds,
        limits,
    ]


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print it at the console's width."""
    console, shown = console or Console(), presentable(comparison)
    console.print(Text.assemble((WORDS[shown.outcome], STYLES[shown.outcome]), "  ", (shown.headline, "bold")))
    for threat in shown.threats:
        console.print()
        console.print(Text(f"{threat.title} ({_margin(shown, threat.threat)})", style="bold"))
        grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        heads = HEADS if console.width >= ROOMY else HEADS[:-1]
        for head in heads:
            grid.add_column(head, overflow="fold", no_wrap=head != "attack")
        own = [cell for cell in shown.cells if cell.threat == threat.threat]
        for cell in own:
            texts = map(Text, _row(cell)[: len(heads) - 1])
            grid.add_row(Text(WORDS[cell.outcome], style=STYLES[cell.outcome]), *texts)
        console.print(grid)
        for cell in own:
            if cell.outcome != "not worse":
                console.print(Text(f"{name_of(cell)}: {cell.reason}"))
    console.print()
    for line in shown.missing:
        console.print(Text(f"not compared: {line}", style="yellow"))
    for line in (*shown.notes, *_facts(shown)):
        console.print(Text(line, style="dim"))


def render_markdown(comparison: Comparison) -> str:
    """A comment: the answer, a line per threat, and the cells folded away; fewer of them where it grows too long."""
    shown = presentable(comparison)
    for most in (None, 50, 10, 0):
        text = _document(shown, most)
        if len(text) <= MAX_CHARACTERS:
            return text
    return text[:MAX_CHARACTERS].rpartition("\n")[0] + "\n"


def _document(shown: Comparison, most: int | None) -> str:
    threats = [[f"**{WORDS[t.outcome]}**", escape(t.title), escape(t.summary)] for t in shown.threats]
    parts = [
        f"## Robustness: {WORDS[shown.outcome]}",
        f"**{escape(shown.headline)}**",
        table(("outcome", "threat", "most telling cell"), threats),
    ]
    gravest = sorted(shown.cells, key=lambda cell: list(WORDS).index(cell.outcome))
    cells = gravest if most is None else gravest[:most]
    rows = [[WORDS[c.outcome], escape(c.threat), *map(escape, _row(c)), escape(c.reason)] for c in cells]
    if rows:
        heads = (HEADS[0], "threat", *HEADS[1:], "why")
        left = len(shown.cells) - len(rows)
        more = f"\n\n{left} more cells are in the run folders." if left else ""
        parts.append(f"<details><summary>{len(rows)} cells</summary>\n\n{table(heads, rows)}{more}\n\n</details>")
    listed = [f"- not compared: {escape(line)}" for line in shown.missing[:50]]
    listed += [f"- {escape(line)}" for line in (*shown.notes, *_facts(shown)[1:])]
    base, candidate = shown.base, shown.candidate
    listed.append(f"- base {code(base.run)} ({escape(base.finished)}), candidate {code(candidate.run)}")
    return "\n\n".join([*parts, "\n".join(listed)]) + "\n"
