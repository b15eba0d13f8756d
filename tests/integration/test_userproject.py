"""A user's project of three files, in an environment of its own with the built wheel: green, red, and reproducible."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import REPOSITORY, sh

PROJECT = Path(__file__).parent / "userproject"
OPTIONS = ["--robust-log=events.csv", "--robust-columns=user=customer,item=article,timestamp=when"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("model.py", "test_robust.py", "events.csv"):
        shutil.copy(PROJECT / name, tmp_path)
    return tmp_path


def pytest_in(python: Path, project: Path, model: str, *arguments: str) -> str:
    words: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-p",
        "no:randomly",
        f"--robust-model={model}",
        *OPTIONS,
        *arguments,
    ]
    return sh(*words, cwd=project, ok=False)


def test_it_is_the_wheel_that_is_tested(fresh_python: Path, project: Path) -> None:
    where = sh(
        fresh_python,
        "-c",
        "import robust, robust.attacks; print(robust.__file__, robust.attacks.__path__)",
        cwd=project,
    )
    assert str(fresh_python.parents[1]) in where
    assert str(REPOSITORY) not in where


def test_green_with_a_robust_model_and_red_with_a_weak_one_which_the_message_alone_reproduces(
    fresh_python: Path, project: Path
) -> None:
    assert "1 passed" in pytest_in(fresh_python, project, "model:Popular")
    red = pytest_in(fresh_python, project, "model:Next")
    assert "1 failed" in red
    assert "NDCG@10 drops by at most 20%: broken, beyond chance." in red
    assert "sku-" not in red, "pseudonymous"
    again = re.search(r"Once more: +python -m (pytest .*)", red)
    assert again is not None
    assert "1 failed" in sh(fresh_python, "-m", *shlex.split(again[1]), cwd=project, ok=False)
    pasted = re.search(r"from robust\.counterexamples.*?\.check\(recommender\)", red, flags=re.DOTALL)
    assert pasted is not None
    (project / "test_pasted.py").write_text(pasted[0] + "\n", encoding="utf-8")
    assert "falls from rank" in pytest_in(fresh_python, project, "model:Next", "test_pasted.py")
    assert "1 passed" in pytest_in(fresh_python, project, "model:Popular", "test_pasted.py")
