"""The leaderboard: the worst case and the front by hand and by brute force, and what cannot stand in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from robust.errors import InputError
from robust.leaderboard.board import as_json, priced, printable, tables
from robust.leaderboard.page import render_page
from robust.leaderboard.refusal import BLIND, NOTED, VOID, rows_of
from robust.leaderboard.rows import Price, Row, read_row, read_rows, write_row
from robust.report import pareto, render
from robust.runner.cell_metrics import level_limits
from robust.runner.export import results_json
from robust.runner.records import DefenseResult, QualityPrice, Rate
from robust.runner.results import (
    BoundResult,
    CellResult,
    Flag,
    MetricResult,
    Results,
    SurrogateResult,
    ThreatResult,
    VictimResult,
)
from robust.runner.standing import Standing, front, protocol, standings
from tests.unit.report.example import example

QUALITY = BoundResult(metric="ndcg@10", kind="drop", limit=0.10)
EXPOSURE = BoundResult(metric="target_hr@10", kind="rise", limit=0.05)
DOCS = Path(__file__).parents[2] / "docs"


def metric(clean: float, attacked: float, relative: bool = True) -> MetricResult:
    change = (clean - attacked) / clean if relative else attacked - clean
    around = {"clean_limits": (clean - 0.05, clean + 0.05), "attacked_limits": (attacked - 0.04, attacked + 0.04)}
    return MetricResult(clean=clean, attacked=attacked, change=change, low=change - 0.1, high=change + 0.1, **around)


def cell(defense: str, attacked: float, clean: float = 0.5, **more: Any) -> CellResult:
    """A measured cell; `attacked` is its level of the bounded metric."""
    bound = more.pop("bound", QUALITY)
    levels = {"ndcg@10": metric(clean, attacked)}
    if bound is EXPOSURE:
        levels = {"target_hr@10": metric(0.01, attacked, relative=False), "ndcg@10": metric(clean, clean - 0.01)}
    stated = {
        "threat": "edits",
        "victim": "gru4rec",
        "attack": "substitution",
        "budget": "2 edits",
        "planned_on": "plain" if defense == "none" else "protected",
        "seeds": [0, 1, 2],
        "verdict": "FAIL",
    } | more
    levels = levels if stated.pop("measured", True) else {}
    name = f"{stated['threat']}/{defense}/{stated['attack']}/{stated['budget']}/{stated['planned_on']}"
    side = "plain" if defense == "none" else "protected"
    rest = {"goal": "degrade", "measured_on": side, "bound": bound, "metrics": levels}
    return CellResult(id=name, defense=defense, **rest, **stated)


def review(cells: list[CellResult], **more: Any) -> Results:
    """A review of these cells."""
    threats = {c.threat: c.bound for c in cells}
    stated = [
        {
            "id": name,
            "title": name.title(),
            "plan": ["plain", "protected"],
            "surrogate": {"name": "gru4rec"},
            "attacks": sorted({c.attack for c in cells if c.threat == name}),
            "budgets": [{"edits": 2}],
            "defenses": sorted({c.defense for c in cells}),
            "bound": bound.model_dump(),
        }
        for name, bound in threats.items()
    ]
    scenario = {"split": "leave-last-out", "users": 1000, "seeds": [3], "retrain": {"warm": 0.25}, "threats": stated}
    update = {
        "cells": cells,
        "threats": [ThreatResult(id=t, title=t.title(), verdict="FAIL", summary="", cells=[]) for t in threats],
        "victims": [VictimResult(victim="gru4rec", seeds=[0, 1, 2], metrics={}, baselines={})],
        "scenario": scenario,
        "environment": {**example().environment, "data": "d" * 40},
    }
    return example().model_copy(update=update | more)


def flag(name: str) -> Flag:
    return Flag(name=name, cause="because", remedy="mend it")


def one(results: Results, defense: str = "guard") -> Standing:
    return next(standing for standing in standings(results) if standing.defense == defense)


def rows(results: Results) -> list[Row]:
    return rows_of(results, checksum="c" * 64)[0]


# --- where a defence stands


NO_GRADIENTS = cell("guard", 0, measured=False, verdict="NOT_APPLICABLE", reason="needs gradients")
COPIED: dict[str, Any] = {
    "planned_on": "surrogate",
    "surrogate": SurrogateResult(model="gru4rec", queries=100, agreement={"agreement@10": 0.8}),
}


def test_the_worst_case_is_over_attacks_budgets_and_what_was_planned_on() -> None:
    cells = [
        cell("guard", 0.40, planned_on="plain"),
        cell("guard", 0.31),
        cell("guard", 0.22, budget="5 edits"),
        cell("guard", 0.27, attack="random-substitution", planned_on="plain", verdict="PASS"),
        cell("guard", 0.30, attack="random-substitution", verdict="PASS"),
    ]
    standing = one(review(cells))
    assert (standing.worst.mean, standing.cell.budget, standing.better) == (0.22, "5 edits", "higher")
    assert [standing.worst.low, standing.worst.high] == pytest.approx([0.18, 0.26])
    assert (standing.clean.mean, standing.verdict, standing.missed) == (0.5, "FAIL", {})


def test_exposure_is_worst_where_it_is_highest_and_clean_quality_is_that_of_the_lists() -> None:
    cells = [cell("pca", 0.04, bound=EXPOSURE, planned_on="none"), cell("pca", 0.09, 0.48, bound=EXPOSURE)]
    standing = one(review(cells), "pca")
    assert (standing.better, standing.worst.metric, standing.worst.mean) == ("lower", "target_hr@10", 0.09)
    assert (standing.clean.metric, standing.clean.mean) == ("ndcg@10", 0.48)
    assert standing.merit == (0.48, -0.09)


@pytest.mark.parametrize(
    ("cells", "missed"),
    [
        ([cell("guard", 0.3, planned_on="plain")], ["substitution"]),  # by nobody who knows it
        ([cell("guard", 0.3, planned_on="plain"), cell("guard", 0.2)], []),
        ([cell("guard", 0.3, planned_on="none")], []),  # never looks at a model: there is no other way to plan it
        (
            [cell("guard", 0.3, planned_on="plain"), cell("guard", 0, measured=False, verdict="NOT_APPLICABLE")],
            ["substitution"],
        ),
        ([cell("none", 0.1, attack="append"), cell("guard", 0.3)], ["append"]),  # against: [substitution]
        (
            [NO_GRADIENTS, cell("guard", 0.3, planned_on="surrogate")],
            ["substitution"],
        ),  # of the attacker's own, from a log
        ([NO_GRADIENTS, cell("guard", 0.3, **COPIED)], []),  # of what the victim answers behind its guard
        ([NO_GRADIENTS, cell("guard", 0.3, **COPIED, flags=[flag("unfaithful_surrogate")])], ["substitution"]),
    ],
)
def test_an_attack_is_missed_unless_somebody_who_knows_the_defence_planned_it(
    cells: list[CellResult], missed: list[str]
) -> None:
    assert list(one(review(cells)).missed) == missed


def test_the_front_is_what_brute_force_finds() -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(0, 8, size=(60, 2)).tolist()  # with ties
    group = [SimpleNamespace(merit=tuple(point), missed={}) for point in points]
    wanted = []
    for x, y in points:
        beaten = [(a, b) for a, b in points if (a > x and b >= y) or (a >= x and b > y)]
        wanted.append(not beaten)
    assert [one in front(group) for one in group] == wanted
    assert 0 < sum(wanted) < len(points)


def test_who_missed_an_attack_is_not_on_the_front_and_keeps_nobody_off_it() -> None:
    whole = SimpleNamespace(merit=(0.5, 0.3), missed={})
    part = SimpleNamespace(merit=(0.6, 0.6), missed={"pgd": "needs gradients"})
    assert front([whole, part]) == [whole]


def test_a_protocol_is_all_that_two_must_share_and_nothing_else() -> None:
    base = review([cell("guard", 0.3)])

    def changed(**threat: Any) -> str:
        stated = {**base.scenario, "threats": [{**base.scenario["threats"][0], **threat}]}
        return protocol(base.model_copy(update={"scenario": stated}), "edits")

    same = protocol(base, "edits")
    assert same == changed(title="Another", defenses=["none", "mine"], surrogate={"name": "sasrec"})
    others = [changed(budgets=[{"edits": 3}]), changed(attacks=["pgd"]), changed(plan=["plain"])]
    fewer = base.model_copy(update={"scenario": {**base.scenario, "users": 500}})
    assert len({same, *others, protocol(fewer, "edits")}) == 5


def test_a_copy_that_nobody_asked_for_is_a_part_of_the_protocol() -> None:
    """Harder attacks may be planned on a copy from more lists, whatever the scenario says of surrogates."""

    def of(queries: int, model: str = "gru4rec") -> str:
        copied = SurrogateResult(model=model, queries=queries, agreement={"agreement@10": 0.6})
        made = cell("guard", 0.3, planned_on="surrogate", surrogate=copied)
        return protocol(review([cell("guard", 0.3), made, made]), "edits")

    assert of(5_000) == of(5_000)
    assert len({of(5_000), of(1_000), of(5_000, "sasrec"), protocol(review([cell("guard", 0.3)]), "edits")}) == 4


def test_limits_of_a_level_hold_its_mean_and_need_three_seeds() -> None:
    levels = np.random.default_rng(0).random((3, 400))
    trained: Any = SimpleNamespace(fixed=False)
    found = level_limits(trained, levels)
    assert found is not None
    seeds, users = levels.mean(axis=1), levels.mean(axis=0)
    half = np.hypot(2.92 * seeds.std(ddof=1) / 3**0.5, 1.65 * users.std(ddof=1) / 400**0.5)  # t of 2 and 399 degrees
    assert found == pytest.approx((levels.mean() - half, levels.mean() + half), abs=0.006)  # two pseudo-users move it
    assert level_limits(trained, levels[:2]) is None
    assert level_limits(SimpleNamespace(fixed=True), np.zeros((1, 9))) is not None  # type: ignore[arg-type]


# --- what cannot stand in it


def test_every_documented_flag_is_one_that_voids_blinds_or_is_noted() -> None:
    documented = {path.stem for path in (DOCS / "flags").glob("*.md")}
    assert documented == VOID.keys() | BLIND.keys() | NOTED.keys()
    assert len(documented) == len(VOID) + len(BLIND) + len(NOTED), "a flag stands twice"
    page = (DOCS / "leaderboard.md").read_text(encoding="utf-8")
    silent = [name for name in documented if f"`{name}`" not in page]
    assert silent == [], "docs/leaderboard.md does not say what they do"


@pytest.mark.parametrize("name", VOID)
def test_a_flag_on_what_was_measured_refuses_wherever_it_stands(name: str) -> None:
    mild = cell("guard", 0.49, budget="1 edit", flags=[flag(name)])
    found, refused = rows_of(review([cell("none", 0.1), cell("guard", 0.3), mild]), checksum="")
    assert [row.defense for row in found] == ["none"]
    assert refused == {"guard on gru4rec, edits": f"{name}: {VOID[name]}"}
    victim = VictimResult(victim="gru4rec", seeds=[0, 1, 2], metrics={}, baselines={}, flags=[flag(name)])
    assert rows_of(review([cell("guard", 0.3)], victims=[victim]), checksum="")[0] == []


@pytest.mark.parametrize("name", BLIND)
def test_a_blinded_attack_refuses_only_where_the_worst_case_is_its_own(name: str) -> None:
    seeing, blinded = cell("guard", 0.3, attack="random-substitution"), cell("guard", 0.45, flags=[flag(name)])
    (row,) = rows(review([seeing, blinded]))
    assert (row.trials[0].worst.mean, row.trials[0].flags) == (0.3, [name])
    alone, refused = rows_of(review([blinded]), checksum="")
    assert alone == []
    assert BLIND[name] in refused["guard on gru4rec, edits"]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (
            [cell("guard", 0.3), cell("guard", 0, measured=False, verdict="ERROR", reason="it fell")],
            "it fell",
        ),
        ([cell("guard", 0.3), cell("guard", 0, measured=False, verdict="INCONCLUSIVE", reason="time: …")], "time: …"),
        ([cell("guard", 0, measured=False, verdict="ERROR", reason="it fell")], "it fell"),
        ([cell("guard", 0.3, planned_on="plain")], "attacked by nobody who knows it"),
    ],
)
def test_what_went_wrong_or_was_not_adaptive_is_refused(cells: list[CellResult], reason: str) -> None:
    found, refused = rows_of(review(cells), checksum="")
    assert found == []
    assert reason in refused["guard on gru4rec, edits"]


def test_too_few_seeds_are_refused() -> None:
    level = metric(0.5, 0.3).model_copy(update={"clean_limits": None, "attacked_limits": None})
    few = cell("guard", 0.3, seeds=[0]).model_copy(update={"metrics": {"ndcg@10": level}})
    found, refused = rows_of(review([few]), checksum="")
    assert found == []
    assert "too few seeds: 1" in refused["guard on gru4rec, edits"]


def test_a_row_keeps_the_threats_that_stand_and_says_which_do_not() -> None:
    asked: dict[str, Any] = {"threat": "asking", "attack": "random-substitution"}
    bad = cell("guard", 0.4, flags=[flag("zero_gradient")], **asked)
    found, refused = rows_of(
        review([cell("guard", 0.3), bad, cell("none", 0.1), cell("none", 0.1, **asked)]), checksum=""
    )
    guard = next(row for row in found if row.defense == "guard")
    assert ([trial.threat for trial in guard.trials], list(guard.refused)) == (["edits"], ["asking"])
    assert list(refused) == ["guard on gru4rec, asking"]
    (asking,) = [table for table in tables(found) if table.title == "Asking"]
    assert list(asking.refused) == ["guard"]


def test_a_threat_that_cannot_be_measured_is_no_reason_to_refuse() -> None:
    lacking = cell("guard", 0, threat="embeddings", measured=False, verdict="NOT_APPLICABLE", reason="no gradients")
    found, refused = rows_of(review([cell("guard", 0.3), lacking]), checksum="")
    assert (len(found), refused) == (1, {})


def test_results_that_do_not_say_what_they_were_made_on_are_refused() -> None:
    with pytest.raises(InputError, match="does not say which data"):
        rows(review([cell("guard", 0.3)], environment=example().environment))


# --- files and tables


def test_a_row_is_written_once_and_never_overwritten_in_silence(tmp_path: Path) -> None:
    (row,) = rows(review([cell("guard", 0.3)]))
    assert write_row(row, tmp_path) == "new"
    assert read_row(tmp_path / row.file_name) == row
    later = row.model_copy(update={"finished": "2031", "versions": {"torch": "9"}, "run": "another"})
    assert write_row(later, tmp_path) == "unchanged"
    assert read_rows(tmp_path) == [row], "the first one stays"
    (other,) = rows(review([cell("guard", 0.2)]))
    assert other.file_name == row.file_name
    with pytest.raises(InputError, match=r"0\.3000 there, 0\.2000 now.*--replace"):
        write_row(other, tmp_path)
    assert write_row(other, tmp_path, replace=True) == "replaced"
    assert read_rows(tmp_path) == [other]


def test_rows_of_other_data_threats_victims_or_defences_have_files_of_their_own() -> None:
    (row,) = rows(review([cell("guard", 0.3)]))
    (budget,) = rows(review([cell("guard", 0.3), cell("guard", 0.3, attack="append")]))
    moved = [row.model_copy(update={name: "other"}) for name in ("data", "victim", "defense")]
    assert len({row.file_name, budget.file_name, *(other.file_name for other in moved)}) == 5


def board() -> list[Row]:
    cells = [cell("none", 0.10, 0.55), cell("weak", 0.20, 0.52), cell("good", 0.40, 0.50), cell("bad", 0.15, 0.40)]
    cells += [cell("part", 0.60, 0.60), cell("part", 0, attack="append", measured=False, verdict="NOT_APPLICABLE")]
    cells += [cell(name, 0.50, 0.5, attack="append") for name in ("none", "weak", "good", "bad")]
    return rows(review(cells))


def test_a_table_stands_by_worst_case_and_marks_the_front() -> None:
    (table,) = tables(board())
    assert [entry.row.defense for entry in table.entries] == ["part", "good", "weak", "bad", "none"]
    assert [row[""] for row in printable(table)] == ["†", "*", "*", "", "*"]
    assert [row["front"] for row in as_json(board())] == [False, True, True, False, True]
    assert printable(table)[1]["worst case"] == "0.40 (0.36…0.44)"
    assert printable(table)[1]["by"] == "substitution, 2 edits, adaptive"


def test_a_row_is_judged_by_its_own_interval_not_by_how_many_others_were_measured() -> None:
    corrected = cell("guard", 0.10, verdict="INCONCLUSIVE", reason="not after correcting for 332 pairs")
    limits = corrected.metrics["ndcg@10"]
    assert limits.low is not None
    assert limits.low > corrected.bound.limit
    assert rows(review([corrected]))[0].trials[0].verdict == "FAIL"
    across = limits.model_copy(update={"low": corrected.bound.limit - 0.01})
    straddling = corrected.model_copy(update={"metrics": {"ndcg@10": across}})
    assert rows(review([straddling]))[0].trials[0].verdict == "INCONCLUSIVE"


def test_the_answer_is_the_cheapest_that_holds_and_has_an_effect() -> None:
    idle = flag("no_effect")
    cells = [
        cell("none", 0.40, 0.55),
        cell("dear", 0.48, 0.49, verdict="PASS"),
        cell("cheap", 0.47, 0.53, verdict="PASS"),
    ]
    cells += [cell("idle", 0.46, 0.54, verdict="PASS", flags=[idle]), cell("best", 0.49, 0.54)]
    (table,) = tables(rows(review(cells)))
    assert table.answer.startswith("cheap: it holds the bound, with 0.47 (")
    assert table.noted == {"no effect": ["idle"]}
    (broken,) = tables(rows(review([cell("none", 0.10, 0.55), cell("good", 0.40, 0.50)])))
    assert broken.answer.startswith("None is shown to hold the bound. The best is good: 0.40 (")
    (safe,) = tables(rows(review([cell("none", 0.53, 0.55, verdict="PASS"), cell("good", 0.54, verdict="PASS")])))
    assert safe.answer == "The bound holds without a defence."


def test_other_versions_in_one_table_are_said() -> None:
    found = board()
    assert tables(found)[0].mixed == []
    found[0] = found[0].model_copy(update={"versions": {**found[0].versions, "torch": "9.9"}})
    assert tables(found)[0].mixed == ["torch: 2.13.0, 9.9"]


def test_the_price_is_that_of_the_review() -> None:
    lost = QualityPrice(plain=0.5, protected=0.49, change=0.02, low=-0.01, high=0.05)
    removed = [Rate(group="all", users=100, share=0.03)]
    own = DefenseResult(
        victim="gru4rec",
        defense="guard",
        stage="input",
        cost="every query",
        seeds=[0, 1, 2],
        n_users=100,
        metrics={"ndcg@10": lost},
        removed=removed,
        timing={"fit_ratio": 3.1, "rank_ratio": 1.01},
        model_bytes={"plain": 100, "protected": 500},
    )
    (row,) = rows(review([cell("guard", 0.3)], defenses=[own]))
    assert row.price == Price(
        cost="every query", ndcg=0.02, ndcg_low=-0.01, ndcg_high=0.05, fit=3.1, ranking=1.01, model=5.0, removed=0.03
    )
    assert (
        priced(row.price) == "2.0% of clean NDCG@10 (−1.0…5.0), fit ×3.1, model ×5, removes 3.0% of the genuine users"
    )


# --- the picture


def drawn(better: str = "higher") -> tuple[list[pareto.Spot], ET.Element]:
    (table,) = tables(board())
    titled = {"clean": "ndcg@10", "worst": "ndcg@10", "better": better, "title": "Which?", "key": "k"}
    wide, narrow = pareto.pareto(table.spots, **titled)
    assert ET.fromstring(narrow).get("class") == "picture pareto narrow"
    return table.spots, ET.fromstring(wide)


def centres(svg: ET.Element) -> dict[str, tuple[float, float]]:
    """The centre of each mark, by how it is drawn."""
    found, number = {}, count()
    for shape in svg:
        style = shape.get("class", "")
        if style.startswith("spot"):
            x = float(shape.get("cx") or float(shape.get("x", 0)) + 4.5)
            y = float(shape.get("cy") or float(shape.get("y", 0)) + 4.5)
            found[f"{next(number)} {style}"] = x, y
    return found


def test_right_and_up_are_better_and_marks_tell_apart_without_colour() -> None:
    _, svg = drawn()
    (_, part), (_, good), (_, weak), (_, bad), (_, none) = centres(svg).items()
    assert bad[0] < good[0] < weak[0] < none[0] < part[0]  # clean quality
    assert part[1] < good[1] < weak[1] < bad[1] < none[1]  # worst case: up is better
    assert [key.split(" ", 1)[1] for key in centres(svg)] == [
        "spot part",
        "spot best",
        "spot best",
        "spot",
        "spot best",
    ]
    assert len([shape for shape in svg if shape.tag == "rect"]) == 1, "no defence is a square"
    _, turned = drawn("lower")
    ups = [y for _, y in centres(turned).values()]
    assert ups == sorted(ups, reverse=True), "less exposure stands higher"


def test_the_picture_says_in_words_what_it_shows() -> None:
    spots, svg = drawn()
    said = svg.findtext("desc") or ""
    assert "good: 0.50 (0.45 to 0.55) and 0.40 (0.36 to 0.44), on the front." in said
    assert "part: 0.60 (0.55 to 0.65) and 0.60 (0.56 to 0.64), not met by every attack." in said
    assert all(spot.name in said for spot in spots)
    texts = [text.text for text in svg if text.get("class", "").startswith("name")]
    assert set(texts) == {"no defence", "good", "weak", "bad", "part"}


def test_one_point_alone_can_be_drawn() -> None:
    spot = pareto.Spot("only", (0.5, None, None), (0.0, None, None))
    for svg in pareto.pareto([spot], clean="ndcg@10", worst="ndcg@10", better="higher", title="t", key="k"):
        assert "nan" not in svg


def test_a_review_of_more_than_two_defences_has_the_picture() -> None:
    cells = [cell("none", 0.1), cell("a", 0.2), cell("b", 0.3)]
    assert "picture pareto" not in render(review(cells), "html")
    page = render(review([*cells, cell("c", 0.4, 0.4)]), "html")
    assert page.count('<svg class="picture pareto') == 2
    assert "Which defence of gru4rec" in page


def test_the_page_escapes_what_it_is_given_and_loads_nothing() -> None:
    hostile = "<script>alert(1)</script>"
    page = render_page(rows(review([cell("none", 0.1), cell(hostile, 0.3)])))
    assert hostile not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "There are no rows yet" in render_page([])


# --- the command


Robust = Callable[..., tuple[int, str, str]]


@pytest.fixture
def robust(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Robust:
    """`robust leaderboard …` as a shell would call it: exit code, output, complaints."""

    def call(*arguments: object) -> tuple[int, str, str]:
        from robust import cli

        monkeypatch.setattr("sys.argv", ["robust", "leaderboard", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder in which one defence stands and one does not."""
    folder = tmp_path / "run"
    folder.mkdir()
    cells = [cell("none", 0.1), cell("guard", 0.3), cell("hider", 0.49, flags=[flag("zero_gradient")])]
    (folder / "results.json").write_text(results_json(review(cells)))
    return folder


