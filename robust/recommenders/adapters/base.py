"""What all adapters share: the file that describes a model, the trust that a model file may need, the ids.

Harness and model may number items differently. The harness's items are 1…n_items (0 is padding); a model's are these
plus a shift, or the places of its own vocabulary. An adapter translates on the way in and on the way back, and hands
out an object that `robust.recommenders.adapt.adapt` probes like any other.
"""

from __future__ import annotations

import difflib
import importlib
import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from robust.documents import line_of, plain, read_yaml
from robust.errors import InputError, UnknownName

TRUST = "ROBUST_TRUST_PICKLE"
"""Set to 1 by `--trust-pickle`, so that worker processes know it too."""

ADAPTERS: dict[str, str] = {
    "torch": "robust.recommenders.adapters.torch_module:TorchAdapter",
    "torchscript": "robust.recommenders.adapters.torchscript:TorchScriptAdapter",
    "onnx": "robust.recommenders.adapters.onnx:OnnxAdapter",
    "recbole": "robust.recommenders.adapters.recbole:RecBoleAdapter",
    "rectools": "robust.recommenders.adapters.rectools:RecToolsAdapter",
    "command": "robust.recommenders.adapters.command:CommandAdapter",
    "python": "robust.recommenders.adapters.python_object:PythonAdapter",
    "kserve": "robust.recommenders.adapters.endpoints:KServeAdapter",
    "tf-serving": "robust.recommenders.adapters.endpoints:TFServingAdapter",
    "http": "robust.recommenders.adapters.endpoints:JsonAdapter",
}


class Adapter(BaseModel):
    """A model's description; its fields are the keys of the YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    executes_code: ClassVar[str] = ""
    """Why opening it may run code that is in the file; "" where it cannot."""

    adapter: str

    @property
    def runs_code(self) -> str:
        """Why opening it as described may run code that is in a file; "" where it cannot, as far as is known yet."""
        return self.executes_code

    @abstractmethod
    def open(self, folder: Path) -> Any:
        """The model as an object with `n_items` and `recommend` or `score` (or `fit`); paths are relative to `folder`.

        Raises:
            InputError: a file is missing or not what it claims to be; an extra is not installed.
        """


def trusted() -> bool:
    """Whether the user said `--trust-pickle`."""
    return os.environ.get(TRUST) == "1"


def require_trust(file: str | Path, why: str) -> None:
    """Refuse a file that would execute code.

    Raises:
        InputError: without `--trust-pickle`.
    """
    if not trusted():
        raise InputError(
            f"'{file}': {why}, so opening it runs whatever code its maker put in. If you made it, or trust who did, "
            "say so with --trust-pickle."
        )


def require(module: str, extra: str) -> Any:
    """A library that only one adapter needs.

    Raises:
        InputError: it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"This adapter needs '{error.name}', which is not installed: pip install 'seqrobust[{extra}]'."
        ) from error


def inside(folder: Path, file: str) -> Path:
    """A file that a description names, relative to its own folder.

    Raises:
        InputError: there is no such file.
    """
    path = (folder / file).expanduser()
    if not path.exists():
        raise InputError(f"'{file}': there is no such file in '{folder}'.")
    return path


def read_adapter(path: Path) -> Adapter:
    """Parse and validate a description.

    Raises:
        InputError: no such file, no such adapter, an unknown or invalid key: with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"There is no file '{path}' that describes a model.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read: {error}.") from error
    data = read_yaml(text, str(path))
    if not isinstance(data, dict) or "adapter" not in data:
        raise InputError(f"{path}, line 1: expected a mapping with the key 'adapter': one of {', '.join(ADAPTERS)}.")
    return parse_adapter(plain(data), data, str(path))


def parse_adapter(values: dict[str, Any], data: Any, source: str) -> Adapter:
    """Validate the values; `data` knows their lines."""
    name = values["adapter"]
    if name not in ADAPTERS:
        raise UnknownName(f"adapter in {source}, line {line_of(data, ['adapter'])}:", str(name), list(ADAPTERS))
    module, _, attribute = ADAPTERS[name].partition(":")
    kind: type[Adapter] = getattr(importlib.import_module(module), attribute)
    try:
        # an adapter within this one, as in a command's `recommend`, points at its own lines
        return kind.model_validate(values, context={"data": data, "source": source})
    except ValidationError as error:
        first = max(error.errors(), key=lambda one: (one["type"] == "extra_forbidden", len(one["loc"])))
        where = list(first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden" and len(where) == 1:
            known = list(kind.model_fields)
            near = difflib.get_close_matches(str(where[-1]), known, n=1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            message = f"there is no such key for this adapter.{meant} Known: {', '.join(known)}."
        elif first["type"] == "missing":
            message = "this key is required"
        field = ".".join(str(part) for part in where) or "adapter"
        raise InputError(f"{source}, line {line_of(data, where)}: {field}: {message}") from error


def open_adapter(path: Path) -> Any:
    """The model that a description names.

    Raises:
        InputError: as `read_adapter`, and whatever hinders opening it.
    """
    adapter = read_adapter(path)
    if adapter.executes_code:
        require_trust(path, adapter.executes_code)
    return adapter.open(path.parent)
