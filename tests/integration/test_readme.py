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


def snippets(guide: str) -> list[str]:
    text = (README.parent / "docs" / guide).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_guide_leads_to_a_red_test_as_it_says(tmp_path: Path) -> None:
    guide = (README.parent / "docs" / "testing.md").read_text(encoding="utf-8")
    for snippet in snippets("testing.md"):
        if snippet.startswith("# "):
            (tmp_path / snippet.splitlines()[0].removeprefix("# ")).write_text(snippet, encoding="utf-8")
    (scenario,) = re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
    (tmp_path / "ci.robust.yaml").write_text(scenario, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    run = run_pytest(tmp_path, "--robust-model=model:Next", "--robust-workers=1")
    assert "3 failed" in run.stdout, run.stdout + run.stderr
    (shown,) = [block for block in guide.split("```")[1::2] if "Once more" in block]
    assert [line for line in shown.splitlines() if line != "…" and line not in run.stdout] == []


def test_the_guides_snippets_run(tmp_path: Path) -> None:
    found = [s for guide in ("testing.md", "conformance.md", "stateful.md") for s in snippets(guide) if s[:2] != "# "]
    assert len(found) >= 7
    for number, snippet in enumerate(found):
        (tmp_path / f"test_snippet_{number}.py").write_text(snippet, encoding="utf-8")
    run = run_pytest(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(found) - 1 + len(recommender_checks())} passed" in run.stdout
