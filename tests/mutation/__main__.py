"""Mutation testing of what judges: how many planted faults do the tests notice?

    python -m tests.mutation [--sample 400] [--seed 0] [--only robust/threat.py] [--at-least 85]

Works on a copy of the tree in a temporary folder. Ends with 1 if too few mutants are killed, or if tests import torch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.mutation.mutants import mutants_of
from tests.mutation.run import KILLED, SURVIVED, TIMEOUT, TORCH, Outcome, run

COPIED = ("robust", "attacks", "defenses", "scenarios", "tests", "pyproject.toml")
TESTS: dict[str, tuple[str, ...]] = {
    "robust/statistics/*.py": ("tests/unit/statistics", "tests/properties/test_statistics.py"),
    "robust/metrics/*.py": ("tests/unit/metrics", "tests/properties/test_metrics.py"),
    "robust/threat.py": ("tests/unit/test_threat.py",),
    "robust/targets.py": ("tests/unit/test_threat.py",),
    "robust/frozen.py": ("tests/unit/test_threat.py",),
    "robust/access.py": ("tests/unit/test_access.py",),
    "robust/bounds.py": ("tests/unit/test_planted_bounds.py", "tests/unit/test_bounds.py"),
}
"""What is mutated → the tests that are to notice."""
CAUGHT = (KILLED, TIMEOUT)


def main(arguments: Sequence[str]) -> int:
    """Copy the tree and run there, or, in the copy, run."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=400, help="how many mutants; 0 = all")
    parser.add_argument("--seed", type=int, default=0, help="which mutants are drawn")
    parser.add_argument("--only", default="", help="mutate only paths that start with this; the draw stays the same")
    parser.add_argument("--limit", type=int, default=20, help="seconds per mutant")
    parser.add_argument("--at-least", type=float, default=85.0, help="per cent of mutants that must be killed")
    parser.add_argument("--in-copy", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.in_copy:
        return _run(options)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        for name in COPIED:
            if Path(name).is_dir():
                shutil.copytree(name, Path(folder, name), symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(name, folder)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [sys.executable, "-m", "tests.mutation", "--in-copy", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def _run(options: argparse.Namespace) -> int:
    candidates = [
        (mutant, tests)
        for pattern, tests in TESTS.items()
        for path in sorted(Path().glob(pattern))
        for mutant in mutants_of(path, path.as_posix())
    ]
    size = min(options.sample, len(candidates)) or len(candidates)
    drawn = np.sort(np.random.default_rng(options.seed).choice(len(candidates), size=size, replace=False))
    sample = [candidates[place] for place in drawn if candidates[place][0].path.startswith(options.only)]
    started, outcomes = time.perf_counter(), []
    for outcome in run(sample, options.limit):
        outcomes.append(outcome)
        if outcome.status not in CAUGHT:
            mutant = outcome.mutant
            _say(f"{outcome.status}: {mutant.path}:{mutant.line} ({mutant.operator})\n{mutant.diff()}\n")
    _say(table(outcomes))
    _say(f"{len(outcomes)} of {len(candidates)} mutants in {time.perf_counter() - started:.0f} s")
    return 0 if _rate(outcomes) >= options.at_least and not any(o.status == TORCH for o in outcomes) else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _rate(outcomes: Sequence[Outcome]) -> float:
    return 100 * sum(outcome.status in CAUGHT for outcome in outcomes) / max(len(outcomes), 1)


def table(outcomes: Sequence[Outcome]) -> str:
    """What became of the mutants of each file."""
    row = "{:34}{:>8}{:>8}{:>9}{:>10}{:>8}"
    lines = [row.format("file", "mutants", KILLED, TIMEOUT, SURVIVED, "rate")]
    for path in [*sorted({outcome.mutant.path for outcome in outcomes}), "all"]:
        here = [o for o in outcomes if path in ("all", o.mutant.path)]
        count = Counter(o.status for o in here)
        lines.append(row.format(path, len(here), count[KILLED], count[TIMEOUT], count[SURVIVED], f"{_rate(here):.1f}%"))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
