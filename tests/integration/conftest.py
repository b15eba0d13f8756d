"""The command line in this process: arguments in, exit code and output out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from robust import cli

# a user's project, which runs in an environment of its own
collect_ignore = ["userproject"]


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
