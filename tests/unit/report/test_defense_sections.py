"""Defences in a report: which to ship, what it costs, and what a sanitiser saw; nothing of it without prices."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from robust.report import render
from robust.report.detection import SIDE, picture, sights
from robust.report.price import choices, lost
from robust.report.rows import groups
from robust.runner.records import (
    AttackPrice,
    Confusion,
    DefenseResult,
    DetectionResult,
    HarmLeft,
    QualityGroup,
    QualityPrice,
    Rate,
    RocPoint,
)
from robust.runner.results import CellResult, MetricResult, Results, ThreatResult, Verdict
from tests.unit.report.example import EXPOSURE, QUALITY, cell, example, unmeasured
from tests.unit.report.hostile import hostile
from tests.unit.report.test_html import Page, shapes, text_of

NDCG = QualityPrice(plain=0.522, protected=0.502, change=0.0383, low=0.021, high=0.0556)
HR = QualityPrice(plain=0.805, protected=0.8, change=0.0062, low=-0.011, high=0.0234)


def price(defense: str, ndcg: QualityPrice = NDCG, **more: Any) -> DefenseResult:
    """A defence of the example's victim."""
    metrics = {"ndcg@10": ndcg, "hr@10": HR}
    settings: dict[str, Any] = {
        "victim": "gru4rec",
        "defense": defense,
        "stage": "log",
        "cost": "pass over the log",
        "seeds": [0, 1, 2],
        "n_users": 2561,
        "metrics": metrics,
        "by_activity": [QualityGroup(group="4–8 rows", users=700, metrics=metrics)],
        "by_popularity": [QualityGroup(group="tail (221 items)", users=900, metrics=metrics)],
        "model_bytes": {"plain": 210_412, "protected": 420_824},
        "timing": {"fit_plain": 10.0, "fit_protected": 34.2, "fit_ratio": 3.42, "rank_plain": 0.1}
        | {"rank_protected": 0.15, "rank_ratio": 1.5, "memory_plain": 4.8e8, "memory_protected": 5.2e8},
    }
    return DefenseResult(**{**settings, **more})


def detection(cells: list[str]) -> DetectionResult:
    """What pca saw of bandwagon."""
    rates = [Rate(group="all", users=2561, share=0.03)]
    rates += [Rate(group=f"{n}–{n + 1} rows", users=256, share=n / 100, low=0.0, high=n / 50) for n in range(10)]
    return DetectionResult(
        threat="promotion",
        defense="pca",
        attack="bandwagon",
        budget="3% fake users",
        planned_on="none",
        cells=cells,
        seeds=[0, 1, 2],
        auc=0.9312,
        auc_low=0.8814,
        auc_high=0.9633,
        auc_by_seed=[0.92, 0.93, 0.9436],
        tpr_at_1=0.41,
        roc=[RocPoint(fpr=x, tpr=y) for x, y in ((0.0, 0.2), (0.01, 0.41), (0.25, 0.8), (0.5, 0.95), (1.0, 1.0))],
        confusion=Confusion(fake_flagged=57, fake_kept=19, genuine_flagged=76.83, genuine_kept=2484.17),
        false_positives=rates,
        left=[HarmLeft(victim="gru4rec", metric="target_hr@10", plain=0.0335, protected=0.0052, left=0.155)],
    )


def priced() -> Results:
    """The example with prices of two defences and what one of them saw."""
    review = example()
    spent = AttackPrice(accounts=76, rows=988, days=59.6, damage=3.35, accounts_per_point=22.7)
    quality = MetricResult(clean=0.52, attacked=0.51, change=0.02)
    cells = [
        one.model_copy(update={"metrics": {"ndcg@10": quality, **one.metrics}, "price": spent}) if one.metrics else one
        for one in review.cells
    ]
    blind = [one.id for one in cells if one.defense == "pca" and one.planned_on == "none" and "3%" in one.budget]
    removed = [Rate(group="all", users=2561, share=0.0297), Rate(group="4–8 rows", users=700, share=0.071)]
    guard: dict[str, Any] = {"stage": "input", "timing": {"fit_plain": 10.0, "fit_protected": 10.0}}
    update = {
        "cells": cells,
        "defenses": [price("pca", removed=removed), price("surprise", **guard)],
        "detections": [detection(blind)],
    }
    return review.model_copy(update=update)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(priced(), "html"))


def test_without_prices_no_form_shows_anything_new() -> None:
    page = Page(render(example(), "html"))
    assert "defences" not in {attributes["id"] for attributes in page.all("section")}
    assert "#defences" not in {attributes["href"] for attributes in page.all("a")}
    assert "### Defences" not in render(example(), "md")
    assert "Defences" not in render(example(), "console")


