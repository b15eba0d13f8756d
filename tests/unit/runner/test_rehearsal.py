"""How a rehearsal's seconds are carried on to the review's own size."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.recommenders.training import planned_steps
from robust.runner.cell import Cell
from robust.runner.engines import closure
from robust.runner.prepare import Prepared, Request, prepare
from robust.runner.rehearsal import LARGE, SMALL, Rehearsal, Spent, rehearse, signature, training_settings

SCENARIO = """\
schema: 1
dataset: flights
victims: [{name: gru4rec, dimension: 8, hidden: 8}]
seeds: [3]
users: 500
threats:
  - id: edits
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [random-substitution]
    budgets: [{edits: 1}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.1}
  - id: fakes
    goal: {promote: cold*2}
    attacks: [random]
    budgets: [{users: 1%}]
    bound: {metric: target_hr@10, kind: rise, limit: 0.1}
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    path = tmp_path_factory.mktemp("plan") / "small.yaml"
    path.write_text(SCENARIO)
    return prepare(Request(scenario=str(path)), None)


def cell(prepared: Prepared, threat: str) -> Cell:
    return next(cell for cell in prepared.cells if cell.threat.id == threat)


def test_steps_of_other_seeds_look_alike_and_other_steps_do_not(prepared: Prepared) -> None:
    fakes = cell(prepared, "fakes")
    one, other = closure(fakes.steps(0).steps), closure(fakes.steps(1).steps)
    assert [signature(step) for step in one] == [signature(step) for step in other]
    assert len({signature(step) for step in one}) == len(one)


def test_ranking_grows_with_users(prepared: Prepared) -> None:
    ranked = cell(prepared, "edits").steps(1).attacked
    line = (Spent(0.5 + 0.01 * SMALL.users), Spent(0.5 + 0.01 * LARGE.users))
    found = Rehearsal(prepared, {signature(ranked): line})
    assert found.of(ranked) == pytest.approx(0.5 + 0.01 * 500)


def test_training_grows_with_its_steps(prepared: Prepared) -> None:
    """A quarter of the fit's steps is what a warm start takes."""
    warm = cell(prepared, "fakes").steps(0).attacked.inputs["model"]
    settings = training_settings(warm.params["victim"])
    assert settings is not None
    steps = planned_steps(settings, prepared.split.train)
    line = (Spent(2.0 + 0.1 * round(0.25 * SMALL.steps)), Spent(2.0 + 0.1 * round(0.25 * LARGE.steps)))
    found = Rehearsal(prepared, {signature(warm): line}).of(warm)
    assert found == pytest.approx(2.0 + 0.1 * round(0.25 * steps))


def test_a_noisy_rehearsal_never_says_less_than_it_took(prepared: Prepared) -> None:
    ranked = cell(prepared, "edits").steps(0).attacked
    assert Rehearsal(prepared, {signature(ranked): (Spent(3.0), Spent(2.0))}).of(ranked) == 2.0


def test_every_step_is_rehearsed(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = rehearse(prepared, Request())
    assert found is not None
    for one in prepared.cells:
        for step in closure(one.steps(2).steps):
            seconds = found.of(step)
            assert seconds is not None
            assert seconds > 0


def test_a_foreign_victim_that_is_trained_cannot_be_trained_a_little(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robust.runner.rehearsal.training_settings", lambda victim: None)
    assert rehearse(prepared, Request()) is None


FOREIGN = """\
import numpy as np


class Model:
    n_items = 316

    def score(self, sequences):
        return np.tile(np.arange(317, dtype=np.float32), (len(sequences), 1))

    def fit(self, log, *, seed):
        raise SystemExit("this may take hours")


model = Model()
"""


@pytest.mark.parametrize("retrained", [True, False])
def test_a_plan_never_trains_what_it_cannot_shorten(
    retrained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing retrains it, a foreign victim is rehearsed like any other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hours.py").write_text(FOREIGN)
    scenario = SCENARIO.replace("{name: gru4rec, dimension: 8, hidden: 8}", '"hours:model"')
    Path("own.yaml").write_text(scenario if retrained else scenario[: scenario.index("  - id: fakes")])
    prepared = prepare(Request(scenario="own.yaml"), None)
    assert any(cell.retrains for cell in prepared.cells) == retrained
    assert (rehearse(prepared, Request()) is None) == retrained
