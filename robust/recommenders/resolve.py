"""From a SPEC to a recommender: a built-in's name, `package.module:attribute`, a checkpoint folder, an adapter file."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robust import plugins
from robust.errors import InputError, UnknownName
from robust.recommenders.fingerprint import fingerprint, is_fitted

__all__ = ["fingerprint", "is_fitted", "resolve"]

_ENDPOINTS = ("http://", "https://")
_DESCRIPTIONS = (".yaml", ".yml")
_FILES = {
    ".onnx": "onnx",
    ".pt": "torch",
    ".pth": "torch",
    ".bin": "torch",
    ".ckpt": "torch",
    ".safetensors": "torch",
    ".ts": "torchscript",
}


def resolve(spec: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The object that a SPEC names; a class or a factory is called, with `settings` as keyword arguments.

    The current folder is importable meanwhile. Importing a module that the user names runs its code: that is the
    user's own choice. What comes back is as the user made it: `adapt` makes a recommender of it.

    Raises:
        UnknownName: neither a built-in's name nor an existing attribute, with the nearest that is.
        InputError: the import fails, the call fails, or the form is not read yet.
    """
    given = dict(settings or {})
    is_file = ":" not in spec and not Path(spec).is_dir()
    kind = "kserve" if spec.startswith(_ENDPOINTS) else _FILES.get(Path(spec).suffix) if is_file else None
    if kind is not None or spec.startswith("onnx:"):
        raise InputError(
            f"'{spec}': write a file that describes it, and give that as --model: model.yaml, with the key "
            f"'adapter: {kind or 'onnx'}' (docs/your-model.md)."
        )
    if spec.endswith(_DESCRIPTIONS):
        from robust.recommenders.adapters import open_adapter

        if given:
            raise InputError(f"'{spec}' describes a model and takes no settings; got {', '.join(given)}.")
        return open_adapter(Path(spec))
    if ":" in spec:
        made = imported(spec)
    elif Path(spec).is_dir():
        from robust.recommenders.checkpoint import load

        made = load(Path(spec))
    elif "/" in spec or spec.endswith(".py"):
        raise InputError(f"'{spec}' is no folder with a checkpoint, and no import path (package.module:attribute).")
    else:
        made = plugins.load("recommenders", spec)
    if _is_factory(made):
        return called(spec, made, given)
    if given:
        raise InputError(f"'{spec}' is an object, not a class, so it takes no settings; got {', '.join(given)}.")
    return made


def _is_factory(made: Any) -> bool:
    if inspect.isclass(made) or inspect.isroutine(made):
        return True
    return callable(made) and not any(hasattr(made, name) for name in ("n_items", "recommend", "score", "fit"))


def called(spec: str, factory: Any, settings: Mapping[str, Any], folder: Path | None = None) -> Any:
    """What a class or a factory gives; the current folder, and `folder`, are importable meanwhile.

    Raises:
        InputError: the arguments don't fit, or the call raises.
    """
    name = getattr(factory, "__name__", spec)
    try:
        inspect.signature(factory).bind(**settings)
    except TypeError as error:
        how = f"with {', '.join(settings)}" if settings else "without arguments"
        raise InputError(
            f"'{spec}': {name} is called {how}, but {error}. Give its parameters defaults, or name an instance."
        ) from error
    except ValueError:
        pass  # a builtin without a signature: calling it will tell
    with _importable(folder or Path.cwd(), Path.cwd()):
        try:
            return factory(**settings)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"'{spec}': {name}() raised {type(error).__name__}: {error}") from error


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = dict.fromkeys(str(folder.resolve()) for folder in folders)
    try:
        yield
    finally:
        sys.path[:] = before


def imported(spec: str, folder: Path | None = None) -> Any:
    """What `package.module:attribute` names; it is looked for in `folder` and the current folder too.

    Raises:
        UnknownName: no such attribute, with the nearest that there is.
        InputError: no import path, no such module, or its import fails.
    """
    module_name, _, attribute = spec.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise InputError(f"'{spec}': expected package.module:attribute, as in mymodel:Recent.")
    with _importable(folder or Path.cwd(), Path.cwd()):
        importlib.invalidate_caches()  # the file may be younger than the interpreter's look at the folder
        try:
            made: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"'{spec}': there is no module '{error.name}'. It is looked for in the current folder ({Path.cwd()}) "
                "and in the environment that robust is installed in."
            ) from error
        except Exception as error:
            where = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
            said = f"{type(error).__name__}: {error}"
            raise InputError(f"'{spec}': importing '{module_name}' failed{where}: {said}") from error
    for part in attribute.split("."):
        if not hasattr(made, part):
            known = [name for name in vars(made) if not name.startswith("_")] if hasattr(made, "__dict__") else []
            raise UnknownName(f"attribute of {module_name}, asked for by '{spec}':", part, known)
        made = getattr(made, part)
    return made
