"""Files for pipelines, images and clusters: checked by their linters and schemas, and their steps run as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from typer.main import get_command

from robust.cli import app
from robust.documents import plain, read_yaml

REPOSITORY = Path(__file__).parents[2]
CI = REPOSITORY / "docs" / "ci"
TOOLS = Path(sysconfig.get_path("scripts"))
KUBERNETES = sorted((CI / "kubernetes").glob("*.yaml"))
ACTION = CI / "github-action" / "action.yml"
# the label with a job's name, and pods that may be ignored when they fail, are in these and in what lies between
OLDEST, NEWEST = "1.27.0", "1.37.0"

LOG = "user,item,timestamp\n" + "\n".join(f"u{u},i{(u + s) % 12},{s}" for u in range(60) for s in range(8)) + "\n"
SCENARIO = """\
schema: 1
title: A chain of items
dataset: {file: log.csv}
victims: [markov]
seeds: [3]
threats:
  - id: edited-history
    goal: {degrade: true}
    knowledge: {log: popularity, model: lists}
    attacks: [{name: random-substitution, tries: 20}]
    budgets: [{edits: 1}]
    bound: {metric: ndcg@10, kind: drop, limit: LIMIT}
"""


SLOW = """\
import pathlib, time
from robust.recommenders.baselines import Markov

class Slow(Markov):
    def score(self, sequences):
        pathlib.Path("working").touch()
        while not pathlib.Path("quick").exists():
            time.sleep(0.05)
        return super().score(sequences)
"""


def until(true: Callable[[], object], seconds: float = 120) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def document(path: Path) -> Any:
    return plain(read_yaml(path.read_text(encoding="utf-8"), path.name))


def tool(*command: object) -> str:
    """What a linter says; it has to be content."""
    name, *rest = map(str, command)
    run = subprocess.run([str(TOOLS / name), *rest], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with the script in it, a log, and two scenarios: one bound holds, the other does not."""
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "holds.yaml").write_text(SCENARIO.replace("LIMIT", "0.99"))
    (tmp_path / "breaks.yaml").write_text(SCENARIO.replace("LIMIT", "0.01"))
    (tmp_path / "docs" / "ci").mkdir(parents=True)
    shutil.copy(CI / "robust-review.sh", tmp_path / "docs" / "ci")
    return tmp_path


def bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A step as a runner runs it: bash that stops at an error, with `robust` on the path."""
    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", "ROBUST_WORKERS": "1", **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_linters_find_nothing() -> None:
    tool("hadolint", REPOSITORY / "Dockerfile")
    tool("shellcheck", CI / "robust-review.sh")
    tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION)
    gitlab = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    tool("check-jsonschema", *gitlab, CI / "gitlab-ci.yml")
    for version in (OLDEST, NEWEST):
        said = tool("kubernetes-validate", "--strict", "--kubernetes-version", version, *KUBERNETES)
        assert said.count(f"against version {version.removesuffix('.0')}") == len(KUBERNETES) == 3, said


def test_the_linters_would_find_something(tmp_path: Path) -> None:
    wrong = {
        "Dockerfile": "FROM python\nCMD robust --help\n",
        "action.yml": ACTION.read_text().replace("using: composite", "using: compost"),
        "job.yaml": (CI / "kubernetes" / "job.yaml").read_text().replace("backoffLimit: 0", "backofLimit: 0"),
    }
    for name, text in wrong.items():
        (tmp_path / name).write_text(text)
    for command in (
        ("hadolint", tmp_path / "Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-actions", tmp_path / "action.yml"),
        ("kubernetes-validate", "--strict", tmp_path / "job.yaml"),
    ):
        with pytest.raises(AssertionError):
            tool(*command)


def test_the_workflow_in_the_guide_is_one(tmp_path: Path) -> None:
    guide = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    (workflow,) = [text for text in re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL) if "jobs:" in text]
    (tmp_path / "workflow.yml").write_text(workflow)
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", tmp_path / "workflow.yml")
    (given,) = [
        s["with"] for s in document(tmp_path / "workflow.yml")["jobs"]["review"]["steps"] if "docs/ci" in s["uses"]
    ]
    assert set(given) <= set(document(ACTION)["inputs"])


def test_the_image_is_slim_not_roots_and_runs_robust() -> None:
    lines = [line.split(maxsplit=1) for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if line.strip()]
    last = {line[0]: line[-1] for line in lines}  # the last of each instruction
    assert last["FROM"].endswith("-slim")
    assert last["USER"].split(":")[0] == "1000"
    assert json.loads(last["ENTRYPOINT"]) == ["robust"]


def test_what_the_image_copies_is_enough_to_build(tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    let_in = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(names) == let_in
    source = tmp_path / "source"
    source.mkdir()
    for name in names:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(
                REPOSITORY / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(REPOSITORY / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    command = (*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"robust/attacks/evasion/substitution.py", "robust/defenses/sanitizers/pca.py"} <= held
    assert {"robust/scenarios/ci.yaml", "robust/starter/files/my_model.py.in", "robust/report/html.py"} <= held


@pytest.mark.parametrize("name", ["job", "cronjob"])
def test_a_pod_is_never_tried_again_and_keeps_its_run(name: str) -> None:
    held = document(CI / "kubernetes" / f"{name}.yaml")
    job = held["spec"] if name == "job" else held["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert job["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1000
    (claimed,) = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
    assert claimed == document(CI / "kubernetes" / "storage.yaml")["metadata"]["name"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    arguments = container["args"]
    assert Path(arguments[arguments.index("--out") + 1]).parts[1] in {path.strip("/") for path in mounted}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def step(name: str, inputs: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The script and the environment of one of the action's steps, with its expressions evaluated as GitHub would."""
    action = document(ACTION)
    values = {key: str(entry.get("default", "")) for key, entry in action["inputs"].items()} | inputs
    (found,) = [entry for entry in action["runs"]["steps"] if entry["name"] == name]

    def evaluated(text: str) -> str:
        text = text.replace("${{ github.action_path }}", str(ACTION.parent))
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: values[match[1]], text)

    environment = {key: evaluated(value) for key, value in found["env"].items()}
    assert not any("${{" in text for text in (*environment.values(), found["run"]))
    return cast(str, found["run"]), environment


