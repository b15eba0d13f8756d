"""Findings: which there are, how grave by the stated rule, where they stand, and fingerprints that no number moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust import plugins
from robust.report.findings import Finding, broken, errors, found, identity, one_line, taxonomy
from robust.report.rows import groups
from robust.report.severity import SCORES, band, reach, severity
from robust.report.text import presentable
from robust.runner.results import Results, SurrogateResult
from robust.taxonomy import ATLAS, NIST, TERMS
from tests.unit.report.example import EXPOSURE, QUALITY, cell, example
from tests.unit.report.test_defense_sections import priced

ONE, TWO = ("1 edit", 1.0), ("2 edits", 2.0)


def findings(results: Results) -> list[Finding]:
    return found(results, groups(results))


def by_rule(results: Results, rule: str) -> list[Finding]:
    return [one for one in findings(results) if one.rule == rule]


def test_every_broken_or_open_series_is_one_finding_and_the_rest_is_none() -> None:
    review = example()
    told = {row.cell.id for one in findings(review) for row in one.rows}
    for one in review.cells:
        if one.verdict in ("FAIL", "INCONCLUSIVE"):
            assert one.id in told
    assert {one.verdict for one in findings(review)} == {"FAIL", "INCONCLUSIVE"}
    assert [row.cell.verdict for row in errors(groups(review))] == ["ERROR"]


def test_a_finding_names_the_smallest_budget_that_breaks_and_what_held_below() -> None:
    (random,) = by_rule(example(), "random-history/random-substitution")
    assert random.breaks is not None
    assert random.breaks.cell.budget == "2 edits"
    assert random.before == "holds at 1 edit"
    assert "from 2 edits on (14.2%, 12.3…16.1); holds at 1 edit" in random.sentence
    both = by_rule(example(), "edited-history/substitution")[0]  # broken at either budget
    assert both.breaks is not None
    assert both.breaks.cell.budget == "1 edit"
    assert both.worst.cell.budget == "2 edits"


def test_defences_that_could_not_be_measured_are_not_said_to_be_worse_than_none() -> None:
    review = example()
    cells = [one for one in review.cells if one.threat == "edited-history" and one.defense == "none"]
    behind = {"defense": "dropout", "metrics": {}, "verdict": "NOT_APPLICABLE", "reason": "needs a fit"}
    unable = [one.model_copy(update={**behind, "id": f"{one.id}/dropout"}) for one in cells]
    (told,) = {one.remedy for one in findings(review.model_copy(update={"cells": [*cells, *unable]}))}
    assert told == "None of its defences could be measured on this model; the cells behind them say why."


def test_the_gravest_comes_first_and_what_is_open_last() -> None:
    scores = [one.severity.score if one.severity else -1.0 for one in findings(example())]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("shown", "knowledge", "planned_on", "budget", "level"),
    [
        (0.45, {"model": "none", "log": "popularity"}, "none", "2 edits", "critical"),  # 4.5 times the bound
        (0.25, {"model": "lists", "log": "none"}, "plain", "2 edits", "high"),
        (0.12, {"model": "none"}, "none", "2 edits", "medium"),
        (0.45, {"model": "scores", "log": "popularity"}, "plain", "2 edits", "high"),
        (0.12, {"model": "none", "log": "full"}, "surrogate", "2 edits", "medium"),
        (0.45, {"model": "gradients", "log": "popularity"}, "plain", "2 edits", "high"),
        (0.25, {"model": "gradients"}, "protected", "2 edits", "medium"),
        (0.12, {"model": "gradients"}, "protected", "2 edits", "low"),
        (0.45, {"model": "gradients"}, "plain", "ε = 0.5", "medium"),
        (0.25, {"model": "gradients"}, "plain", "ε = 0.5", "low"),
        (0.12, {"model": "something new"}, "plain", "2 edits", "medium"),
        (0.45, {"model": "gradients", "log": "popularity"}, "none", "1% fake users", "critical"),  # never looks at it
    ],
)
def test_severity_follows_the_table_in_the_documentation(
    shown: float, knowledge: dict[str, str], planned_on: str, budget: str, level: str
) -> None:
    own = cell("t", "a", (budget, 1.0), QUALITY, shown + 0.03, 0.03, "FAIL", knowledge=knowledge, planned_on=planned_on)
    said = severity(own)
    assert said is not None
    assert said.level == level
    assert {"critical": 9, "high": 7, "medium": 4, "low": 0.1}[level] <= said.score <= 10


@pytest.mark.parametrize(
    ("used", "planned_on", "level"),
    [
        ({"model": "none", "log": "none"}, "plain", "critical"),
        ({"model": "lists", "log": "popularity"}, "plain", "critical"),
        ({"model": "lists", "log": "full"}, "plain", "high"),
        ({"model": "scores", "log": "none"}, "plain", "high"),
        ({"model": "gradients", "log": "none"}, "plain", "high"),
        ({"model": "lists", "log": "none"}, "surrogate", "critical"),  # extracted from lists
        ({"model": "none", "log": "full"}, "surrogate", "high"),  # trained on the log
        ({"model": "none", "log": "full"}, "protected", "high"),  # a model-blind one that adapts to a sanitiser
    ],
)
def test_severity_counts_what_was_used_and_not_what_the_scenario_grants(
    used: dict[str, str], planned_on: str, level: str
) -> None:
    everything = {"model": "gradients", "log": "full", "next_item": False}
    more: dict[str, Any] = {"knowledge": everything, "planned_on": planned_on}
    said = severity(cell("t", "a", ONE, QUALITY, 0.45, 0.03, "FAIL", used=used, **more))
    assert said is not None
    assert said.level == level
    granted = severity(cell("t", "a", ONE, QUALITY, 0.45, 0.03, "FAIL", **more))  # an older run does not tell
    assert granted is not None
    assert granted.score <= said.score


def test_a_run_of_an_older_version_is_read_and_graded_by_what_was_granted() -> None:
    body = example().model_dump(by_alias=True)
    for one in body["cells"]:
        del one["used"]
    read = Results.model_validate(body)
    assert all(one.used == {} for one in read.cells)
    assert [one.severity for one in findings(read)] == [one.severity for one in findings(example())]


def test_severity_goes_by_what_is_shown_and_not_by_the_mean() -> None:
    wide = severity(cell("t", "a", ONE, QUALITY, 0.5, 0.38, "FAIL"))  # mean 5 times the bound, shown 1.2 times
    narrow = severity(cell("t", "a", ONE, QUALITY, 0.5, 0.05, "FAIL"))
    assert wide is not None
    assert narrow is not None
    assert wide.level == "medium"
    assert "at least 1.1 times" in wide.why or "at least 1.2 times" in wide.why
    assert narrow.level == "critical"


@pytest.mark.parametrize(
    ("limit", "shown", "level"), [(0.125, 0.25, "high"), (0.0625, 0.25, "critical"), (0.25, 0.5, "critical")]
)
def test_at_least_twice_four_times_and_half_begin_at_exactly_that(limit: float, shown: float, level: str) -> None:
    """In numbers that binary holds exactly."""
    said = severity(cell("t", "a", ONE, QUALITY.model_copy(update={"limit": limit}), shown + 0.25, 0.25, "FAIL"))
    assert said is not None
    assert said.level == level


def test_half_of_the_quality_gone_is_far_however_loose_the_bound() -> None:
    loose = QUALITY.model_copy(update={"limit": 0.4})
    said = severity(cell("t", "a", ONE, loose, 0.6, 0.05, "FAIL"))
    assert said is not None
    assert said.level == "critical"
    rise = EXPOSURE.model_copy(update={"limit": 0.4})  # a rise of exposure takes no quality
    other = severity(cell("t", "a", ONE, rise, 0.6, 0.05, "FAIL"))
    assert other is not None
    assert other.level == "medium"


def test_a_worst_case_attacker_is_not_anyone_and_what_does_not_fail_has_no_severity() -> None:
    assert reach(cell("t", "a", ONE, QUALITY, 0.5, 0.1, "FAIL", worst_case=True)) == "partial"
    assert severity(cell("t", "a", ONE, QUALITY, 0.5, 0.1, "INCONCLUSIVE")) is None
    none_allowed = QUALITY.model_copy(update={"limit": 0.0})
    said = severity(cell("t", "a", ONE, none_allowed, 0.02, 0.01, "FAIL"))
    assert said is not None
    assert "allows no change" in said.why


def test_fingerprints_differ_between_findings_and_no_measured_value_moves_them() -> None:
    review = example()
    prints = [one.fingerprint for one in findings(review)]
    assert len(set(prints)) == len(prints)
    body = review.model_dump(by_alias=True)
    for one in body["cells"]:
        one["seeds"], one["n_users"], one["p_fail"] = [7, 8, 9], 17, 0.03
        for metric in one["metrics"].values():
            metric["change"] = (metric["change"] or 0.0) * 0.97
    body["started"], body["command"] = "2027-01-01T00:00:00Z", "robust review quick --seed 7"
    assert sorted(one.fingerprint for one in findings(Results.model_validate(body))) == sorted(prints)
    for one in body["cells"]:
        one["bound"]["limit"] = one["bound"]["limit"] / 2
    moved = {one.fingerprint for one in findings(Results.model_validate(body))}
    assert not moved & set(prints)


def test_taxonomy_comes_from_the_kept_tags_and_else_from_what_the_attack_changes() -> None:
    review = example()
    tags = ["atlas@5.6.1:AML.T0043.000", "nist-ai-100-2e2025:NISTAML.022", "ML01:2023"]
    kept = {**review.environment, "attacks": {"substitution": tags, "bandwagon": ["control"]}}
    tagged = review.model_copy(update={"environment": kept})
    one = by_rule(tagged, "edited-history/substitution")[0]
    assert [str(entry) for entry in one.techniques] == ["AML.T0043.000 White-Box Optimization"]
    assert [str(entry) for entry in one.classes] == ["NISTAML.022 Evasion"]
    for rule, atlas, nist in (
        ("promotion/bandwagon", "AML.T0020", "NISTAML.024"),
        ("random-history/random-substitution", "AML.T0015", "NISTAML.022"),
        ("embeddings/pgd", "AML.T0043", "NISTAML.022"),
    ):
        other = by_rule(tagged, rule)[0]
        assert [entry.id for entry in other.techniques] == [atlas]
        assert [entry.id for entry in other.classes] == [nist]


def test_an_attack_that_serves_two_goals_gets_the_class_of_the_one_that_it_served() -> None:
    review = example()
    both = [f"nist-ai-100-2e2025:NISTAML.{number}" for number in ("013", "024", "012")]
    kept = {"attacks": {"bandwagon": both}}
    one = by_rule(review.model_copy(update={"environment": kept}), "promotion/bandwagon")[0]
    assert [entry.id for entry in one.classes] == ["NISTAML.024", "NISTAML.012"]


def test_an_attack_that_was_planned_on_a_surrogate_is_a_transfer() -> None:
    white_box = plugins.load("attacks", "substitution").tags
    review = example().model_copy(update={"environment": {"attacks": {"substitution": list(white_box)}}})
    copied = SurrogateResult(model="gru4rec", queries=20_000, agreement={"agreement@10": 0.7})
    planned = cell("edited-history", "substitution", TWO, QUALITY, 0.3, 0.02, "FAIL", planned_on="surrogate")
    for found_on, asked in ((planned, False), (planned.model_copy(update={"surrogate": copied}), True)):
        atlas, nist = taxonomy(review, found_on)
        ids = [entry.id for entry in atlas]
        assert ids[:2] == ["AML.T0043.002", "AML.T0005"]
        assert "AML.T0043.000" not in ids
        assert ("AML.T0040" in ids) == asked
        assert [entry.id for entry in nist] == ["NISTAML.025"]
    poison = cell("promotion", "bandwagon", ONE, EXPOSURE, 0.3, 0.02, "FAIL", planned_on="surrogate")
    kept = review.model_copy(update={"environment": {"attacks": {"bandwagon": ["atlas@5.6.1:AML.T0020"]}}})
    assert [entry.id for entry in taxonomy(kept, poison)[0]] == ["AML.T0005", "AML.T0020"]


@pytest.mark.parametrize("name", plugins.names("attacks"))
def test_every_registered_attack_has_its_place_in_both_taxonomies(name: str) -> None:
    tags = plugins.load("attacks", name).tags
    for prefix in (ATLAS, NIST):
        own = [tag for tag in tags if tag.startswith(prefix)]
        assert own, f"{name} names nothing of {prefix}"
        assert all(tag in TERMS for tag in own)


def test_a_bound_is_placed_where_the_scenario_states_it() -> None:
    review = example()
    source = {"path": "reviews/../../quick.yaml", "bounds": {"edited-history": 42}}
    placed = review.model_copy(update={"environment": {"scenario": source}})
    assert {(f.place.path, f.place.line) for f in by_rule(placed, "edited-history/substitution")} == {
        ("reviews/quick.yaml", 42)
    }
    unknown = by_rule(review, "edited-history/substitution")[0]
    assert (unknown.place.path, unknown.place.line) == ("scenario.yaml", 1)


def test_the_remedy_names_the_defence_that_helped_most_and_its_price_where_that_is_known() -> None:
    (undefended,) = by_rule(example(), "random-history/random-substitution")
    assert undefended.remedy.startswith("No defence was measured against this threat")
    unpriced = by_rule(example(), "edited-history/substitution")[0]
    assert "surprise: 58%" in unpriced.remedy
    assert "not measured" in unpriced.remedy
    review = priced()
    told = {one.remedy for one in findings(review)}
    assert any("of NDCG@10 on clean data" in remedy for remedy in told)


def test_accepted_only_where_all_that_fails_is_accepted() -> None:
    review = example()
    partly = by_rule(review, "edited-history/substitution")
    assert [one.accepted for one in partly if one.verdict == "FAIL"] == [None, None]
    cells = [one.model_copy(update={"accepted": "known"}) if one.verdict == "FAIL" else one for one in review.cells]
    failing = [one for one in findings(review.model_copy(update={"cells": cells})) if one.verdict == "FAIL"]
    assert {(one.accepted, one.level) for one in failing} == {("known", "note")}


def test_level_of_an_open_verdict_follows_its_mean() -> None:
    levels = {one.rule: one.level for one in findings(example()) if one.verdict == "INCONCLUSIVE"}
    assert levels == {
        "promotion/bandwagon": "note",  # 3.4 pp of 5 pp
        "edited-history/substitution": "warning",  # 11.8% of 10%
        "embeddings/pgd": "note",  # not measured
    }


def test_by_threat_what_is_left_out_is_counted() -> None:
    review = example()
    (first, second) = broken(review, groups(review), most=1)
    assert (first.threat.id, len(first.findings), first.left) == ("edited-history", 1, 1)
    assert (second.threat.id, len(second.findings), second.left) == ("random-history", 1, 0)


def test_long_texts_are_cut_on_one_line_and_cut_ids_stay_apart() -> None:
    assert one_line("a\n b\u2028c", 10) == "a b c"
    assert len(one_line("x" * 10_000, 50)) == 50
    assert identity("x" * 500 + "1", 50) != identity("x" * 500 + "2", 50)
    assert identity("short") == "short"


def test_presenting_first_leaves_nothing_that_disguises_a_text() -> None:
    review = presentable(example().model_copy(update={"title": "a\u202eb"}))
    assert "\u202e" not in review.title


def test_the_documentation_states_the_rule_that_is_used() -> None:
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")
    section = text.split("**Severity follows from this rule**")[1]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    stated = [tuple(float(cell.split()[0]) for cell in row[1:]) for row in table[: len(SCORES)]]
    assert stated == list(SCORES.values())
    words = {cell.strip() for row in table[: len(SCORES)] for cell in row[1:]}
    for word in words:
        score, level = word.split()
        assert level == band(float(score))
