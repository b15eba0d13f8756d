"""What a comparison says, on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import pytest

from robust.compare.console import print_comparison, render_markdown
from robust.compare.record import Comparison
from tests.unit.compare.example import compared, run


def test_hostile_names_stay_names() -> None:
    hostile = "<script>|\x1b[31m\u202e@team"
    candidate = run((0.2, 0.1), victim=hostile, folder="x|y`z")
    candidate.results.threats[0].title = hostile
    for cell in candidate.results.cells:
        cell.attack = "a|b\n# c"
    base = run(victim=hostile)
    for cell in base.results.cells:
        cell.attack = "a|b\n# c"
    text = render_markdown(compared(base, candidate))
    assert "<script>" not in text
    assert not {"\x1b", "\u202e"} & set(text)
    assert "\n# c" not in text
    rows = [line for line in text.splitlines() if line.startswith("| WORSE")]
    assert len(rows) == 2
    assert {line.replace("\\|", "").count("|") for line in rows} == {9}


def test_the_console_says_what_the_markdown_says(capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compared(run(), run((0.2, 0.2)))
    print_comparison(comparison)
    shown = " ".join(capsys.readouterr().out.split())
    for text in (shown, " ".join(render_markdown(comparison).split())):
        assert comparison.headline in text
        assert "WORSE" in text
        assert "compared seed by seed" in text
    assert f"{comparison.cells[0].base_attacked:.3f}" in shown


def test_a_comparison_reads_back() -> None:
    comparison = compared(run(), run((0.2, 0.2)))
    assert Comparison.model_validate_json(comparison.model_dump_json(by_alias=True)) == comparison