def test_the_github_action_keeps_code_report_and_run(project: Path) -> None:
    script, environment = step("Review", {"scenario": "breaks.yaml", "out": "run", "engine": "serial"})
    output, summary = project / "output", project / "summary"
    ran = bash(script, project, **environment, GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=str(summary))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert output.read_text() == "code=1\n"
    assert summary.read_text().startswith("## FAIL")
    assert summary.read_text() == (project / "run" / "report.md").read_text()
    assert (project / "run" / "report.html").is_file()
    assert json.loads((project / "run" / "report.sarif").read_text())["version"] == "2.1.0"


WORSE = """\
from robust.recommenders.baselines import Markov

class Worse(Markov):
    def score(self, sequences):
        scores = super().score(sequences).copy()
        forgotten = sequences.items[:, -2] % 2 == 0
        scores[forgotten] = -scores[forgotten]
        return scores
"""


def test_a_baseline_is_compared_with_and_worse_fails(project: Path) -> None:
    (project / "worse.py").write_text(WORSE)
    once = (project / "holds.yaml").read_text().replace("tries: 20", "tries: 1")
    (project / "once.yaml").write_text(once)
    first, environment = step("Review", {"scenario": "once.yaml", "out": "first", "engine": "serial"})
    assert bash(first, project, **environment).returncode == 0
    assert not (project / "first" / "comparison.md").exists()
    (project / "baseline").mkdir()
    for name in ("results.json", "users.parquet"):
        shutil.copy(project / "first" / name, project / "baseline")

    def against(**inputs: str) -> tuple[int, str, str, str]:
        given = {"scenario": "once.yaml", "out": "run", "engine": "serial", "baseline": "baseline"} | inputs
        script, environment = step("Review", given)
        for name in ("output", "summary"):
            (project / name).unlink(missing_ok=True)
            (project / name).touch()
        told = {"GITHUB_OUTPUT": str(project / "output"), "GITHUB_STEP_SUMMARY": str(project / "summary")}
        ran = bash(script, project, **environment, **told)
        return ran.returncode, (project / "output").read_text(), (project / "summary").read_text(), ran.stderr

    code, output, summary, said = against()
    assert (code, output) == (0, "code=0\n"), said
    assert summary.startswith("## Robustness: NOT WORSE")
    comparison, report = (project / "run" / f"{name}.md" for name in ("comparison", "report"))
    assert summary == comparison.read_text() + "\n" + report.read_text()
    assert "## PASS" in summary
    code, output, summary, said = against(model="worse:Worse", out="second")
    assert (code, output) == (1, "code=1\n"), said
    assert summary.startswith("## Robustness: WORSE")
    assert json.loads((project / "second" / "results.json").read_text())["verdict"] == "PASS"  # of the bounds alone
    (project / "once.yaml").write_text(once.replace("edits: 1", "edits: 2"))
    code, output, summary, said = against(out="third")
    assert (code, output, summary) == (2, "code=2\n", "")
    assert "nothing was run" in said
    assert "budgets of the threat" in said


