"""Discovery of attacks, defences, recommenders, datasets and scenarios, ours and third parties' alike, by entry points.

A plugin that cannot be imported warns and the rest go on; asking for it by name is an error that says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from pydantic import ValidationError

from robust.errors import InputError, UnknownName

Kind = Literal["attacks", "defenses", "recommenders", "datasets", "scenarios"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class BrokenPlugin(UserWarning):
    """A third party's plugin could not be imported."""


@cache
def _registered(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=f"robust.{kind}"), key=lambda p: p.name)}


def names(kind: Kind) -> list[str]:
    """The registered names of this kind, sorted; nothing is imported."""
    return list(_registered(kind))


def load(kind: Kind, name: str) -> Any:
    """Import one plugin.

    Raises:
        UnknownName: nothing is registered under this name.
        InputError: it is registered, but its import fails.
    """
    point = _registered(kind).get(name)
    if point is None:
        raise UnknownName(kind.removesuffix("s"), name, _registered(kind))
    try:
        return point.load()
    except Exception as error:
        raise InputError(
            f"The {kind.removesuffix('s')} '{name}' ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error


def load_all(kind: Kind) -> dict[str, Any]:
    """Import every plugin of this kind; a broken one warns and is left out."""
    found = {}
    for name in names(kind):
        try:
            found[name] = load(kind, name)
        except InputError as error:
            warnings.warn(str(error), BrokenPlugin, stacklevel=2)
    return found


def build(kind: Literal["attacks", "defenses"], name: str, parameters: Mapping[str, Any]) -> Any:
    """Construct an attack or a defence from its fields.

    Raises:
        UnknownName: no such plugin, or it has no such parameter.
        InputError: its import fails, or a parameter has a wrong value.
    """
    plugin = load(kind, name)
    for key in parameters:
        if key not in plugin.model_fields:
            raise UnknownName(f"parameter of '{name}'", key, plugin.model_fields)
    try:
        return plugin(**parameters)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or name
        raise InputError(f"'{name}': {field}: {first['msg'].removeprefix('Value error, ')}") from error
