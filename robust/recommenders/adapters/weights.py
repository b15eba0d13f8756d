"""Weights from a file: safetensors, or a pickle that the user trusts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robust.errors import InputError
from robust.recommenders.adapters.base import require_trust

if TYPE_CHECKING:
    import torch

_NESTED = ("state_dict", "model_state_dict", "model")


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Fill a module with the weights in a file; what the file holds decides how it is read, not its suffix.

    Raises:
        InputError: a pickle that isn't trusted; a damaged file; names or shapes that aren't the module's.
    """
    state = _safetensors(path) if _is_safetensors(path) else _pickled(path)
    for name in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise InputError(f"'{path}' holds a {type(state).__name__}, expected a state_dict: names and tensors.")
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"'{path}' doesn't hold the weights of {type(module).__name__}: {said[:600]}") from error


def _is_safetensors(path: Path) -> bool:
    """A safetensors file begins with the length of its header, which is JSON."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            return 2 <= length <= path.stat().st_size - 8 and file.read(1) == b"{"
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error}.") from error


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise InputError(f"'{path}' is a damaged safetensors file: {error}.") from error


def _pickled(path: Path) -> Any:
    require_trust(path, "its weights are not in safetensors but in a pickle")
    import pickle

    import torch

    try:
        with path.open("rb") as file:  # torch would go by the suffix of a name
            return torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251 - trusted
    except pickle.UnpicklingError:
        pass  # more than tensors: the user trusts it
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error
    try:
        with path.open("rb") as file:
            whole = torch.load(file, map_location="cpu", weights_only=False)  # noqa: TID251 - trusted
    except Exception as error:  # a pickle runs code, which may raise anything
        raise _unreadable(path, error) from error
    return whole.state_dict() if isinstance(whole, torch.nn.Module) else whole


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"'{path}' is neither safetensors nor a file of torch.save: {type(error).__name__}: {error}")
