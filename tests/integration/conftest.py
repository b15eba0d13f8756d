"""The command line in this process, and a fresh environment with our wheel in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from robust import cli

if TYPE_CHECKING:
    from tests.integration.servers.describe import Describe
    from tests.integration.servers.project import Whole
    from tests.integration.servers.start import Server

# a user's project and a third party's package, which run in an environment of their own
collect_ignore = ["userproject", "thirdparty", "thirdparty_defense"]
REPOSITORY = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


Robust = Callable[..., Answer]


@pytest.fixture
def robust(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Robust:
    """`robust("list", "attacks")` as a shell would call it."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["robust", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A model behind HTTP, in a process of its own."""
    from tests.integration.servers.describe import N_ITEMS  # which other tests' environments cannot import
    from tests.integration.servers.start import serving

    with serving(N_ITEMS) as running:
        yield running


@pytest.fixture
def describe(tmp_path: Path, server: Server) -> Describe:
    """Opens descriptions of that server, which answers well again."""
    from tests.integration.servers.describe import Describe

    return Describe(tmp_path, server)


@pytest.fixture
def endpoint_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """The current folder: a project whose model is that server."""
    from tests.integration.servers.project import write_project

    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path, server)


@pytest.fixture(scope="session")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """An undisturbed review of that project."""
    from tests.integration.servers.project import reviewed

    return reviewed(tmp_path_factory.mktemp("whole"), server)


def sh(*command: str | Path, cwd: Path, ok: bool = True, env: dict[str, str] | None = None) -> str:
    """What a command writes to its output; with `ok` it has to succeed."""
    words = [str(word) for word in command]
    run = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0 or not ok, run.stdout + run.stderr
    return run.stdout


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of the distribution in `source`, built from a copy, without asking a network for anything."""
    keep = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "__pycache__", "robust-out", "review")
    copied = folder / "source"
    shutil.copytree(source, copied, symlinks=True, ignore=keep)
    sh(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, copied, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def fresh_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our wheel; what it depends on is borrowed from the one that runs this test."""
    folder = tmp_path_factory.mktemp("environment")
    wheel = build_wheel(REPOSITORY, folder)
    sh(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    found = folder / "venv" / "bin" / "python"
    site = Path(sh(found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    sh(*PIP, "install", "--no-deps", "--target", site, wheel, cwd=folder)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return found
