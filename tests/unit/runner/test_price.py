"""What a defence costs: by hand, from planted outcomes, and from a small review of a real graph of steps."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.log import InteractionLog
from robust.ranking import per_user
from robust.runner.cell_results import result
from robust.runner.detection import detection_results
from robust.runner.effort import effort, price
from robust.runner.engines import run
from robust.runner.ground import clean_rank
from robust.runner.looks import Outcome, take_looks
from robust.runner.meter import Meter, resident
from robust.runner.prepare import Prepared, Request, expand
from robust.runner.price import by_activity, by_popularity, compare, defense_results, rates
from robust.runner.reading import parse_scenario
from robust.runner.records import AttackPrice, DefenseResult, DetectionResult
from robust.runner.results import CellResult, MetricResult
from robust.runner.store import Artifact, Store
from robust.statistics import change_limits
from robust.threat import Budget
from tests.toys import chain_log
from tests.unit.runner.cells import EDITED, PROMOTED, one, planned

LOG = chain_log(users=150, n_items=40)
REVIEW = """\
victims: [markov]
seeds: [3]
threats:
  - id: promotion
    goal: {promote: cold*2}
    attacks: [random]
    budgets: [{users: 5%}]
    defenses: [none, {name: pca, share: 0.1}]
    plan: [plain]
    bound: {metric: target_hr@10, kind: rise, limit: 0.5}
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: random-substitution, tries: 3}]
    budgets: [{edits: 1}]
    defenses: [none, surprise]
    plan: [plain]
    bound: {metric: ndcg@10, kind: drop, limit: 0.5}
