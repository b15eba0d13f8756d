"""A user's project of three files, in an environment of its own with the built wheel: green, red, and reproducible."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "userproject"
OPTIONS = ["--robust-log=events.csv", "--robust-columns=user=customer,item=article,timestamp=when"]


def sh(*command: str | Path, cwd: Path, ok: bool = True) -> str:
    run = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == 0 or not ok, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our wheel; what it depends on is borrowed from the one that runs this test."""
    folder = tmp_path_factory.mktemp("environment")
    source = folder / "source"
    keep = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "__pycache__", "robust-out", "review")
    shutil.copytree(REPOSITORY, source, symlinks=True, ignore=keep)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    sh(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    sh(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    found = folder / "venv" / "bin" / "python"
    site = Path(sh(found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    sh(*pip, "install", "--no-deps", "--target", site, wheel, cwd=folder)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return found


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


def test_it_is_the_wheel_that_is_tested(python: Path, project: Path) -> None:
    where = sh(
        python, "-c", "import robust, robust.attacks; print(robust.__file__, robust.attacks.__path__)", cwd=project
    )
    assert str(python.parents[1]) in where
    assert str(REPOSITORY) not in where


def test_green_with_a_robust_model_and_red_with_a_weak_one_which_the_message_alone_reproduces(
    python: Path, project: Path
) -> None:
    assert "1 passed" in pytest_in(python, project, "model:Popular")
    red = pytest_in(python, project, "model:Next")
    assert "1 failed" in red
    assert "NDCG@10 drops by at most 20%: broken, beyond chance." in red
    assert "sku-" not in red, "pseudonymous"
    again = re.search(r"Once more: +python -m (pytest .*)", red)
    assert again is not None
    assert "1 failed" in sh(python, "-m", *shlex.split(again[1]), cwd=project, ok=False)
    pasted = re.search(r"from robust\.counterexamples.*?\.check\(recommender\)", red, flags=re.DOTALL)
    assert pasted is not None
    (project / "test_pasted.py").write_text(pasted[0] + "\n", encoding="utf-8")
    assert "falls from rank" in pytest_in(python, project, "model:Next", "test_pasted.py")
    assert "1 passed" in pytest_in(python, project, "model:Popular", "test_pasted.py")