def test_the_section_stands_after_the_pictures_and_says_what_each_defence_costs(page: Page) -> None:
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids[:4] == ["findings", "pictures", "defences", "cells"]
    text = text_of(page)
    for part in ("3.8% (2.1…5.6)", "0.6% (−1.1…2.3)"):
        change, interval = part.split(" ")
        assert f"{change} {interval}" in text
    assert "3.0%" in text
    assert "×3.4 34 s" in text
    assert "×1.5 0.1 s per 1,000" in text or "×1.5 0.2 s per 1,000" in text
    assert "peak memory of the process in a fit behind it: 520\u00a0MB".replace("\u00a0", " ") in text.replace(
        "\u00a0", " "
    )
    assert "22.7" not in text, "no more digits than a count of accounts supports"
    assert "23 accounts" in text
    assert "users with 4–8 rows" in text
    assert "next item in the tail (221 items)" in text


def test_a_guard_shares_the_fit_of_the_plain_victim() -> None:
    review = priced()
    (row,) = [row for table in choices(review, groups(review)) for row in table.rows if row.defense == "surprise"]
    assert row.training == ("×1", "10 s")
    assert row.serving[0] == "–"


def planted(*defended: tuple[str, float, Verdict, float], plain: tuple[float, Verdict] = (0.5, "FAIL")) -> Results:
    """One threat: (defence, drop under attack, verdict, clean loss), and no defence."""

    def measured(defense: str, drop: float, verdict: Verdict, clean_loss: float) -> CellResult:
        clean = 0.5 * (1 - clean_loss)
        found = cell("t", "a", ("1 edit", 1.0), QUALITY, drop, 0.01, verdict, defense=defense)
        own = found.metrics["ndcg@10"].model_copy(update={"clean": clean, "attacked": clean * (1 - drop)})
        on = "plain" if defense == "none" else "protected"
        return found.model_copy(update={"metrics": {"ndcg@10": own}, "planned_on": on, "id": f"{defense}-{drop}"})

    cells = [measured("none", *plain, 0.0), *(measured(*one) for one in defended)]
    threat = ThreatResult(id="t", title="T", verdict="FAIL", summary="", cells=[one.id for one in cells])
    prices = [
        price(name, QualityPrice(plain=0.5, protected=0.5 * (1 - x), change=x, low=x - 0.01, high=x + 0.01))
        for name, _, _, x in defended
    ]
    return example().model_copy(update={"cells": cells, "threats": [threat], "defenses": prices})


def shipped(review: Results) -> tuple[list[str], str]:
    (table,) = choices(review, groups(review))
    return [row.name for row in table.rows if row.best], table.sentence


def test_of_those_that_hold_the_cheapest_is_shipped() -> None:
    names, sentence = shipped(planted(("dear", 0.01, "PASS", 0.2), ("cheap", 0.05, "PASS", 0.03)))
    assert names == ["cheap"]
    assert sentence.startswith("Ship cheap: it holds the bound in every cell, at the cost of 3.0% (2.0…4.0)")


def test_a_cost_that_may_be_chance_is_called_so() -> None:
    _, sentence = shipped(planted(("free", 0.01, "PASS", 0.002)))
    assert "cannot be told from none" in sentence


def test_where_none_holds_the_best_worst_case_is_named_but_not_shipped() -> None:
    names, sentence = shipped(planted(("poor", 0.4, "FAIL", 0.0), ("less poor", 0.2, "INCONCLUSIVE", 0.1)))
    assert names == ["less poor"]
    assert sentence.startswith(
        "No defence is shown to hold the bound. The best worst case is that of less poor: 20.0% ("
    )


def test_nothing_is_shipped_where_nothing_is_needed_or_nothing_helps() -> None:
    names, sentence = shipped(planted(("some", 0.01, "PASS", 0.0), plain=(0.02, "PASS")))
    assert names == ["no defence"]
    assert "the bound holds without a defence" in sentence
    names, sentence = shipped(planted(("worse", 0.6, "FAIL", 0.1)))
    assert names == ["no defence"]
    assert "no defence has a better worst case" in sentence


def test_a_defence_that_an_attack_did_not_meet_is_never_shipped() -> None:
    review = planted(("kept away", 0.01, "PASS", 0.0), ("met", 0.3, "FAIL", 0.0))
    other = unmeasured("t", "b", ("1 edit", 1.0), "NOT_APPLICABLE", "no gradients", defense="kept away")
    other = other.model_copy(update={"planned_on": "protected", "id": "other"})
    seen = [
        one.model_copy(update={"attack": "b", "id": f"b-{one.id}"})
        for one in review.cells
        if one.defense != "kept away"
    ]
    (threat,) = review.threats
    cells = [*review.cells, other, *seen]
    threat = threat.model_copy(update={"cells": [one.id for one in cells]})
    names, sentence = shipped(review.model_copy(update={"cells": cells, "threats": [threat]}))
    assert names == ["met"]
    assert "Not every attack was met by kept away" in sentence
    assert "Nothing can be recommended" in choices(priced(), groups(priced()))[0].sentence, "random was kept from pca"


def test_a_loss_that_was_not_measured_is_a_dash() -> None:
    assert lost(None) == "–"
    assert lost(QualityPrice(plain=0.5, protected=0.49, change=0.02)) == "2.0%"


