"""The plugin's options: one group on the command line (`--robust-…`), and the same as ini keys (`robust_…`)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

OPTIONS: dict[str, str] = {
    "model": "Recommender under test: a built-in's name, module:attribute, or a checkpoint folder.",
    "log": "Interaction log: a file or folder. The embedded log by default.",
    "columns": "Its column names: user=u,item=i,timestamp=t.",
    "vocabulary": "Item ids in the order of the model's dense ids, one a line.",
    "seed": "First seed. Default: 0.",
    "workers": "Processes for scenario files; one thread each. Default: the cores.",
    "store": "Folder for finished steps, shared by all runs. Default: .robust beside the ini file.",
    "corpus": "Folder of counterexamples that assert_bounded_degradation keeps and tries first.",
}
FLAGS = {"strict": "What is not decided (INCONCLUSIVE) fails."}


@dataclass(frozen=True)
class Options:
    """What was asked for; the command line before the ini file."""

    model: str | None
    log: str | None
    columns: Mapping[str, str] | None
    vocabulary: str | None
    seed: int
    workers: int
    store: Path
    corpus: str | None
    strict: bool


def add_options(parser: pytest.Parser) -> None:
    """Declare them."""
    group = parser.getgroup("robust", "robustness of recommenders (seqrobust)")
    for name, said in OPTIONS.items():
        group.addoption(f"--robust-{name}", default=None, help=said)
        parser.addini(f"robust_{name}", said, default=None)
    for name, said in FLAGS.items():
        group.addoption(f"--robust-{name}", action="store_true", default=False, help=said)
        parser.addini(f"robust_{name}", said, type="bool", default=False)


def options(config: pytest.Config) -> Options:
    """Read them.

    Raises:
        UsageError: a value that cannot be read.
    """

    def text(name: str) -> str | None:
        value = config.getoption(f"robust_{name}", None) or config.getini(f"robust_{name}")
        return str(value) if value else None

    def number(name: str, default: int, least: int) -> int:
        value = text(name)
        if value is None:
            return default
        if not value.isdecimal() or int(value) < least:
            raise pytest.UsageError(f"--robust-{name} {value}: expected a whole number of at least {least}.")
        return int(value)

    store = text("store")
    return Options(
        model=text("model"),
        log=text("log"),
        columns=_columns(text("columns")),
        vocabulary=text("vocabulary"),
        seed=number("seed", 0, 0),
        workers=number("workers", os.cpu_count() or 1, 1),
        store=config.rootpath / ".robust" if store is None else config.rootpath / store,
        corpus=text("corpus"),
        strict=bool(config.getoption("robust_strict", False) or config.getini("robust_strict")),
    )


def once_more(config: pytest.Config, nodeid: str) -> str:
    """The command that runs one test again, with the options of ours that were given."""
    given = [word for word in config.invocation_params.args if str(word).startswith("--robust-")]
    return " ".join(["python -m pytest", f'"{nodeid}"', *map(shlex.quote, map(str, given))])


def _columns(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    from robust.datasets.columns import parse_columns
    from robust.errors import InputError

    try:
        return parse_columns(text, "--robust-columns")
    except InputError as error:
        raise pytest.UsageError(str(error)) from error
