"""A defence that does nothing, one that only hides gradients, and one that merely refuses are told in a review.

Each would pass a bound. What tells them are flags: `no_effect`; `zero_gradient` with `transfer_stronger`; `refuses`
with `costs_more_than_attack`. A defence that works raises none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust import plugins
from robust.runner.cell_results import result
from robust.runner.prepare import Request
from robust.runner.results import CellResult, Results
from robust.runner.review import review
from robust.seen import Seen
from tests.quality.faults import exposed
from tests.toys import chain_log
from tests.unit.runner.cells import EDITED, LOG, PROMOTED, USERS, one, outcome, planned

VICTIM = """\
from tests.toys import LinearBag

class Victim(LinearBag):
    context = 8

victim = Victim()
"""
SCENARIO = """\
dataset: {file: events.csv}
victims: ["exposed_victim:victim"]
seeds: [3]
seen: keep
threats:
  - id: white
    goal: {degrade: true}
    knowledge: {model: gradients, next_item: true}
    attacks: [{name: substitution, tau: null, candidates: 3}]
    budgets: [{edits: 1}]
    defenses: [none, nothing, rounding-layer, refuser, {name: refuser, every: 10}, {name: refuser, every: 31}, surprise]
    plan: [plain, protected]
    bound: {metric: hr@10, kind: drop, limit: 0.9}
