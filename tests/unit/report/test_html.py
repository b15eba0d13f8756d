"""The HTML report: complete, well formed, accessible, inert and small."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from markupsafe import escape

from robust.errors import InputError, UnknownName
from robust.report import FORMATS, render, write_report
from robust.report.glossary import words
from robust.report.html import MAX_BYTES
from robust.runner.results import DatasetResult, Results, ThreatResult
from tests.unit.report.example import COMMAND, EXPOSURE, cell, example, unmeasured
from tests.unit.report.hostile import hostile_example

VOID = {"meta", "br", "wbr", "img", "input", "link", "hr", "col"}
HEADINGS = ("h1", "h2", "h3", "h4")


class Page(HTMLParser):
    """Elements in document order, with a check that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]


def text_of(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def shapes(page: Page) -> set[tuple[str, frozenset[str]]]:
    """Kinds of elements by name and attribute names."""
    return {(tag, frozenset(attributes)) for tag, attributes in page.elements}


@pytest.fixture(scope="module")
def source() -> str:
    return render(example(), "html")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_opens_with_the_headline_and_what_it_means(page: Page) -> None:
    text = text_of(page)
    review = example()
    positions = [text.index(part) for part in (review.headline, review.explanation, "Change against budget")]
    assert positions == sorted(positions)


def test_sections_come_in_the_order_in_which_a_reviewer_reads(page: Page) -> None:
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids[:4] == ["findings", "pictures", "cells", "flags"]
    assert ids[4:] == ["clean", "protocol", "reproduce", "not-tested", "words", "environment"]


def test_every_cell_stands_in_a_table_and_can_be_reproduced(page: Page) -> None:
    text, count = text_of(page), len(example().cells)
    for each in example().cells:
        assert each.id in text
        assert each.reason in text
    ids = {attributes.get("id") for attributes in page.all("tr")}
    assert {f"cell-{n}" for n in range(1, count + 1)} <= ids
    assert {f"reproduce-{n}" for n in range(1, count + 1)} <= ids
    assert COMMAND in text


def test_verdicts_are_words(page: Page) -> None:
    text = text_of(page)
    for word in ("PASS", "FAIL", "INCONCLUSIVE", "NOT APPLICABLE", "ERROR"):
        assert word in text


def test_states_flags_accepted_findings_protocol_and_limits(page: Page) -> None:
    text = text_of(page)
    review = example()
    flags = [flag for each in review.cells for flag in each.flags]
    for part in [*(flag.cause for flag in flags), *(flag.remedy for flag in flags), *review.not_tested]:
        assert part in text
    assert text.count("serving checks sessions by hand until the spring release (SEC-114)") >= 2
    assert "kept: items that a user already has" in text
    assert "0.1% of the test items occur in no train row" in text
    assert "Order matters on this log" in text


def test_loads_nothing_and_runs_nothing(source: str, page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "link", "img", "form", "base", "audio", "video"}
    assert "url(" not in source
    assert "@import" not in source
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset", "style", "action") for name in attributes)
        assert not any("://" in value for value in attributes.values())
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))


def test_policy_names_the_one_style_sheet(source: str, page: Page) -> None:
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", source, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_is_accessible(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    levels = [HEADINGS.index(tag) for tag, _ in page.elements if tag in HEADINGS]
    assert levels[0] == 0
    assert levels.count(0) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for a in page.all("a")} <= set(ids)


def test_pictures_are_images_with_a_title_and_a_description(source: str) -> None:
    pictures = [ET.fromstring(svg) for svg in re.findall(r'<svg class="picture.*?</svg>', source, flags=re.S)]
    assert len(pictures) == 2 * len(example().threats)  # a wide and a narrow one
    for svg in pictures:
        title, description = svg.find("title"), svg.find("desc")
        assert svg.get("role") == "img"
        assert title is not None
        assert description is not None
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert "Cell " in (description.text or "")


def test_hostile_text_stays_text() -> None:
    source = render(hostile_example(), "html")
    page, benign = Page(source), Page(render(example(), "html"))
    extra = {tag for tag, _ in shapes(page)} - {tag for tag, _ in shapes(benign)}
    assert extra == set()
    assert shapes(page) - shapes(benign) <= {("td", frozenset({"class", "title"}))}
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert "<script>alert(1)</script>" in text_of(page)
    assert "{{ 7*7 }}" in text_of(page)
    for char in ("\x1b", "\x00", "\u202e", "\ud800"):
        assert char not in source
    source.encode()


def test_bare_results_still_make_a_page() -> None:
    data = DatasetResult(
        name="log", users=0, items=0, rows=0, evaluated_users=0, split="leave-last-out", seen="exclude",
        repeat_share=0.0, unseen_target_share=float("nan"),
    )  # fmt: skip
    bare = Results(
        title="", verdict="NOT_APPLICABLE", headline="", explanation="", dataset=data, victims=[], threats=[], cells=[],
        not_tested=[], scenario={}, command="", environment={},
    )  # fmt: skip
    for form in FORMATS:
        assert render(bare, form).endswith("\n")
    Page(render(bare, "html"))


