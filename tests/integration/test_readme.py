"""The README's and the guide's tests run as they stand there, in an empty folder, as their reader would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from robust.testing.conformance import recommender_checks

README = Path(__file__).parents[2] / "README.md"


def test_the_ten_line_test_runs(tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    (snippet,) = [s for s in snippets if "def test_" in s]
    (tmp_path / "test_readme.py").write_text(snippet, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_readme.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_the_guides_snippets_run(tmp_path: Path) -> None:
    guide = README.parent / "docs" / "testing.md"
    snippets = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(snippets) >= 4
    for number, snippet in enumerate(snippets):
        (tmp_path / f"test_snippet_{number}.py").write_text(snippet, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(snippets) - 1 + len(recommender_checks())} passed" in run.stdout
