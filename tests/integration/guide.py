"""docs/your-model.md as its reader uses it: files copied out of it, commands typed as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.integration.conftest import REPOSITORY


def section(title: str) -> str:
    """The text below a heading."""
    text = (REPOSITORY / "docs" / "your-model.md").read_text(encoding="utf-8")
    return next(part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(title + "\n"))


def write_files(title: str) -> list[str]:
    """Write a section's files, which name themselves in their first line, into the current folder; their names."""
    found = re.findall(r"```\w+\n# ([\w.]+)\n(.*?)```", section(title), flags=re.DOTALL)
    for name, text in found:
        Path(name).write_text(text, encoding="utf-8")
    return [name for name, _ in found]


def commands(title: str) -> list[list[str]]:
    """The words of each `robust` command of a section, without its first."""
    return [shlex.split(line) for line in re.findall(r"^\$ robust (.*)$", section(title), flags=re.MULTILINE)]
