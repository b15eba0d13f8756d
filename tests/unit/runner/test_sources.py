"""A step's key changes with the code on which its outcome depends: a plugin's own module and what it imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from robust import plugins
from robust.runner.step import _imports, code_hash, plugin_params, source_hash

PLUGIN = """
from typing import ClassVar

from robust.attack import PoisoningAttack
from robust.log import LogEdit
from {project}.tables import TABLE
from .parts import helper


class Mine(PoisoningAttack):
    name: ClassVar[str] = "mine"
    source: ClassVar[str] = "nobody, 2026"

    def poison(self, access, goal, budget, rng):
        return LogEdit()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A third party's package: a plugin, a module that it takes a table from, and one that it imports relatively."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "tables.py").write_text("TABLE = {'a': 1}\n")
    (folder / "parts.py").write_text("from theirs import deeper\n\n\ndef helper():\n    return deeper\n")
    (folder / "deeper.py").write_text("DEPTH = 1\n")
    (folder / "plugin.py").write_text(PLUGIN.format(project="theirs"))
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("mine", "theirs.plugin:Mine", "robust.attacks")
    monkeypatch.setattr(plugins, "_registered", lambda kind: {"mine": point})
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
        del sys.modules[name]
    source_hash.cache_clear()


@pytest.mark.parametrize("changed", ["plugin.py", "tables.py", "parts.py", "deeper.py"])
def test_whatever_it_imports_of_its_own_project_counts(project: Path, changed: str) -> None:
    before = source_hash("attacks", "mine")
    source_hash.cache_clear()
    path = project / changed
    path.write_text(path.read_text() + "\n# changed\n")
    assert source_hash("attacks", "mine") != before


def test_what_it_does_not_import_does_not_count(project: Path) -> None:
    before = source_hash("attacks", "mine")
    source_hash.cache_clear()
    (project / "unrelated.py").write_text("X = 1\n")
    assert source_hash("attacks", "mine") == before


def test_the_core_that_every_step_runs_through_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the steps import of ours, but for where outcomes are kept and what only says how long it took."""
    read: set[Path] = set()
    whole = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.add(path)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    code_hash.__wrapped__()
    needed = {name for module in ("steps", "workshop", "step") for name in _imports(f"robust.runner.{module}")}
    files = {Path(sys.modules[name].__file__ or "") for name in needed if name in sys.modules and "robust." in name}
    spared = {"plugins.py", "errors.py", "store.py", "meter.py"}
    assert {path for path in files if path.name not in spared} <= read


def test_our_attacks_count_what_they_share_with_other_rooms() -> None:
    plugins.load("attacks", "substitution")
    assert "robust.attacks.objective" in set(_imports("robust.attacks.evasion.substitution"))


def test_a_portfolio_counts_its_members() -> None:
    found = plugin_params("attacks", "strongest", {"members": ["greedy", "substitution"]})
    assert found["runs"] == [source_hash("attacks", "greedy"), source_hash("attacks", "substitution")]
    assert "runs" not in plugin_params("attacks", "substitution", {})