"""
ABOUT_DEFENSES = {
    "no_effect",
    "zero_gradient",
    "noisy_gradient",
    "transfer_stronger",
    "black_box_stronger",
    "refuses",
    "costs_more_than_attack",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A review of all of them on one linear victim, whose own favourites come next."""
    from tests.toys import LinearBag

    folder, rng = tmp_path_factory.mktemp("exposed"), np.random.default_rng(0)
    histories = rng.integers(1, 31, size=(400, 8))
    # the last event, which is the one to be found, is one of the three that the victim ranks first
    best = LinearBag().recommend(_batch(histories), 3)
    events = np.column_stack([histories, best[np.arange(400), rng.integers(0, 3, 400)]])
    rows = [f"u{user},{item},{place}" for user in range(400) for place, item in enumerate(events[user])]
    rows += [f"all,{item},{item}" for item in range(1, 31)]  # every item has a row, and ids in the model's order
    (folder / "events.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    (folder / "exposed_victim.py").write_text(VICTIM)
    (folder / "exposed.yaml").write_text(SCENARIO)
    known = plugins._registered("defenses")
    group = "robust.defenses"
    mine = {
        kind.name: EntryPoint(kind.name, f"{exposed.__name__}:{kind.__name__}", group)
        for kind in (exposed.Nothing, exposed.Refuser, exposed.RoundingLayer)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        real: Callable[[Any], Any] = plugins._registered
        patch.setattr(plugins, "_registered", lambda kind: {**known, **mine} if kind == "defenses" else real(kind))
        return review(Request(scenario="exposed.yaml", out=Path("out"), engine="serial"))


def _batch(items: Any) -> Any:
    from robust.log import SequenceBatch

    return SequenceBatch(items)


def cell(results: Results, defense: str, planned_on: str) -> CellResult:
    (found,) = [c for c in results.cells if (c.defense, c.planned_on) == (defense, planned_on)]
    return found


def flags(results: Results, defense: str, planned_on: str = "protected") -> set[str]:
    return {flag.name for flag in cell(results, defense, planned_on).flags} & ABOUT_DEFENSES


def hits(results: Results, defense: str, planned_on: str = "protected") -> tuple[float, float]:
    metric = cell(results, defense, planned_on).metrics["hr@10"]
    return metric.clean, metric.attacked


def test_the_attack_ruins_the_victim_that_nobody_defends(results: Results) -> None:
    clean, attacked = hits(results, "none", "plain")
    assert clean > 0.95
    assert attacked < 0.6
    assert flags(results, "none", "plain") == set()


def test_a_defence_that_does_nothing(results: Results) -> None:
    assert flags(results, "nothing") == {"no_effect"}
    said = next(flag.cause for flag in cell(results, "nothing", "protected").flags if flag.name == "no_effect")
    assert said == "Not one list differs behind 'nothing'."


def test_a_defence_that_only_hides_gradients(results: Results) -> None:
    _, blind = hits(results, "rounding-layer")
    _, transferred = hits(results, "rounding-layer", "plain")
    _, undefended = hits(results, "none", "plain")
    assert blind > undefended + 0.1, "it looks like a defence"
    assert transferred == pytest.approx(undefended, abs=0.02), "and is none"
    assert flags(results, "rounding-layer") == {"zero_gradient", "transfer_stronger"}
    assert flags(results, "rounding-layer", "plain") == {"no_effect"}


def test_a_defence_that_merely_refuses(results: Results) -> None:
    assert "refuses" in flags(results, "refuser")
    assert flags(results, "refuser(every=10)") >= {"refuses", "costs_more_than_attack"}
    (said,) = (flag.cause for flag in cell(results, "refuser(every=10)", "protected").flags if flag.name == "refuses")
    assert said.startswith("The victim behind 'refuser' gave 9")
    nobody = cell(results, "refuser(every=31)", "protected")
    assert (nobody.verdict, nobody.reason) == (
        "NOT_APPLICABLE",
        "a relative bound needs a clean mean above 0, and it is 0",
    )


@pytest.mark.parametrize(("share", "told"), [(0.0, False), (0.005, False), (0.02, True), (1.0, True)])
def test_an_exposure_that_is_kept_down_by_refusing(share: float, told: bool) -> None:
    """Who is shown nothing is not shown the target: a PASS, and a flag."""
    cell = one(planned(PROMOTED), "promotion", 0.01, "pca", "protected")
    _, assessment = outcome(cell, 0.0, clean=0.0)
    for ranking in assessment.measured.clean:
        ranking.lists[: round(share * len(ranking.lists))] = 0
    record = result(assessment, "PASS", "", holdings=Seen.of(LOG, np.arange(USERS)), train=LOG)
    assert ("refuses" in {flag.name for flag in record.flags}) == told


CHAIN = """\
dataset: {file: chain.csv}
victims:
  - name: gru4rec
    settings: {context: 8, dimension: 16, max_steps: 600, batch_size: 32, learning_rate: 0.03, validation_share: 0.0}
seeds: [3]
seen: keep
retrain: scratch
threats:
  - id: white
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [{name: substitution, tau: null}]
    budgets: [{edits: 1}]
    defenses: [none, {name: distillation, temperature: 100}]
    plan: [plain, protected]
    bound: {metric: ndcg@10, kind: drop, limit: 0.5}
  - id: black
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: greedy, candidates: 60, kinds: [replace]}]
    budgets: [{edits: 1}]
    defenses: [none, {name: distillation, temperature: 100}]
    plan: [protected]
    bound: {metric: ndcg@10, kind: drop, limit: 0.5}
"""


def test_distillation_at_a_high_temperature_only_hides_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = chain_log(users=200, n_items=40, length=12, noise=0.1)
    rows = [f"u{user},{item},{place}" for place, (user, item) in enumerate(zip(log.user, log.item, strict=True))]
    (tmp_path / "chain.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    (tmp_path / "chain.yaml").write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    found = review(Request(scenario="chain.yaml", out=Path("out"), engine="serial"))
    name = "distillation(temperature=100)"
    blind, oblivious = (
        next(c for c in found.cells if (c.threat, c.defense, c.planned_on) == ("white", name, on))
        for on in ("protected", "plain")
    )
    by_lists = next(c for c in found.cells if (c.threat, c.defense) == ("black", name))
    left = {name: c.metrics["ndcg@10"].attacked for name, c in (("blind", blind), ("oblivious", oblivious))}
    assert left["blind"] > 0.4, "it looks like a defence"
    assert left["oblivious"] < 0.2, "and who does not follow its gradient finds none"
    assert by_lists.metrics["ndcg@10"].attacked < 0.1
    assert {flag.name for flag in blind.flags} >= {"transfer_stronger", "black_box_stronger"}
    assert "no_effect" in {flag.name for flag in by_lists.flags}


def test_a_defence_that_helps_is_not_accused() -> None:
    found = planned(EDITED)
    without = outcome(one(found, "white", 2), 0.2)
    helps = outcome(one(found, "white", 2, "surprise", "protected"), 0.5)
    assert across(without, helps) == [[], []]


def across(*outcomes: Any) -> list[list[str]]:
    from robust.runner.across import flag_across

    for record, _ in outcomes:
        record.flags.clear()
    flag_across([record for record, _ in outcomes], [assessment for _, assessment in outcomes])
    return [[flag.name for flag in record.flags] for record, _ in outcomes]


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed model", "three seeds"])
def test_no_gain_is_told_where_there_was_harm(fixed: bool) -> None:
    found = planned(EDITED, fixed=fixed)
    plain, behind = one(found, "white", 2), one(found, "white", 2, "surprise", "protected")
    assert across(outcome(plain, 0.3), outcome(behind, 0.3, clean=0.79)) == [[], ["no_effect"]]
    assert across(outcome(plain, 0.3), outcome(behind, 0.1)) == [[], ["no_effect"]]
    assert across(outcome(plain, 0.3), outcome(behind, 0.5)) == [[], []]
    assert across(outcome(plain, 0.8), outcome(behind, 0.79, clean=0.79)) == [[], []], "no harm, nothing to defend"
    assert across(outcome(plain, 0.3), outcome(behind, 0.1, clean=0.1)) == [[], ["no_effect", "costs_more_than_attack"]]
    few: dict[str, Any] = {"seeds": 2}
    expected: list[str] = ["no_effect", "costs_more_than_attack"] if fixed else []
    assert across(outcome(plain, 0.3, **few), outcome(behind, 0.1, clean=0.1, **few))[1] == expected


def test_exposure_has_no_price_of_its_own_here() -> None:
    found = planned(PROMOTED)
    plain, behind = one(found, "promotion", 0.01), one(found, "promotion", 0.01, "pca", "protected")
    assert across(outcome(plain, 0.5, clean=0.1), outcome(behind, 0.5, clean=0.09)) == [[], ["no_effect"]]
    assert across(outcome(plain, 0.5, clean=0.1), outcome(behind, 0.2, clean=0.1)) == [[], []]
