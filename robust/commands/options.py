"""The options that several commands share, and how what is said in them is read."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from robust import completion as known
from robust.errors import InputError

LogOption = Annotated[
    str | None, typer.Option("--log", help="Interaction log: a file, a folder, or a query.", autocompletion=known.logs)
]
ColumnsOption = Annotated[str | None, typer.Option(help="Column names: user=u,item=i,timestamp=t.")]
VocabularyOption = Annotated[
    str | None, typer.Option(help="Item ids in the order of the model's dense ids, one a line.")
]
NamesOption = Annotated[
    str | None, typer.Option("--names", help="A table with an item id and its name in a row, for reports.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A built-in's name, module:attribute, a checkpoint folder, or model.yaml.",
        autocompletion=known.models,
    ),
]
TrustOption = Annotated[
    bool, typer.Option("--trust-pickle", help="Open pickles and TorchScript files, which run code that is in them.")
]
SeedOption = Annotated[int, typer.Option(help="First seed; a review uses 3 to 10 consecutive ones.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="A parameter: NAME=VALUE, any number of them.")]


def parse_columns(text: str | None) -> dict[str, str] | None:
    """What `--columns` says."""
    if text is None:
        return None
    from robust.datasets import columns

    return columns.parse_columns(text)


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """What `--set` says: values are read as JSON, and as text where they are none."""
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator:
            raise InputError(f"--set '{pair}': expected NAME=VALUE.")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def trust_pickles(trust_pickle: bool) -> bool:
    """Tell the adapters, and the worker processes, that the user trusts the files; whether it is so."""
    from robust.recommenders.adapters.base import TRUST, trusted

    if trust_pickle:
        os.environ[TRUST] = "1"
    return trusted()