def test_add_writes_what_stands_refuses_what_does_not_and_show_prints_it(
    robust: Robust, run: Path, tmp_path: Path
) -> None:
    code, out, err = robust("add", run, "--to", tmp_path / "rows")
    assert code == 2
    assert out.count("new: ") == 2
    assert "hider on gru4rec, edits: zero_gradient: the strongest attack follows a gradient that is zero" in err
    assert robust("add", run, "--to", tmp_path / "rows", "--defense", "guard")[:2] == (
        0,
        f"unchanged: {next((tmp_path / 'rows').glob('*guard*'))}\n",
    )
    code, out, _ = robust("show", tmp_path / "rows")
    assert code == 0
    assert "guard" in out
    assert [row["defense"] for row in json.loads(robust("show", tmp_path / "rows", "--json")[1])] == ["guard", "none"]
    code, _, _ = robust("page", tmp_path / "rows", "--out", tmp_path / "page.html")
    assert code == 0
    assert "guard" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_run_that_was_tampered_with_is_refused(robust: Robust, run: Path, tmp_path: Path) -> None:
    path = run / "results.json"
    path.write_text(path.read_text().replace('"attacked": 0.3', '"attacked": 0.4'))
    code, _, err = robust("add", run, "--to", tmp_path / "rows")
    assert code == 2
    assert "damaged or changed" in err
    assert not (tmp_path / "rows").exists()


def test_results_of_another_schema_are_told_from_damaged_ones(robust: Robust, run: Path, tmp_path: Path) -> None:
    path = run / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2}))
    code, _, err = robust("add", run, "--to", tmp_path / "rows")
    assert code == 2
    assert "holds results of schema 2; this version reads schema 1" in err


def test_mistakes_are_told_in_a_line(robust: Robust, run: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "row.json").write_text('{"schema": 1}')
    (tmp_path / "empty").mkdir()
    wrong = {
        "no results.json": ("add", tmp_path / "nowhere"),
        "Did you mean 'guard'?": ("add", run, "--defense", "gard"),
        "There is no leaderboard": ("show", tmp_path / "nowhere"),
        "is no row of a leaderboard": ("show", tmp_path / "broken"),
        "cannot be written": ("page", tmp_path / "empty", "--out", tmp_path / "empty"),
    }
    for said, arguments in wrong.items():
        code, _, err = robust(*arguments)
        assert code == 2, arguments
        assert said in err
        assert "Traceback" not in err
    assert "There are no rows" in robust("show", tmp_path / "empty")[1]