def test_numbers_that_are_not_finite_are_dashes() -> None:
    broken = cell("t", "a", ("1 edit", 1.0), EXPOSURE, float("nan"), float("inf"), "ERROR", reason="scores hold NaN")
    review = example().model_copy(
        update={"cells": [broken], "threats": [ThreatResult(id="t", title="T", verdict="ERROR", summary="", cells=[])]}
    )
    source = render(review, "html")
    assert "nan" not in text_of(Page(source)).lower().replace("scores hold nan", "")
    assert "scores hold NaN" in source
    for form in FORMATS:
        render(review, form)


def test_a_threat_without_measurement_says_so_instead_of_drawing() -> None:
    missing = unmeasured("t", "pgd", ("ε = 1", 1.0), "NOT_APPLICABLE", "needs gradients")
    threat = ThreatResult(id="t", title="T", verdict="NOT_APPLICABLE", summary="needs gradients", cells=[missing.id])
    page = Page(render(example().model_copy(update={"cells": [missing], "threats": [threat]}), "html"))
    assert not page.all("figure")
    assert "nothing of this threat was measured" in text_of(page)
    assert "needs gradients" in text_of(page)


def many(copies: int) -> Results:
    """The example with its cells many times over, under other ids."""
    review = example()
    cells, threats = [], []
    for threat in review.threats:
        members = [each for each in review.cells if each.threat == threat.id]
        copied = [each.model_copy(update={"id": f"{each.id}#{n}"}) for each in members for n in range(copies)]
        cells += copied
        threats.append(threat.model_copy(update={"cells": [each.id for each in copied]}))
    return review.model_copy(update={"cells": cells, "threats": threats})


def test_a_large_review_fits_into_one_file_and_says_what_it_leaves_out() -> None:
    source = render(many(90), "html")
    assert 1_000_000 < len(source.encode()) <= MAX_BYTES
    assert "seeds' points are left out" in source.replace("&#39;", "'")
    assert source.count('<tr id="cell-') == 90 * len(example().cells)


def test_where_even_the_tables_are_too_large_the_gravest_cells_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robust.report.html.MAX_BYTES", 150_000)
    source = render(many(20), "html")
    assert len(source.encode()) <= 150_000
    assert "10 gravest of 120 cells; results.json holds all" in source
    shown = source.split("10 gravest of 120 cells", 1)[1].split("</table>")[0]
    assert shown.count('<tr id="cell-') == shown.count('class="v-FAIL"') == 10


def test_write_report_files_it_in_the_run_folder(tmp_path: Path, source: str) -> None:
    path = write_report(example(), tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    assert path.read_text(encoding="utf-8") == source
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match=re.escape(str(blocked / "report.html"))):
        write_report(example(), blocked)


def test_an_unknown_format_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'html'"):
        render(example(), "htm")


def schemes() -> dict[str, dict[str, str]]:
    """Custom properties of the style sheet per colour scheme."""
    css = resources.files("robust.report").joinpath("report.css").read_text(encoding="utf-8")
    light, dark, printed = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]+);", block)) for block in re.findall(r":root \{(.*?)\}", css, flags=re.S)
    )
    return {"light": light, "dark": dark, "print": printed}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, definition)."""
    digits = colour[1:] if len(colour) == 7 else "".join(char * 2 for char in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_reaches_aa_in_every_scheme(scheme: str) -> None:
    colours = schemes()[scheme]
    for text in ("ink", "soft", "link", "pass", "fail", "open", "error", "none"):
        for ground in ("paper", "shade", "beyond"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_words_that_are_not_explained_where_they_stand_are_explained_at_the_end() -> None:
    explained = dict(words(example()))
    assert {"NDCG@10", "target HR@10", "pp", "cold*5", "ε", "adaptive", "oblivious", "model-blind"} <= set(explained)
    assert "list of 10" in explained["NDCG@10"]
    assert "transfer" not in explained  # nothing was planned on a surrogate
    text = render(example(), "html")
    for term, meaning in explained.items():
        assert f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" in text


def test_the_findings_hold_the_commands_that_reproduce_them_and_the_overview_their_severity() -> None:
    text = render(example(), "html")
    findings = text[text.index('id="findings"') : text.index('id="pictures"')]
    for one in example().cells:
        if one.verdict == "FAIL":
            assert escape(one.reproduce) in findings
    overview = text[text.index('class="overview') : text.index("<nav")]
    assert overview.count('class="severity s-critical"') == 1
    assert overview.count('class="severity s-medium"') == 1
