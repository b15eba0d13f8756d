"""The page that takes a stranger from a class to a row: its files are real ones, built, installed and run."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import PIP, REPOSITORY, build_wheel, sh

PACKAGE = Path(__file__).parent / "thirdparty_defense"
FILES = ("pyproject.toml", "acme_defenses.py", "test_acme_defenses.py", "known_pairs.yaml")
PAGE = (REPOSITORY / "docs" / "writing-a-defense.md").read_text(encoding="utf-8")


def test_the_pages_code_blocks_are_the_files() -> None:
    shown = dict(re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))
    files = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in FILES}
    assert shown == files, "docs/writing-a-defense.md shows other files than tests/integration/thirdparty_defense has"


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


def test_from_a_class_to_a_row(fresh_python: Path, installed: tuple[Path, dict[str, str]]) -> None:
    work, environment = installed

    def robust(*arguments: str, ok: bool = True) -> str:
        code = "from robust.cli import main; main()"
        return sh(fresh_python, "-c", code, *arguments, cwd=work, env=environment, ok=ok)

    (row,) = [row for row in json.loads(robust("list", "defenses", "--json")) if row["name"] == "known-pairs"]
    assert (row["stage"], row["cost"]) == ("input", "every query")
    shown = robust("show", "known-pairs")
    assert "- `fewest = 1` (whole number ≥ 1): how often two items must have been neighbours" in shown
    assert "## What must hold\n\nGenuine sequences repeat" in shown
    assert "## Known deviations\n\nForrest et al. count" in shown
    words: list[str | Path] = [fresh_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    said = sh(*words, cwd=work, env=environment)
    assert re.search(r"\d+ passed", said), said
    assert "skipped" not in said

    commands = re.findall(r"^robust (review|leaderboard \w+) (.*?)(?:  +#.*)?$", PAGE, flags=re.MULTILINE)
    for command, rest in [(c, r) for c, r in commands if "mine.yaml" not in r and "--defense" not in r]:
        robust(*command.split(), *rest.split(), ok=command != "review")  # exit code 1 is the verdict
    rows = json.loads(robust("leaderboard", "show", "rows", "--json"))
    assert [row["defense"] for row in rows][-1] == "none", "a defence that does nothing for it"
    assert {row["package"] for row in rows} >= {"acme-defenses 1.0"}
    (known,) = [row for row in rows if row["defense"] == "known-pairs"]
    assert known["planned_on"] == "protected", "the number that counts is that against who knows it"
    page = (work / "leaderboard.html").read_text(encoding="utf-8")
    assert page.count('<svg class="picture pareto') == 2  # wide and narrow
    assert "known-pairs(fewest=5)" in page
