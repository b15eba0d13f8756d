"""The plugin as people run it: selections, reruns, workers, random order, warnings as errors, settings."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

MODEL = '''
import numpy as np

class Next:
    """Whoever saw item i sees i + 1 next: right on this log, and at the mercy of the newest item."""
    n_items = 30

    def recommend(self, sequences, k):
        return ((sequences.items[:, -1:] + np.arange(k)) % 30 + 1).astype(np.int32)

class Steady(Next):
    """The same for everybody."""
    def recommend(self, sequences, k):
        return np.tile(np.arange(1, k + 1, dtype=np.int32), (len(sequences), 1))

class Broken(Next):
    def recommend(self, sequences, k):
        if len(sequences) > 5:
            raise RuntimeError("out of order")
        return super().recommend(sequences, k)
'''

SCENARIO = """
schema: 1
dataset: {file: events.csv, columns: {user: u, item: i, timestamp: t}}
victims: ["model:MODEL"]
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: random-substitution, tries: 3}]
    budgets: [{edits: 1}, {edits: 2}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.10}
  - id: fakes
    goal: {promote: cold*2}
    attacks: [random]
    budgets: [{users: 2%}]
    bound: {metric: target_hr@10, kind: rise, limit: 0.10}
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's folder: 400 users who walk around a circle of 30 items; a model; a scenario that it does not survive."""
    rows = ["u,i,t"]
    rows += [f"{user},{(user * 7 + step) % 30 + 1},{step}" for user in range(400) for step in range(6)]
    pytester.path.joinpath("events.csv").write_text("\n".join(rows), encoding="utf-8")
    pytester.path.joinpath("model.py").write_text(MODEL, encoding="utf-8")
    pytester.path.joinpath("weak.robust.yaml").write_text(SCENARIO.replace("MODEL", "Next"), encoding="utf-8")
    return pytester


@pytest.fixture
def run(project: pytest.Pytester) -> Run:
    """pytest in a process of its own; one worker, so that no pool is started."""

    def call(*arguments: str, order: str = "no:randomly") -> pytest.RunResult:
        return project.runpytest_subprocess("--robust-workers=1", "-p", order, *arguments)

    return call


def test_each_cell_is_an_item_with_the_verdict_as_its_outcome(project: pytest.Pytester, run: Run) -> None:
    found = run("-v", "-rs", "--junitxml=junit.xml")
    found.assert_outcomes(failed=2, skipped=1)
    text = found.stdout.str()
    assert "weak.robust.yaml::edited/model-next/random-substitution-tries=3/2-edits/none/planned-plain FAILED" in text
    assert "needs a recommender that can be retrained" in text
    assert "NDCG@10 drops by at most 10%: broken, beyond chance." in text
    assert 'Once more:  python -m pytest "weak.robust.yaml::edited/' in text
    assert "Traceback" not in text
    section = text[text.index("worst change per threat") :]
    assert re.search(r"edited +FAIL +NDCG@10 down \d+\.\d% +random-substitution, 2 edits, on model:Next", section)
    assert re.search(r"fakes +NOT_APPLICABLE +not measured", section)
    cases = ElementTree.parse(project.path / "junit.xml").getroot().iter("testcase")
    verdicts = {
        case.attrib["name"].split("/")[3]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        for case in cases
    }
    assert verdicts["2-edits"]["robust_verdict"] == "FAIL"
    assert float(verdicts["2-edits"]["robust_low"]) > 0.10
    assert verdicts["2%-fake-users"]["robust_verdict"] == "NOT_APPLICABLE"
    assert (project.path / ".robust" / ".gitignore").read_text() == "*\n"


def test_a_selection_runs_only_what_was_selected_and_changes_no_verdict(project: pytest.Pytester, run: Run) -> None:
    found = run("-v", "-k", "1-edit and not fakes")
    found.assert_outcomes(failed=1, deselected=2)
    assert "p         " in found.stdout.str()
    before = re.search(r"p         \S+", found.stdout.str())
    again = re.search(r"1 edit,.*?(p         \S+)", run("-v").stdout.str(), flags=re.DOTALL)
    assert before is not None
    assert again is not None
    assert before[0] == again[1]


def test_lf_runs_what_failed_and_x_stops_at_the_first(project: pytest.Pytester, run: Run) -> None:
    run("-x").assert_outcomes(failed=1)
    run().assert_outcomes(failed=2, skipped=1)
    run("--lf").assert_outcomes(failed=2)
    run("-p", "no:cacheprovider").assert_outcomes(failed=2, skipped=1)


def test_workers_share_one_store_and_tell_the_terminal(project: pytest.Pytester, run: Run) -> None:
    found = run("-n", "2")
    found.assert_outcomes(failed=2, skipped=1)
    assert re.search(r"edited +FAIL +NDCG@10 down", found.stdout.str())


