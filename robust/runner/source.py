"""What a run keeps of where it came from: the scenario's file, the lines that state its bounds, its attacks' tags.

A report points at these lines years later, when the file may have changed and no attack may be installed any more.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from robust import plugins
from robust.documents import line_of, read_yaml
from robust.runner.scenario import Scenario
from robust.runner.step import source_hash


def scenario_source(name: str, text: str) -> dict[str, Any]:
    """`path` (never that of this machine), `sha256` of the text, and `bounds`: threat → line of its bound, from 1."""
    data = read_yaml(text, name)
    threats = data.get("threats", []) if isinstance(data, dict) else []
    bounds = {str(threat["id"]): line_of(data, ["threats", i, "bound"]) for i, threat in enumerate(threats)}
    return {"path": stated_path(name), "sha256": hashlib.sha256(text.encode()).hexdigest(), "bounds": bounds}


def stated_path(name: str) -> str:
    """A scenario's file relative to its repository, else to the working folder; `scenarios/NAME.yaml` for a name.

    A file outside of both is told by its name alone: where it lies on this machine is nobody's business.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        return f"scenarios/{name}.yaml"
    whole = path.resolve()
    here = Path.cwd().resolve()
    root = next((folder for folder in whole.parents if (folder / ".git").exists()), here)
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.name


def attack_tags(scenario: Scenario) -> dict[str, list[str]]:
    """The taxonomy tags of each attack of a scenario, by its name."""
    names = dict.fromkeys(spec.name for threat in scenario.threats for spec in threat.attacks)
    return {name: list(plugins.load("attacks", name).tags) for name in names}


def attack_sources(scenario: Scenario) -> dict[str, str]:
    """A hash of the source of each attack of a scenario, by its name: what it did may change between versions."""
    names = {spec.name for threat in scenario.threats for spec in threat.attacks}
    return {name: source_hash("attacks", name) for name in sorted(names)}
