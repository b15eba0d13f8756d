"""Recommenders on disk: a folder with `weights.safetensors` and `recommender.json`. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from robust import __version__, plugins
from robust.errors import InputError, UnknownName
from robust.recommenders.protocols import Persistent, Recommender

_FORMAT = 1
_WEIGHTS = "weights.safetensors"
_ABOUT = "recommender.json"


def save(recommender: Recommender, folder: Path) -> None:
    """Write a recommender that is registered under a name, ours or a plugin's; the folder is made.

    Raises:
        InputError: it cannot be written as arrays and JSON, is not registered, or the folder cannot be written.
    """
    from safetensors.numpy import save_file

    if not isinstance(recommender, Persistent):
        raise InputError(f"{type(recommender).__name__} has no state()/from_state(), so it cannot be written safely.")
    registered = plugins.load_all("recommenders")
    name = next((name for name, kind in registered.items() if kind is type(recommender)), None)
    if name is None:
        raise InputError(
            f"{type(recommender).__name__} is not registered under robust.recommenders, so nothing could load it again."
        )
    arrays, settings = recommender.state()
    about = {"format": _FORMAT, "recommender": name, "seqrobust": __version__, "settings": settings}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # the weights first: a folder without recommender.json is no checkpoint
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, folder / _WEIGHTS)
        (folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"'{folder}' cannot be written: {error}.") from error


def load(folder: Path) -> Recommender:
    """The inverse of `save`, to the bit.

    Raises:
        InputError: the folder holds no checkpoint, a damaged one, or one of another format.
    """
    about = _about(folder)
    kind = plugins.load("recommenders", about["recommender"])
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(folder / _WEIGHTS)
        return cast(Recommender, kind.from_state(arrays, about["settings"]))
    except UnknownName:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"'{folder / _WEIGHTS}' does not hold the weights of a {about['recommender']}: {error}"
        ) from error


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"'{folder}' holds no checkpoint: there is no {_ABOUT} in it.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"'{folder / _ABOUT}' cannot be read: {error}.") from error
    if not isinstance(about, dict) or not {"format", "recommender", "settings"} <= about.keys():
        raise InputError(f"'{folder / _ABOUT}' is not a checkpoint's: format, recommender or settings is missing.")
    if about["format"] != _FORMAT:
        raise InputError(f"'{folder}' has checkpoint format {about['format']!r}; this version reads {_FORMAT}.")
    return cast(dict[str, Any], about)