def test_random_order_and_warnings_as_errors_change_nothing(project: pytest.Pytester, run: Run) -> None:
    shuffled = run(order="no:xdist")
    assert "randomly" in shuffled.stdout.str()
    shuffled.assert_outcomes(failed=2, skipped=1)
    strict = [sys.executable, "-W", "error", "-m", "pytest", "--robust-workers=1"]
    told = subprocess.run(strict, cwd=project.path, capture_output=True, text=True, check=False)
    assert "2 failed, 1 skipped" in told.stdout, told.stdout + told.stderr


def test_a_robust_model_is_green(project: pytest.Pytester, run: Run) -> None:
    found = run("--robust-model=model:Steady", "-v")
    found.assert_outcomes(passed=2, skipped=1)


def test_what_is_not_decided_warns_and_fails_under_strict(project: pytest.Pytester, run: Run) -> None:
    few = [line for line in (project.path / "events.csv").read_text().splitlines() if len(line.split(",")[0]) < 2]
    (project.path / "events.csv").write_text("u,i,t\n" + "\n".join(few[1:]))
    steady = "--robust-model=model:Steady"
    found = run(steady)
    found.assert_outcomes(passed=2, skipped=1, warnings=2)
    assert "not decided" in found.stdout.str()
    run(steady, "--robust-strict").assert_outcomes(failed=2, skipped=1)
    (project.path / "pytest.ini").write_text("[pytest]\nrobust_strict = true\n")
    run(steady).assert_outcomes(failed=2, skipped=1)


def test_an_error_of_the_model_is_red_and_says_whose_it_is(project: pytest.Pytester, run: Run) -> None:
    found = run("--robust-model=model:Broken")
    found.assert_outcomes(failed=2, skipped=1)
    assert "out of order" in found.stdout.str()


def test_an_accepted_finding_is_expected_to_fail(project: pytest.Pytester, run: Run) -> None:
    cell = "edited/model-next/random-substitution-tries=3/2-edits/none/planned-plain"
    with (project.path / "weak.robust.yaml").open("a") as file:
        file.write(f"accept: [{{cell: '{cell}', reason: known, until: 2999-01-01}}]\n")
    found = run("-rx")
    found.assert_outcomes(failed=1, skipped=1, xfailed=1)
    assert "accepted: known" in found.stdout.str()


def test_a_scenario_that_cannot_be_read_is_an_error_of_collection(project: pytest.Pytester, run: Run) -> None:
    (project.path / "weak.robust.yaml").write_text(SCENARIO.replace("goal:", "gaol:", 1).replace("MODEL", "Next"))
    found = run()
    found.assert_outcomes(errors=1)
    assert "Did you mean 'goal'" in found.stdout.str()
    assert "Traceback" not in found.stdout.str()


TESTS = """
import pytest

def test_fixtures(recommender, interaction_log):
    assert recommender.n_items == interaction_log.n_items == 30

@pytest.mark.robust(strict=True)
def test_bound(recommender, interaction_log, assert_bounded_degradation):
    assert_bounded_degradation(recommender, interaction_log, max_drop=0.05)

def test_review(robust_review):
    results = robust_review("weak.robust.yaml")
    assert {cell.verdict for cell in results.cells} == {VERDICTS}
"""


def test_fixtures_take_the_options(project: pytest.Pytester, run: Run) -> None:
    options = ["--robust-log=events.csv", "--robust-columns=user=u,item=i,timestamp=t", "--robust-corpus=corpus"]
    project.makepyfile(test_own=TESTS.replace("VERDICTS", "'PASS', 'NOT_APPLICABLE'"))
    run("test_own.py", "--robust-model=model:Steady", "--strict-markers", *options).assert_outcomes(passed=3)
    red = run("test_own.py::test_bound", "--robust-model=model:Next", *options)
    red.assert_outcomes(failed=1)
    assert len(list((project.path / "corpus").glob("*.json"))) == 1
    unknown = run("test_own.py", *options)
    unknown.assert_outcomes(errors=2, failed=1)
    assert "needs --robust-model SPEC" in unknown.stdout.str()


def test_misspelt_options_and_markers_are_told(project: pytest.Pytester, run: Run) -> None:
    assert "expected a whole number of at least 0" in run("--robust-seed=x").stdout.str()
    project.makepyfile(test_own="import pytest\n\n@pytest.mark.robust(strikt=True)\ndef test(): pass\n")
    told = run("test_own.py")
    assert "Did you mean 'strict'?" in told.stdout.str() + told.stderr.str()


def test_an_unrelated_run_imports_nothing_of_ours_but_the_plugin(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_other="""
        import sys

        def test_other():
            ours = {name for name in sys.modules if name == "robust" or name.startswith("robust.")}
            light = {"testing", "testing.options", "testing.plugin", "testing.collected", "errors"}
            assert ours == {"robust"} | {"robust." + name for name in light}, ours
            assert not {"torch", "pandas", "scipy", "pydantic"} & set(sys.modules)
        """
    )
    run("test_other.py", "-p", "no:hypothesispytest").assert_outcomes(passed=1)
