"""Run the tests against each of a sample of mutants, in a process forked from one that has imported the heavy parts.

The fork makes a mutant cost its tests' own time. `robust` itself is imported in the fork, the mutated module through
a finder that compiles the mutant. Hypothesis draws the same examples for every mutant and does not shrink.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutation.mutants import Mutant

PRELOADED = (
    "hypothesis.extra.numpy",
    "pandas",
    "pyarrow.parquet",
    "pydantic",
    "pytest",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.special",
    "scipy.stats",
    "sklearn.metrics",
)
MEMORY = 8 * 2**30
"""A mutant that allocates more than this is stopped."""
OUTPUT = "output.txt"
"""What the tests of the last mutant said, in the working directory."""

KILLED, SURVIVED, TIMEOUT, TORCH = "killed", "survived", "timeout", "imports torch"
_IMPORTED_TORCH, _NOT_IMPORTED = 101, 102


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    mutant: Mutant
    status: str
    seconds: float


class _Loader(SourceFileLoader):
    """Runs the mutant's code in place of the file's."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder(MetaPathFinder):
    """Finds one module: the mutated one."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.path.removesuffix(".py").replace("/", ".")
        self._path, self._code = str(Path(mutant.path).resolve()), mutant.compiled()
        self.found = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        self.found = True
        loader = _Loader(fullname, self._path, self._code)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


def preload() -> None:
    """Import what mutants share, and make sure that `robust` would come from the working directory.

    Raises:
        RuntimeError: an installed copy of `robust` would win.
    """
    os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"  # ours would import robust here, unmutated
    for name in PRELOADED:
        importlib.import_module(name)
    spec = importlib.util.find_spec("robust")
    if spec is None or Path(spec.origin or "/").parent != Path.cwd() / "robust" or "robust" in sys.modules:
        raise RuntimeError(f"mutants would not be tested: robust comes from {spec and spec.origin}")


def survives(mutant: Mutant | None, tests: Sequence[str], limit: int) -> tuple[str, float]:
    """The status of a mutant (None: the code as it is) and the seconds taken, `limit` seconds at most."""
    started = time.perf_counter()
    finder = None if mutant is None else _Finder(mutant)  # here, since a mutant that does not compile is our mistake
    child = os.fork()
    if child == 0:
        try:
            os._exit(_tested(finder, tests, limit))
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return _read(status), time.perf_counter() - started


def _read(status: int) -> str:
    if os.WIFSIGNALED(status):
        return TIMEOUT if os.WTERMSIG(status) == signal.SIGALRM else KILLED
    code = os.WEXITSTATUS(status)
    if code in (4, 5, _NOT_IMPORTED):
        raise RuntimeError(f"the tests of a mutant did not run, or not on the mutant:\n{Path(OUTPUT).read_text()}")
    return {0: SURVIVED, _IMPORTED_TORCH: TORCH}.get(code, KILLED)


def _tested(finder: _Finder | None, tests: Sequence[str], limit: int) -> int:
    import pytest
    from hypothesis import Phase, settings

    signal.alarm(limit)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    log = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if finder is not None:
        sys.meta_path.insert(0, finder)
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutation")
    off = [option for name in ("cacheprovider", "robust", "xdist") for option in ("-p", f"no:{name}")]
    # plain assertions: pytest's import hook for rewriting them would find the module before ours does
    code = int(pytest.main(["-x", "-q", "--tb=short", "--assert=plain", *off, *tests]))
    sys.stdout.flush()
    if finder is not None and not finder.found:
        return _NOT_IMPORTED
    return _IMPORTED_TORCH if "torch" in sys.modules else code


def run(sample: Sequence[tuple[Mutant, Sequence[str]]], limit: int) -> Iterator[Outcome]:
    """One outcome per mutant, as they come.

    Raises:
        RuntimeError: tests fail on the code as it is, or import torch.
    """
    preload()
    for needed in dict.fromkeys(tuple(tests) for _, tests in sample):
        status, _ = survives(None, needed, limit)
        if status != SURVIVED:
            raise RuntimeError(f"without any mutant {needed} end in '{status}':\n{Path(OUTPUT).read_text()}")
    for mutant, tests in sample:
        yield Outcome(mutant, *survives(mutant, tests, limit))
