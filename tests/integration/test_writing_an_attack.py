"""The page that takes a stranger to an attack of their own: its files are real ones, built, installed and run."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import PIP, REPOSITORY, build_wheel, sh

PACKAGE = Path(__file__).parent / "thirdparty"
FILES = ("pyproject.toml", "acme_attacks.py", "test_acme_attacks.py", "lead_in.yaml")
PAGE = (REPOSITORY / "docs" / "writing-an-attack.md").read_text(encoding="utf-8")


def test_the_pages_code_blocks_are_the_files() -> None:
    shown = dict(re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))
    files = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in FILES}
    assert shown == files, "docs/writing-an-attack.md shows other files than tests/integration/thirdparty has"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with what the author runs, and the environment in which the package is installed from its wheel."""
    folder = tmp_path_factory.mktemp("acme")
    wheel = build_wheel(PACKAGE, folder)
    sh(*PIP, "install", "--no-deps", "--target", folder / "site", wheel, cwd=folder)
    work = folder / "work"
    work.mkdir()
    for name in FILES[2:]:
        shutil.copy(PACKAGE / name, work)
    return work, {**os.environ, "PYTHONPATH": str(folder / "site")}


def test_it_is_listed_shown_and_keeps_its_promises(fresh_python: Path, installed: tuple[Path, dict[str, str]]) -> None:
    work, environment = installed

    def robust(*arguments: str) -> str:
        code = "from robust.cli import main; main()"
        return sh(fresh_python, "-c", code, *arguments, cwd=work, env=environment)

    (row,) = [row for row in json.loads(robust("list", "attacks", "--json")) if row["name"] == "lead-in"]
    assert "Yang" in row["source"]
    assert row["log_access"] == "full"
    shown = robust("show", "lead-in")
    assert "- `candidates = 5` (whole number ≥ 1): items that are tried per edit" in shown
    assert "Black-box Evasion" in shown
    words: list[str | Path] = [fresh_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    said = sh(*words, cwd=work, env=environment)
    assert re.search(r"\d+ passed", said), said
    assert "skipped" not in said