def having(svg: ET.Element, style: str) -> list[ET.Element]:
    return [element for element in svg.iter() if style in (element.get("class") or "").split()]


def test_the_curve_and_the_setting_stand_where_the_rates_say() -> None:
    (sight,) = sights(priced())
    for source in picture(sight, "key"):
        svg = ET.fromstring(source)
        (curve,) = having(svg, "curve")
        places = [tuple(map(float, pair.split(","))) for pair in (curve.get("points") or "").split()]
        (left, bottom), corner = places[0], places[-1]
        assert corner == pytest.approx((left + SIDE, bottom - SIDE))
        shares = [((x - left) / SIDE, (bottom - y) / SIDE) for x, y in places[1:]]
        for share, point in zip(shares, sight.result.roc, strict=True):
            assert share == pytest.approx((point.fpr, point.tpr), abs=0.001)
        (setting,) = having(svg, "setting")
        x, y = (float(setting.get(name, "nan")) + 4 for name in ("x", "y"))
        assert ((x - left) / SIDE, (bottom - y) / SIDE) == pytest.approx((76.83 / 2561, 57 / 76), abs=0.001)


def test_bars_are_as_long_as_the_shares_and_start_at_the_least_active() -> None:
    (sight,) = sights(priced())
    svg = ET.fromstring(picture(sight, "key")[0])
    widths = [float(bar.get("width", "nan")) for bar in having(svg, "rate")]
    assert len(widths) == 10
    assert [width / widths[-1] for width in widths[1:]] == pytest.approx([n / 9 for n in range(1, 10)], abs=0.01)


def test_the_matrix_counts_in_words_and_numbers() -> None:
    (sight,) = sights(priced())
    svg = ET.fromstring(picture(sight, "key")[0])
    assert [count.text for count in having(svg, "count")] == ["57", "19", "76.8", "2,484"]
    assert [text.text for text in having(svg, "said")][::2] == ["caught", "missed", "accused", "left alone"]
    opacity = [float(field.get("fill-opacity", "nan")) for field in having(svg, "cell")]
    assert opacity[0] > opacity[1], "shaded by the share of the row"
    assert opacity[3] > opacity[2]


def test_a_picture_says_in_words_what_it_shows_and_takes_its_colours_from_the_style_sheet() -> None:
    (sight,) = sights(priced())
    for source in picture(sight, "key"):
        svg = ET.fromstring(source)
        said = {element.tag: element.text or "" for element in svg if element.tag in ("title", "desc")}
        assert "pca" in said["title"]
        for part in (
            "AUC 0.93 (0.88…0.96)",
            "41.0%",
            "75.0% are caught",
            "3.0% accused",
            "16% is left",
            "9–10 rows 9.0%",
        ):
            assert part in said["desc"]
        assert not any(element.get("fill") or element.get("stroke") for element in svg.iter())
        width, height = map(float, (svg.get("viewBox") or "").split()[2:])
        for element in svg.iter("text"):
            assert 0 <= float(element.get("x", "nan")) <= width
            assert 0 <= float(element.get("y", "nan")) <= height


def test_every_form_tells_the_same_story() -> None:
    markdown, console = render(priced(), "md"), render(priced(), "console")
    assert "### Defences" in markdown
    sentences = [table.sentence for table in choices(priced(), groups(priced()))]
    assert len(sentences) == 2
    for sentence in sentences:
        assert sentence in markdown
        assert sentence[:60] in " ".join(console.split())
    assert "| pca | bandwagon, 3% fake users, model-blind | 0.93 (0.88…0.96) | 41.0% | 75.0% | 3.0% | 16% |" in markdown
    assert "AUC 0.93 (0.88…0.96), 75.0% of the fake users caught" in " ".join(console.split())


def test_the_page_stays_accessible(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for a in page.all("a")} <= set(ids)
    for svg in page.all("svg"):
        named = svg.get("aria-labelledby", "").split()
        assert set(named) <= set(ids)


def test_hostile_names_stay_text() -> None:
    body = hostile(priced().model_dump(by_alias=True))
    for one in body["defenses"]:
        one["stage"] = "log"
    page = Page(render(Results.model_validate(body), "html"))
    assert "defences" in {attributes["id"] for attributes in page.all("section")}
    assert not {tag for tag, _ in page.elements} & {"script", "img", "iframe"}
    plain = Page(render(priced(), "html"))
    assert {tag for tag, _ in shapes(page)} <= {tag for tag, _ in shapes(plain)} | {"wbr"}
    assert "\u202e" not in render(Results.model_validate(body), "md")


def test_a_threat_without_a_priced_defence_has_no_table() -> None:
    review = planted(("some", 0.01, "PASS", 0.0))
    lone = cell("u", "a", ("1% fake users", 0.01), EXPOSURE, 0.01, 0.01, "PASS")
    threats = [*review.threats, ThreatResult(id="u", title="U", verdict="PASS", summary="", cells=[lone.id])]
    both = review.model_copy(update={"cells": [*review.cells, lone], "threats": threats})
    assert [table.threat for table in choices(both, groups(both))] == ["T"]
