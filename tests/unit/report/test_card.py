"""The robustness card: front matter that YAML reads, a body that Markdown reads, and nothing hidden."""

from __future__ import annotations

import io
from typing import Any

from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from robust.report import render
from robust.runner.results import Results
from tests.unit.report.example import COMMAND, example
from tests.unit.report.hostile import PAYLOAD, hostile_example
from tests.unit.report.test_defense_sections import priced

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def split(results: Results) -> tuple[dict[str, Any], str]:
    """Front matter, as a model hub cuts it off, and the body."""
    text = render(results, "card")
    lines = text.split("\n")
    assert lines[0] == "---"
    end = lines.index("---", 1)
    front = YAML(typ="safe", pure=True).load(io.StringIO("\n".join(lines[1:end])))
    assert isinstance(front, dict)
    return front, "\n".join(lines[end + 1 :])


def test_front_matter_holds_clean_quality_and_the_worst_case_of_each_threat() -> None:
    review = example()
    front, _ = split(review)
    assert front["datasets"] == ["flights"]
    (model,) = front["model-index"]
    assert model["name"] == "gru4rec"
    (result,) = model["results"]
    assert result["task"]["type"]
    assert result["dataset"] == {"type": "flights", "name": "flights"}
    clean = {one["type"]: one["value"] for one in result["metrics"] if "args" not in one}
    assert clean == review.victims[0].metrics
    worst = {one["args"]["threat"]: one for one in result["metrics"] if "args" in one}
    edited = min(
        cell.metrics["ndcg@10"].attacked
        for cell in review.cells
        if cell.threat == "edited-history" and cell.defense == "none"
    )
    assert worst["edited-history"]["value"] == round(edited, 6)
    assert worst["edited-history"]["args"]["verdict"] == "FAIL"


def test_the_body_says_what_was_tested_what_broke_what_to_do_and_what_was_not_tested() -> None:
    _, body = split(example())
    tokens = PARSER.parse(body)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == [
        "Robustness",
        "What broke",
        "What to do",
        "What was tested",
        "What was not tested",
        "How to reproduce",
    ]
    for line in example().not_tested:
        assert line in body
    for text in (COMMAND, "AML.T0015", "NISTAML.022", "seeds 0, 1 and 2", "adaptive", "Certificate: none", "critical"):
        assert text in body
    assert body.lstrip().startswith("## Robustness\n\n**FAIL on 2 of 4 threats")


def test_every_threat_has_a_row_with_bound_interval_and_verdict() -> None:
    review = example()
    _, body = split(review)
    lines = [line for line in body.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(review.threats)
    for line, threat in zip(lines, review.threats, strict=True):
        assert threat.title in line
        assert f"**{threat.verdict}**" in line
        assert "at most" in line
        assert "…" in line


def test_the_remedy_comes_with_its_price() -> None:
    _, body = split(priced())
    assert "of NDCG@10 on clean data" in body


def test_a_review_that_broke_nothing_says_nothing_of_breaking() -> None:
    review = example()
    held = review.model_copy(update={"cells": [cell for cell in review.cells if cell.verdict == "PASS"]})
    _, body = split(held)
    assert "What broke" not in body
    assert "What was not tested" in body


def test_hostile_names_stay_text_in_both_parts() -> None:
    front, body = split(hostile_example())
    assert set(front) == {"tags", "datasets", "model-index"}
    assert front["model-index"][0]["name"].startswith(PAYLOAD[:20])
    tokens = [child for token in PARSER.parse(body) for child in [token, *(token.children or [])]]
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "s_open", "em_open"}
    own = [token.type for token in PARSER.parse(split(example())[1])]
    assert [token.type for token in PARSER.parse(body)].count("heading_open") == own.count("heading_open")
    assert [token.type for token in PARSER.parse(body)].count("tr_open") == own.count("tr_open")


def test_a_text_that_looks_like_the_end_of_front_matter_ends_nothing() -> None:
    review = example()
    victims = [one.model_copy(update={"victim": "---\nevil: true\n---\n# forged"}) for one in review.victims]
    dataset = review.dataset.model_copy(update={"name": "---\n# forged"})
    front, body = split(review.model_copy(update={"victims": victims, "dataset": dataset}))
    assert front["datasets"] == ["--- # forged"]
    assert "evil" not in front
    assert front["model-index"][0]["name"] == "--- evil: true --- # forged"
    assert body.lstrip().startswith("## Robustness")
