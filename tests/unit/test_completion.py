"""Completion: what a shell is offered, through the same call that the shell makes, and that it stays cheap."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from robust import completion, plugins
from robust.attack import PoisoningAttack
from robust.catalogue import LISTABLE
from robust.defense import Sanitizer

CALL = "import sys; sys.argv = ['robust']; from robust.cli import main; main()"


def offered(line: str, folder: Path) -> list[str]:
    """What bash shows for a line whose last word is being typed, as typer's own completion script asks."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_ROBUST_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    run = subprocess.run(
        [sys.executable, "-c", CALL], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    return run.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("robust le", ["leaderboard"]),
        ("robust show pg", ["pgd"]),
        ("robust show results", ["results-schema"]),
        ("robust list da", ["datasets"]),
        ("robust review re", ["release"]),
        ("robust review quick --engine ser", ["serial"]),
        ("robust review quick --model sas", ["sasrec"]),
        ("robust plan quick --log fli", ["flights"]),
        ("robust doctor --attack bandw", ["bandwagon"]),
        ("robust attack sub", []),  # an attack, but not one on a log
        ("robust sanitize isol", ["isolation-forest"]),
        ("robust sanitize surp", []),  # a defence, but no sanitiser
    ],
)
def test_a_shell_is_offered(line: str, expected: list[str], tmp_path: Path) -> None:
    assert offered(line, tmp_path) == expected


def test_bash_offers_it(tmp_path: Path) -> None:
    """bash itself, with the script that `--install-completion` installs, and what that script is called with."""
    script = """
        eval "$(_ROBUST_COMPLETE=source_bash robust)"
        name=$(complete -p robust | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        COMP_WORDS=(robust show bandw) COMP_CWORD=2 COMPREPLY=()
        "$name" robust bandw show
        echo "${COMPREPLY[@]}"
    """
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "--noprofile", "--norc", "-euc", script]
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert (run.stdout.split(), run.stderr) == (["bandwagon"], "")


def test_scenario_files_are_offered_beside_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quality.yaml").touch()
    (tmp_path / "quarter.txt").touch()
    (tmp_path / ".hidden.yaml").touch()
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "night.yml").touch()
    assert completion.scenarios("qu") == ["quick", "quality.yaml", "queue/"]
    assert completion.scenarios("queue/") == ["queue/night.yml"]
    assert completion.scenarios("nowhere/") == []
    assert ".hidden.yaml" not in completion.scenarios("")


def test_what_is_offered_is_what_there_is() -> None:
    assert completion.attacks("") == plugins.names("attacks")
    assert set(completion.kinds("")) == set(LISTABLE)
    on_logs = {name for name, kind in plugins.load_all("attacks").items() if issubclass(kind, PoisoningAttack)}
    assert set(completion.log_attacks("")) == on_logs
    sanitizers = {name for name, kind in plugins.load_all("defenses").items() if issubclass(kind, Sanitizer)}
    assert set(completion.sanitizers("")) == sanitizers


def test_completing_imports_nothing_heavy() -> None:
    heavy = "torch", "numpy", "pydantic", "rich", "ruamel", "art"
    script = (
        "import sys; from robust import cli, completion as c; "
        "[f('') for f in (c.scenarios, c.models, c.attacks, c.log_attacks, c.sanitizers, c.logs, c.kinds, c.plugins)]; "
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