def test_an_undecided_review_keeps_its_reports_and_fails_under_strict(project: Path) -> None:
    script, environment = step("Review", {"scenario": "holds.yaml", "out": "run", "strict": "true", "max-time": "0s"})
    told = {"GITHUB_OUTPUT": str(project / "output"), "GITHUB_STEP_SUMMARY": str(project / "summary")}
    ran = bash(script, project, **environment, **told)
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert (project / "output").read_text() == "code=4\n"
    assert (project / "summary").read_text().startswith("## INCONCLUSIVE")
    assert "<skipped" in (project / "run" / "junit.xml").read_text()
    assert json.loads((project / "run" / "report.sarif").read_text())["runs"]


def test_a_cancelled_review_ends_in_order_and_goes_on(project: Path) -> None:
    """GitHub sends SIGINT to the step's process only, and the script sends SIGTERM to `robust`, as Kubernetes does."""
    (project / "slow.py").write_text(SLOW)
    script, environment = step("Review", {"scenario": "holds.yaml", "model": "slow:Slow", "out": "run", "workers": "2"})
    environment |= {"GITHUB_OUTPUT": str(project / "output"), "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    told, command = os.environ | environment, ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    child = subprocess.Popen(command, cwd=project, env=told, stderr=subprocess.PIPE, text=True, process_group=0)
    try:
        until(lambda: (project / "working").exists() and any((project / "run" / "store").rglob("*.bin")))
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
        with pytest.raises(ProcessLookupError):  # not one process of the group is left
            until(lambda: os.killpg(child.pid, 0))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    assert (child.returncode, (project / "output").read_text()) == (130, "code=130\n")
    assert "goes on from there" in said
    kept = {file: file.stat().st_mtime_ns for file in (project / "run" / "store").rglob("*") if file.is_file()}
    (project / "quick").touch()
    again = bash(script, project, **environment | {"ROBUST_WORKERS": "1"})
    assert again.returncode == 0, again.stdout + again.stderr
    assert kept.items() <= {file: file.stat().st_mtime_ns for file in kept}.items()


def test_an_input_is_data_and_a_report_is_never_anothers(project: Path) -> None:
    summary = project / "summary"
    script, environment = step(
        "Review", {"scenario": "holds.yaml", "log": "$(touch hacked); `touch hacked`", "out": "run"}
    )
    (project / "run").mkdir()
    (project / "run" / "results.json").write_text("{}")  # of an earlier run, from a cache
    told = {"GITHUB_OUTPUT": str(project / "output"), "GITHUB_STEP_SUMMARY": str(summary)}
    ran = bash(script, project, **environment, **told)
    assert ran.returncode == 2
    assert "touch hacked" in ran.stderr
    assert not (project / "hacked").exists()
    assert not summary.exists()


def test_the_gitlab_job_keeps_code_and_report(project: Path) -> None:
    job = document(CI / "gitlab-ci.yml")["robustness"]
    variables = job["variables"] | {"ROBUST_SCENARIO": "holds.yaml", "ROBUST_ENGINE": "serial", "ROBUST_STRICT": "true"}
    ran = bash("\n".join(job["script"]), project, **variables)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (project / "robust-out" / "report.md").read_text().startswith("## PASS")
    kept = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert [path for path in kept if not (project / path).exists()] == ["robust-out/comparison.md"]
    assert (project / job["cache"]["paths"][0]).is_dir()
    for path in kept:  # the next pipeline has the artifact alone
        if (project / path).is_file():
            (project / "baseline").mkdir(exist_ok=True)
            shutil.move(project / path, project / "baseline")
    ran = bash("\n".join(job["script"]), project, **variables, ROBUST_BASELINE="baseline")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (project / "robust-out" / "comparison.md").read_text().startswith("## Robustness: NOT WORSE")


def test_every_flag_that_the_script_knows_is_one_of_review(project: Path) -> None:
    script = (CI / "robust-review.sh").read_text()
    valued, switches = (line.split() for line in re.findall(r"for flag in ([\w -]+); do", script))
    stub = project / "bin"
    stub.mkdir()
    (stub / "robust").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    (stub / "robust").chmod(0o755)

    def variable(flag: str) -> str:
        return f"ROBUST_{flag.upper().replace('-', '_')}"

    told = {variable(flag): f"the {flag}" for flag in valued} | {variable(flag): "true" for flag in switches}
    path = f"{stub}{os.pathsep}{os.environ['PATH']}"
    ran = bash("bash docs/ci/robust-review.sh --engine serial", project, **told, PATH=path)
    expected = [word for flag in valued for word in (f"--{flag}", f"the {flag}")] + [f"--{flag}" for flag in switches]
    assert ran.stdout.splitlines() == ["review", "ci", *expected, "--out", "robust-out", "--engine", "serial"]
    (review,) = [command for command in get_command(app).commands.values() if command.name == "review"]  # type: ignore[attr-defined]
    known = {option.removeprefix("--") for parameter in review.params for option in parameter.opts}
    assert {*valued, *switches} <= known
    _, environment = step("Review", {})
    assert {variable(flag) for flag in (*valued, *switches)} <= set(environment)
