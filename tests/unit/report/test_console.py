"""The report on a terminal: complete at every width, and no name can style it or move the cursor."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from robust.report import render
from robust.report.console import print_console, render_console
from tests.unit.report.example import example
from tests.unit.report.hostile import hostile_example


@pytest.mark.parametrize("width", [60, 80, 100, 130, 200])
def test_fits_any_width(width: int) -> None:
    lines = render_console(example(), width).splitlines()
    assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [80, 130])
def test_headline_first_then_threats_then_flags(width: int) -> None:
    text = " ".join(render_console(example(), width).split())
    assert text.startswith(f"FAIL {example().title} {example().headline} ")
    for threat in example().threats:
        assert f"{threat.verdict} {threat.title}" in text
    assert "worst +3.4 pp (1.1…5.6) by bandwagon, 3% fake users" in text
    assert "3 flags on the evaluation: seed outlier, genuine users removed, no better than control" in text
    assert "1 finding accepted in the scenario: 13: serving checks sessions by hand" in text
    for cell in example().cells:
        assert cell.verdict in ("PASS", "FAIL") or cell.reason in text


@pytest.mark.parametrize("width", [60, 100, 130])
def test_tells_how_grave_it_is_what_it_is_called_and_what_to_do(width: int) -> None:
    text = " ".join(render_console(example(), width).split())
    assert "critical: substitution on gru4rec, no defence, from 1 edit on (71.3%, 67.9…74.7)" in text
    assert "Taxonomy: AML.T0015 Evade AI Model, NISTAML.022 Evasion" in text
    assert "What to do (gru4rec): No defence is shown to hold the bound." in text
    cells = [one.model_copy(update={"accepted": "known"}) for one in example().cells]
    assert "critical (accepted): substitution" in render_console(example().model_copy(update={"cells": cells}), 130)


def test_a_row_for_each_cell() -> None:
    lines = [line.split() for line in render_console(example(), 130).splitlines()]
    numbers = [int(words[0]) for words in lines if words[1:2] != ["flags"] and words[:1] and words[0].isdigit()]
    assert numbers == list(range(1, len(example().cells) + 1))


def test_names_are_neither_markup_nor_terminal_escapes() -> None:
    text = render_console(hostile_example(), 120)
    assert "[red]markup[/red]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    coloured = io.StringIO()
    print_console(example(), console=Console(file=coloured, force_terminal=True, width=100))
    assert "\x1b[" in coloured.getvalue()


def test_says_where_the_report_lies() -> None:
    printed = io.StringIO()
    run = Path("a-very-long-folder-name") / "that-would-be-folded-in-a-narrow-terminal"
    print_console(example(), run, console=Console(file=printed, width=40))
    assert f"Report: {run / 'report.html'}\n" in printed.getvalue()
    assert "Report:" not in render(example(), "console")
