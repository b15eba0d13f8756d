"""What keeps two runs from being compared, and what may differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from robust.compare.comparable import check_comparable
from robust.errors import InputError
from robust.runner.results import Results
from tests.unit.compare.example import run


def changed(results: Results, change: Callable[[Results], object]) -> Results:
    copied = results.model_copy(deep=True)
    change(copied)
    return copied


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.environment.update(data="e" * 32), "the train rows, the evaluated users or their true next items"),
        (lambda r: r.environment.pop("data"), "does not say which data"),
        (lambda r: setattr(r.dataset, "rows", 7), "other rows of the log"),
        (lambda r: setattr(r.dataset, "seen", "exclude"), "already seen"),
        (lambda r: r.scenario.update(split={"global-time": 0.9}), "other split"),
        (lambda r: r.scenario.update(users=50), "other most users evaluated: 1000 there, 50 here"),
        (lambda r: r.scenario.update(retrain="scratch"), "other retraining"),
        (lambda r: r.scenario["threats"][0].update(budgets=[{"edits": 3}]), "other budgets of the threat 'edits'"),
        (
            lambda r: r.scenario["threats"][0].update(budgets=[{"edits": n, "per": "user"} for n in (1, 2, 3)]),
            'budgets of the threat \'edits\': [{"edits": 1, "per": null}, {"edits": 2, "per": null}] there',
        ),
        (
            lambda r: r.scenario["threats"][0]["attacks"][0].update(parameters={"tau": None}),
            """of the threat 'edits': [{"parameters": {}}] there, [{"parameters": {"tau": null}}] here""",
        ),
        (lambda r: r.scenario["threats"][0]["attacks"][0].update(name="beam"), "other attacks of the threat 'edits'"),
        (lambda r: r.scenario["threats"][0].update(goal={"promote": "cold*5"}), "other goal"),
        (lambda r: r.scenario["threats"][0].update(knowledge={"log": "none"}), "other knowledge"),
        (lambda r: r.scenario["threats"][0]["bound"].update(metric="hr@10"), "other metric bounded"),
        (lambda r: r.scenario["threats"][0].update(id="moved"), "no threat is in both"),
        (lambda r: r.cells.clear(), "several models|not one cell"),
    ],
)
def test_runs_that_are_not_comparable_are_refused(change: Callable[[Results], object], reason: str) -> None:
    base = run()
    candidate = replace(base, results=changed(base.results, change))
    with pytest.raises(InputError, match=r"cannot be compared") as refused:
        check_comparable(base, candidate)
    assert any(part in str(refused.value) for part in reason.split("|"))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.scenario.update(seeds=[3, 5], title="Other", accept=[]),
        lambda r: r.scenario["threats"][0]["bound"].update(limit=0.2),
        lambda r: r.scenario["threats"][0].update(
            title="Other", surrogate={"name": "sasrec"}, news="a later version's"
        ),
    ],
)
def test_what_changes_no_measurement_may_differ(change: Callable[[Results], object]) -> None:
    base = run()
    assert len(check_comparable(base, replace(base, results=changed(base.results, change))).cells) == 2


def test_other_versions_of_the_harness_and_of_an_attack_are_noted() -> None:
    base, candidate = run(), run(seeds=(5, 6, 7))
    base.results.environment["sources"] = {"substitution": "1", "pgd": "1", "gone": "1"}
    candidate.results.environment.update(seqrobust="0.2.0", engine="ray", sources={"substitution": "2", "pgd": "1"})
    first, second = check_comparable(base, candidate).notes
    assert "by seqrobust 0.1.0, the candidate by 0.2.0" in first
    assert "The source of 'substitution' changed" in second


def test_runs_that_were_stopped_at_once_are_refused_with_what_stopped_them() -> None:
    stopped = run(cell={"points": [], "reason": "--max-time had passed"})
    with pytest.raises(InputError, match=r"not one cell was measured in both: --max-time had passed\n"):
        check_comparable(run(), replace(stopped, values={}))


def test_every_reason_is_given_at_once() -> None:
    def change(results: Results) -> None:
        results.dataset.rows = 7
        results.scenario["users"] = 50

    base = run()
    with pytest.raises(InputError, match=r"(?s)rows of the log.*users evaluated"):
        check_comparable(base, replace(base, results=changed(base.results, change)))
