"""Recommenders on disk: a folder with `weights.safetensors` and `recommender.json`. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from robust import __version__, plugins
from robust.errors import InputError
from robust.recommenders.protocols import Persistent, Recommender

_FORMAT = 1


def save(recommender: Recommender, folder: Path) -> None:
    """Write a built-in (or third-party registered) recommender; the folder is made.

    Raises:
        InputError: it cannot be written as arrays and JSON, or is not registered under a name.
    """
    from safetensors.numpy import save_file

    if not isinstance(recommender, Persistent):
        raise InputError(f"{type(recommender).__name__} has no state()/from_state(), so it cannot be written safely.")
    name = next(
        (n for n in plugins.names("recommenders") if plugins.load("recommenders", n) is type(recommender)), None
    )
    if name is None:
        raise InputError(f"{type(recommender).__name__} is not registered under robust.recommenders.")
    arrays, settings = recommender.state()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / "weights.safetensors")
    about = {"format": _FORMAT, "recommender": name, "seqrobust": __version__, "settings": settings}
    (folder / "recommender.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def load(folder: Path) -> Recommender:
    """The inverse of `save`, to the bit.

    Raises:
        InputError: the folder holds no checkpoint, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        about: dict[str, Any] = json.loads((folder / "recommender.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "weights.safetensors")
        kind = plugins.load("recommenders", about["recommender"])
        if about["format"] != _FORMAT:
            raise InputError(f"'{folder}' has checkpoint format {about['format']}, expected {_FORMAT}.")
        return cast(Recommender, kind.from_state(arrays, about["settings"]))
    except (OSError, json.JSONDecodeError, SafetensorError, KeyError) as error:
        raise InputError(
            f"'{folder}' holds no checkpoint that can be read (recommender.json, weights.safetensors): {error}."
        ) from error
