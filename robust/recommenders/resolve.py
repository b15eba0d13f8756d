"""From a SPEC to a recommender: a built-in's name, `package.module:attribute`, or a checkpoint folder."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robust import plugins
from robust.errors import InputError, UnknownName


def resolve(spec: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The object that a SPEC names: a class is called without arguments (ours with `settings`), a factory too.

    Importing a module that the user names runs its code: that is the user's own choice.

    Raises:
        UnknownName: neither a built-in's name nor an existing attribute.
        InputError: the import fails, the call fails, or a form that is not read yet.
    """
    given = dict(settings or {})
    if spec.startswith(("http://", "https://", "onnx:")) or spec.endswith((".yaml", ".yml", ".onnx", ".pt")):
        raise InputError(f"'{spec}': endpoints, ONNX files and adapter files are not read yet; wrap it in a class.")
    if ":" in spec:
        made = _imported(spec)
    elif Path(spec).is_dir():
        from robust.recommenders.checkpoint import load

        made = load(Path(spec))
    else:
        made = plugins.load("recommenders", spec)
    if inspect.isclass(made) or inspect.isfunction(made):
        try:
            made = made(**given)
        except (InputError, UnknownName):
            raise
        except Exception as error:
            raise InputError(f"'{spec}' cannot be made without arguments: {type(error).__name__}: {error}.") from error
    elif given:
        raise InputError(f"'{spec}' is an object, not a class, so it takes no settings; got {', '.join(given)}.")
    return made


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path[:] = before


def _imported(spec: str) -> Any:
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise InputError(f"'{spec}': expected package.module:attribute.")
    with _importable(os.getcwd()):
        try:
            made: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"'{spec}': there is no module '{error.name}'. It is looked for in the current folder "
                f"({os.getcwd()}) and in the environment of robust."
            ) from error
        except Exception as error:
            raise InputError(f"'{spec}': importing '{module_name}' failed: {type(error).__name__}: {error}.") from error
    for part in attribute.split("."):
        if not hasattr(made, part):
            names = [name for name in vars(made) if not name.startswith("_")]
            near = difflib.get_close_matches(part, names, n=1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"'{spec}': '{module_name}' has no '{part}'.{meant}")
        made = getattr(made, part)
    return made


def is_fitted(model: Any) -> bool:
    """Whether it can rank as it stands: it knows a catalogue."""
    n_items = getattr(model, "n_items", 0)
    return isinstance(n_items, (int, np.integer)) and bool(n_items > 0)


def fingerprint(spec: str, model: Any) -> str:
    """Hash of what a recommender's answers depend on: its module's source, and its weights where they can be seen."""
    digest = hashlib.sha256(spec.encode())
    module = sys.modules.get(type(model).__module__)
    path = getattr(module, "__file__", None)
    if path and os.path.exists(path):
        digest.update(Path(path).read_bytes())
    for name, array in sorted(_weights(model).items()):
        digest.update(name.encode() + str(array.dtype).encode() + str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _weights(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays and torch parameters that hang directly on the object, or in its state."""
    if not is_fitted(model):
        return {}
    if callable(getattr(model, "state", None)):
        return dict(model.state()[0])
    if callable(getattr(model, "state_dict", None)):
        return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            found[name] = value
        elif callable(getattr(value, "state_dict", None)):
            inner = value.state_dict().items()
            found.update({f"{name}.{key}": tensor.detach().cpu().numpy() for key, tensor in inner})
    return found
