"""From a scenario's name or file to a `Scenario`: read by ruamel (safe, with line numbers), validated by pydantic.

An error names file, line and field, and the nearest field that there is.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robust import plugins
from robust.bounds import Bound
from robust.documents import line_of, plain, read_yaml
from robust.errors import InputError, UnknownName
from robust.extraction import Extraction
from robust.frozen import Frozen
from robust.runner.scenario import Accepted, LogFile, Scenario, Threat
from robust.threat import BudgetSpec, GoalSpec, Knowledge

_FIELDS: dict[str, type[Frozen]] = {
    "": Scenario,
    "threats": Threat,
    "goal": GoalSpec,
    "knowledge": Knowledge,
    "budgets": BudgetSpec,
    "bound": Bound,
    "accept": Accepted,
    "extract": Extraction,
    "dataset": LogFile,
}
"""By the key that they stand under: whose fields are offered where one is unknown."""


def load_scenario(name: str) -> tuple[Scenario, str]:
    """A scenario by registered name or path, and the text it came from.

    Raises:
        InputError: no such file or name, broken YAML, an unknown or invalid field: with file, line and field.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise InputError(f"There is no scenario file '{name}'. Known scenarios: {_known()}.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The scenario file '{name}' cannot be read: {error}.") from error
        return _beside(parse_scenario(text, name), path), text
    text = plugins.load("scenarios", name).read_text(encoding="utf-8")
    return parse_scenario(text, f"{name}.yaml"), text


def _beside(scenario: Scenario, path: Path) -> Scenario:
    """Its log and vocabulary as they stand beside the scenario's file; in the current folder only if not there."""
    source = scenario.dataset
    if isinstance(source, str):
        return scenario
    found = {}
    for name in ("file", "vocabulary", "names", "database"):
        given = getattr(source, name)
        if name == "database" and source.query is not None:
            given = "." if given is None else None if given.startswith("adbc:") else given
        if given is not None and ((path.parent / given).exists() or not Path(given).exists()):
            found[name] = str(path.parent / given)
    return scenario.model_copy(update={"dataset": source.model_copy(update=found)})


def _known() -> str:
    return ", ".join(plugins.names("scenarios"))


def parse_scenario(text: str, source: str) -> Scenario:
    """Parse and validate; `source` names the text in messages."""
    data = read_yaml(text, source)
    if not isinstance(data, dict):
        raise InputError(
            f"{source}, line 1: a scenario is a mapping with the key 'threats'; got {type(data).__name__}."
        )
    try:
        return Scenario.model_validate(plain(data))
    except (ValidationError, UnknownName, InputError) as error:
        raise InputError(_explain(error, data, source)) from error


def _explain(error: Exception, data: Any, source: str) -> str:
    if not isinstance(error, ValidationError):
        return f"{source}: {error}"
    # of a union's complaints, the deepest is about what the user meant
    first = max(
        error.errors(), key=lambda e: (e["type"] == "extra_forbidden", len(e["loc"]), e["type"] == "value_error")
    )
    path = [part for part in first["loc"] if isinstance(part, int) or not _is_union_tag(part)]
    path += getattr(first.get("ctx", {}).get("error"), "where", ())
    line = line_of(data, path)
    field = ".".join(str(part) for part in path) or "scenario"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        room = next((str(p) for p in reversed(path[:-1]) if isinstance(p, str)), "")
        model = _FIELDS.get(room, Scenario)
        known = [f.alias or name for name, f in model.model_fields.items()]
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        meant = f" Did you mean '{near[0]}'?" if near else ""
        message = f"there is no field '{path[-1]}' here.{meant} Known: {', '.join(known)}."
    elif first["type"] == "missing":
        message = "this field is required"
    elif first.get("input") is not None and first["type"] not in ("value_error",):
        message = f"{message} (got {str(first['input'])[:80]!r})"
    return f"{source}, line {line}: {field}: {message}"


def _is_union_tag(part: str) -> bool:
    return part in ("str", "LogFile", "GlobalTime", "WarmStart", "int", "float", "constrained-int") or "[" in part
