"""The Markdown report, read by a CommonMark parser: complete, and nothing but text comes out of names."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from robust.report import render
from robust.report.markdown import MAX_CHARACTERS, WORD_JOINER, code, escape, fenced
from robust.runner.results import Results
from tests.unit.report.example import COMMAND, example
from tests.unit.report.hostile import PAYLOAD, hostile_example
from tests.unit.report.test_html import many

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OWN_HTML = re.compile(r"<details><summary>\d+ cells?, seeds [\d, and–]+</summary>\n?|</details>\n?")


def tokens(text: str) -> list[Token]:
    """Block tokens and the inline tokens in them."""
    found: list[Token] = []
    for token in PARSER.parse(text):
        found += [token, *(token.children or [])]
    return found


def shown(text: str) -> str:
    """What a reader sees, without markup."""
    return " ".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "fence"))


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, its head first."""
    found: list[list[list[str]]] = []
    for token in PARSER.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level > 3:
            found[-1][-1].append(token.content)
    return found


def few(results: Results) -> Results:
    """Two cells of one threat, so that hostile names need not be shortened to fit."""
    threat = results.threats[2]
    cells = [cell for cell in results.cells if cell.id in threat.cells]
    return results.model_copy(update={"cells": cells, "threats": [threat]})


def cell_tables(text: str) -> list[list[list[str]]]:
    return [table for table in tables(text) if table[0][-1] == "Verdict"]


def test_opens_with_the_verdict_and_the_headline() -> None:
    lines = render(example(), "md").splitlines()
    assert lines[0] == "## FAIL: Fake users and edited histories"
    assert lines[2] == f"**{example().headline}**"


def test_a_row_for_each_cell_and_every_row_as_wide_as_the_head() -> None:
    text = render(example(), "md")
    bodies = [row for table in cell_tables(text) for row in table[1:]]
    assert [int(row[0]) for row in bodies] == list(range(1, len(example().cells) + 1))
    for table in tables(text):
        assert {len(row) for row in table} == {len(table[0])}


def test_holds_every_id_reason_flag_and_the_command() -> None:
    text = shown(render(example(), "md"))
    for cell in example().cells:
        assert cell.id in text
        assert cell.reason in text
        for flag in cell.flags:
            assert flag.cause in text
            assert flag.remedy in text
    for line in [*example().not_tested, COMMAND, "serving checks sessions by hand"]:
        assert line in text
    for word in ("PASS", "FAIL", "INCONCLUSIVE", "NOT APPLICABLE", "ERROR"):
        assert word in text


def test_hostile_names_stay_text() -> None:
    review = few(hostile_example())
    text = render(review, "md")
    assert len(text) <= MAX_CHARACTERS
    kinds = {token.type for token in tokens(text)}
    assert not kinds & {"link_open", "image", "s_open"}
    for token in tokens(text):
        if token.type in ("html_block", "html_inline"):
            assert OWN_HTML.fullmatch(token.content)
    (table,) = cell_tables(text)
    assert len(table) == 1 + len(review.cells)
    assert {len(row) for row in table} == {len(table[0])}
    assert not any("http://" in content or "www." in content for row in table for content in row)


def test_own_emphasis_is_all_the_emphasis_there_is() -> None:
    emphases = [t for t in tokens(render(few(hostile_example()), "md")) if t.type == "em_open"]
    assert len(emphases) == len({flag.name for cell in few(example()).cells for flag in cell.flags})


@pytest.mark.parametrize(
    "text",
    [
        "a|b", "`x` ``y", "*a* _b_ ~~c~~", "<b>x</b>", "[x](y) ![i](j)", "# h", "1. a", "- a", "+ a", "> q", "a\\",
        "&amp; &lt;", "=", "---", "| a |", "$x$", "1) a", ":::", "=== a", "    code",
    ],
)  # fmt: skip
def test_escaped_text_renders_as_itself(text: str) -> None:
    assert PARSER.render(escape(text)).strip() == f"<p>{_html(' '.join(text.split()))}</p>"
    (table,) = tables(f"| a | b |\n| --- | --- |\n| {escape(text)} | 2 |\n")
    assert len(table[1]) == 2


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def test_escaped_text_pings_nobody_and_links_nowhere() -> None:
    text = escape("@someone and a@b, http://evil.example www.evil.example #12")
    assert not re.search(r"(^|\W)@\w", text)
    assert "http://" not in text
    assert "www." not in text
    assert not re.search(r"#\w", text)  # GitHub links it behind a backslash too
    assert f"\\#{WORD_JOINER}12" in text
    for told in ("GH-12", "ann@evil.example", "closes #3", "group/shop#4", "%5"):
        assert not re.search(r"(?i)gh-\d|@\w|[#%]\w", escape(told))
    assert escape("ndcg@10") == "ndcg@10"


def test_code_cannot_be_closed_by_its_content() -> None:
    for text in ("a", "`", "``", "a ``` b", PAYLOAD.replace("\n", " ").replace("\x00", "").replace("\ud800", "")):
        kinds = [token.type for token in tokens(code(text).replace("\\|", "|"))]
        assert kinds.count("code_inline") == 1
        assert "text" not in [token.type for token in tokens(code(text)) if token.content.strip()]
        (block,) = [token for token in tokens(fenced(text + "\n```\n````")) if token.type != "inline"]
        assert block.type == "fence"


def test_a_large_review_fits_into_a_comment() -> None:
    text = render(many(40), "md")
    assert len(text) <= MAX_CHARACTERS
    assert "cells are left out here" in text
    assert "What was not tested" in text
    kept = [row for table in cell_tables(text) for row in table[1:]]
    assert kept
    assert sum("FAIL" in row[-1] for row in kept) >= 10


def test_the_overview_tells_the_severity_of_the_gravest_finding() -> None:
    text = render(example(), "md")
    for said in ("**FAIL**, critical", "**FAIL**, medium"):
        assert text.count(said) == 1
    assert "**INCONCLUSIVE** |" in text  # what is not shown to break has none


def test_a_shortened_report_still_says_how_to_reproduce_it() -> None:
    review = many(30)
    for commands, left in ((1, ""), (9, "4 more commands in results.json")):
        cells = [
            one.model_copy(update={"reproduce": f"robust review mine.yaml --seed {place % commands}"})
            for place, one in enumerate(review.cells)
        ]
        text = render(review.model_copy(update={"cells": cells}), "md")
        section = text[text.index("### How to reproduce") :]
        assert section.count("```sh") == min(commands, 5)
        assert "robust review mine.yaml --seed 0" in section
        assert left in section
        assert "<details>" not in section