"""


@dataclass
class Reviewed:
    """A small review and what is said of its defences."""

    prepared: Prepared
    store: Store
    outcome: Outcome
    records: list[CellResult]
    defenses: dict[str, DefenseResult]
    detections: list[DetectionResult]


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    store = Store(tmp_path_factory.mktemp("review") / "store")
    request = Request(engine="serial", workers=1)
    prepared = expand(parse_scenario(REVIEW, "small.yaml"), request, store, LOG)
    outcome = take_looks(request, prepared, store, 0.0, None)
    train = prepared.split.train
    records = [result(a, "PASS", "", holdings=prepared.holdings, train=train) for a in outcome.assessments]
    assert all(record.metrics for record in records)
    found = defense_results(prepared, store, outcome.assessments)
    seen = detection_results(prepared, store, outcome.assessments, records)
    return Reviewed(
        prepared, store, outcome, records, {price.defense.partition("(")[0]: price for price in found}, seen
    )


def test_a_change_is_paired_relative_and_has_the_limits_of_a_cells_drop() -> None:
    rng = np.random.default_rng(0)
    plain = rng.random((3, 80))
    protected = plain * 0.9
    found = compare(plain, protected)
    assert found.change == pytest.approx(0.1)
    limits = change_limits(plain, protected, kind="drop", alpha=0.05)
    assert (found.low, found.high) == (limits.low, limits.high)
    shuffled = compare(plain, rng.permuted(protected, axis=1))
    assert shuffled.high is not None
    assert found.high is not None
    assert shuffled.high > found.high, "users that are not paired tell less"


def test_too_few_seeds_or_nothing_to_lose_have_no_limits() -> None:
    plain = np.random.default_rng(0).random((2, 80))
    assert compare(plain, plain).low is None
    assert compare(plain[:1], plain[:1], fixed=True).low is not None
    nothing = compare(np.zeros((3, 20)), np.zeros((3, 20)))
    assert (nothing.change, nothing.low, nothing.high) == (0.0, None, None)


def test_parts_by_activity_hold_every_user_once_and_never_split_equals() -> None:
    lengths = np.array([1, 1, 1, 1, 1, 2, 3, 4, 9, 20])
    parts = by_activity(lengths, 4)
    assert [name for name, _ in parts] == ["1 row", "2–3 rows", "4–20 rows"]
    assert np.sum([who for _, who in parts], axis=0).tolist() == [1] * 10
    assert by_activity(np.zeros(0, np.int64), 4) == []


def test_head_middle_and_tail_hold_a_third_of_the_rows_each() -> None:
    rows = [1] * 10 + [2] * 6 + [3] * 4 + [4] * 5 + [5] * 5  # items 1 and 2 to 3 hold a third each, of 30; 6 none
    train = InteractionLog.from_columns(np.arange(30), rows, np.arange(30), n_items=6)
    groups = {name: who.tolist() for name, who in by_popularity(np.array([1, 2, 4, 5, 3, 6], np.int32), train)}
    assert groups == {
        "head (1 item)": [True, False, False, False, False, False],
        "middle (2 items)": [False, True, True, False, False, False],
        "tail (3 items)": [False, False, False, True, True, True],
    }


def test_rates_are_shares_of_all_and_of_each_tenth() -> None:
    lengths = np.arange(1, 101)
    flagged = lengths <= 5
    found = rates([flagged, flagged, flagged & (lengths != 1)], lengths)
    assert found[0].group == "all"
    assert found[0].share == pytest.approx((5 + 5 + 4) / 300)
    assert found[1].share == pytest.approx((5 + 5 + 4) / 30)
    assert [rate.share for rate in found[2:]] == [0.0] * 9
    assert all(rate.high is not None and rate.share < rate.high <= 1 for rate in found)
    assert sum(rate.users for rate in found[1:]) == 100


def test_an_attackers_price_by_hand() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "add": np.array([[3, 4, 0], [5, 0, 0]], np.int32),
        "times": np.array([[86_400, 2 * 86_400, 0], [4 * 86_400, 0, 0]], np.int64),
        "remove": np.array([1, 2]),
        "replace_rows": np.array([2, 7]),
    }
    spent = effort(Artifact(arrays, {"scope": "train"}))
    assert spent == {"accounts": 2, "rows": 3 + 3, "span": 3 * 86_400}
    measured = MetricResult(clean=0.10, attacked=0.15, change=0.05)

    def told(kind: str, metric: str, log: InteractionLog) -> AttackPrice:
        notes = [{"effort": spent}]
        return price(
            notes, queries=30.0, budget=Budget(edits=2), metric=metric, measured=measured, kind=kind, train=log
        )

    dated = InteractionLog.from_columns([0, 0], [1, 2], [10, 99])
    found = told("rise", "target_hr@10", dated)
    assert (found.accounts, found.rows, found.edits) == (2, 6, 2)
    assert found.days == pytest.approx(3)
    assert found.damage == pytest.approx(5)
    assert found.accounts_per_point == pytest.approx(0.4)
    assert found.queries_per_point == pytest.approx(6)
    gained = told("drop", "ndcg@10", dated)
    assert gained.damage == pytest.approx(-5)
    assert (gained.accounts_per_point, gained.queries_per_point) == (None, None), "no damage has no price"
    assert told("rise", "rank_shift", dated).damage is None
    assert told("rise", "target_hr@10", InteractionLog.from_columns([0, 0], [1, 2], [0, 1])).days is None
    assert effort(Artifact({"items": np.zeros((1, 1))}, {"queries": 3})) == {}


def test_a_meter_sees_time_and_memory() -> None:
    if resident() is None:
        pytest.skip("this system does not say how much memory a process holds")
    before = resident()
    size = 200_000_000
    # pages of its own: what numpy asks for may be memory that the process freed before
    with Meter() as meter, mmap.mmap(-1, size) as pages:
        pages.write(b"x" * size)
    assert meter.peak is not None
    assert before is not None
    assert meter.peak - before > 0.7 * size
    assert 0 < meter.cost["seconds"] < 60
    assert "peak" not in Meter(memory=False).cost


def test_costs_lie_beside_an_artifact_and_change_nothing_in_it(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    one.put("abc", Artifact({"x": np.arange(3)}, {"n": 1}, {"seconds": 2.5}))
    other.put("abc", Artifact({"x": np.arange(3)}, {"n": 1}))
    assert one.cost("abc") == {"seconds": 2.5}
    assert other.cost("abc") == {}
    stored = [next(store.folder.rglob("*.bin")).read_bytes() for store in (one, other)]
    assert stored[0] == stored[1]
    next(one.folder.rglob("*.cost")).write_text("torn {")
    assert one.cost("abc") == {}


def test_the_plain_arm_is_fitted_as_the_defended_one() -> None:
    poisoned, edited = planned(PROMOTED), planned(EDITED)
    bare, cleaned = (one(poisoned, "promotion", 0.01, name, "none").steps(4) for name in ("none", "pca"))
    assert bare.plain is None
    assert cleaned.plain is not None
    fits = [step.inputs["model"] for step in (cleaned.plain, cleaned.clean, bare.clean)]
    assert fits[0] == fits[2] != fits[1]
    assert [fit.params["defense"] is None for fit in fits] == [True, False, True]
    guarded = one(edited, "white", 1.0, "surprise", "plain")
    assert guarded.steps(4).plain == clean_rank(guarded.victim, guarded.ground, 4)
    assert guarded.steps(4).plain in guarded.steps(4).steps


def test_a_review_prices_each_defence_on_both_arms(reviewed: Reviewed) -> None:
    assert list(reviewed.defenses) == ["pca", "surprise"]
    found = reviewed.defenses["pca"]
    assert (found.stage, found.seeds, found.n_users) == ("log", [0, 1, 2], len(reviewed.prepared.split.users))
    assessment = next(a for a in reviewed.outcome.assessments if a.cell.defense_spec.name == "pca")
    behind = np.mean([per_user("ndcg@10", ranking).mean() for ranking in assessment.measured.clean])
    assert found.metrics["ndcg@10"].protected == pytest.approx(behind)
    bare = next(a for a in reviewed.outcome.assessments if a.cell.defense is None)
    without = np.mean([per_user("ndcg@10", ranking).mean() for ranking in bare.measured.clean])
    assert found.metrics["ndcg@10"].plain == pytest.approx(without)
    for groups in (found.by_activity, found.by_popularity):
        weighted = sum(group.users * group.metrics["ndcg@10"].protected for group in groups) / found.n_users
        assert weighted == pytest.approx(behind)


def test_what_was_removed_is_what_the_fit_noted(reviewed: Reviewed) -> None:
    assessment = next(a for a in reviewed.outcome.assessments if a.cell.defense_spec.name == "pca")
    notes = [reviewed.store.get(assessment.cell.steps(seed).clean.inputs["model"].key) for seed in (0, 1, 2)]
    active = int((reviewed.prepared.split.train.lengths > 0).sum())
    removed = np.mean([found.note["removed_genuine"] for found in notes if found])
    assert removed > 0
    assert reviewed.defenses["pca"].removed[0].share == pytest.approx(removed / active)
    assert reviewed.defenses["surprise"].removed == []


def test_times_are_ratios_of_what_the_steps_took_first(reviewed: Reviewed) -> None:
    timing = reviewed.defenses["pca"].timing
    assert timing["fit_ratio"] > 0
    assert timing["rank_ratio"] > 0
    assert "fit_ratio" not in reviewed.defenses["surprise"].timing, "a guard leaves the fit as it is"
    steps = [step for a in reviewed.outcome.assessments for step in a.cell.steps(0).steps]
    assert run(steps, reviewed.store, engine="serial", workers=1) == {}
    again = defense_results(reviewed.prepared, reviewed.store, reviewed.outcome.assessments)
    assert {price.defense.partition("(")[0]: price for price in again} == reviewed.defenses, (
        "a second run measures nothing anew"
    )


def test_what_a_sanitiser_saw_is_counted_from_its_own_flags(reviewed: Reviewed) -> None:
    (seen,) = reviewed.detections
    assert (seen.defense, seen.attack, seen.planned_on) == ("pca(share=0.1)", "random", "none")
    assessment = next(a for a in reviewed.outcome.assessments if a.cell.defense_spec.name == "pca")
    notes = []
    for seed in (0, 1, 2):
        fitted = reviewed.store.get(assessment.cell.steps(seed).attacked.inputs["model"].key)
        assert fitted is not None
        notes.append(fitted.note)
    fakes, active = assessment.cell.budget.users, int((reviewed.prepared.split.train.lengths > 0).sum())
    told = seen.confusion
    assert told.fake_flagged == pytest.approx(np.mean([note["removed_fake"] for note in notes]))
    assert told.genuine_flagged == pytest.approx(np.mean([note["removed_genuine"] for note in notes]))
    assert told.fake_flagged + told.fake_kept == fakes
    assert told.genuine_flagged + told.genuine_kept == active
    assert seen.false_positives[0].share == pytest.approx(told.genuine_flagged / active)
    assert seen.auc == pytest.approx(np.mean(seen.auc_by_seed))
    assert [point.fpr for point in seen.roc] == sorted({point.fpr for point in seen.roc})
    assert seen.roc[-1].tpr == 1
    record = next(record for record in reviewed.records if record.id in seen.cells)
    assert seen.left[0].protected == record.metrics["target_hr@10"].change


def test_what_is_left_is_told_only_where_there_was_something(reviewed: Reviewed) -> None:
    (seen,) = reviewed.detections
    (left,) = seen.left
    records = [record.model_copy(deep=True) for record in reviewed.records]
    plain = next(record for record in records if record.threat == "promotion" and record.defense == "none")
    metric = plain.metrics["target_hr@10"]
    for low, share in ((0.1, left.protected / 0.4), (-0.1, None)):
        plain.metrics["target_hr@10"] = metric.model_copy(update={"change": 0.4, "low": low, "high": 0.7})
        ((again,),) = (
            one.left
            for one in detection_results(reviewed.prepared, reviewed.store, reviewed.outcome.assessments, records)
        )
        assert again.left == (None if share is None else pytest.approx(share))
