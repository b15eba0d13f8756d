"""Bounds that a finished run proposes: what was measured at worst, rounded up with headroom, as a scenario.

The headroom is chance's: of reviews of the same model under other seeds, 19 in 20 shall hold the limit. Its measure is
the way from what was measured to its upper limit, which few seeds make long and many make short, so the factor follows
from the number of seeds (`REACH`). What is still undecided is looked at again, up to 10 seeds: so the limit may lie
close, and a model that got worse is found. docs/ci.md has what was measured.
"""

from __future__ import annotations

import io
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from robust.errors import InputError
from robust.report.quantities import figures
from robust.report.text import attack_label, visible
from robust.runner.results import CellResult, MetricResult, Results
from robust.runner.scenario import Scenario
from robust.statistics.verdicts import LOOKS

REACH = {1: 2.0, 3: 1.0, 5: 1.6, 10: 2.4}
"""Seeds measured → headroom, in distances from what was measured to its upper limit.

By simulation (normal seeds; `test_the_headroom_is_the_one_that_chance_needs`) the limit is then held by 95% of reviews
that may look at 3, 5 and 10 seeds, and broken by at most .3%. One seed is a fixed model: the next review asks the same
users, so only the attack's draws differ; that factor was measured, on two logs.
"""
SHARE = 0.1
"""Headroom where there is no interval, relative."""
STEP = 0.01
MOST = 0.99
_INDENT = 4
_PATHS = ("file", "database", "vocabulary", "names")


def proposed_limit(cells: Sequence[CellResult]) -> tuple[float, CellResult] | None:
    """The limit that one threat's cells propose, in (0, 0.99], and the cell that sets it; None if none was measured.

    Accepted cells are left out: they do not fail a review.
    """
    reach = {}
    for cell in cells:
        metric = cell.metrics.get(cell.bound.metric)
        if metric is not None and not cell.accepted and math.isfinite(metric.change):
            reach[cell.id] = metric.change + max(_headroom(cell, metric), 0.0)
    if not reach:
        return None
    worst = max(reach, key=lambda name: reach[name])
    steps = math.ceil(reach[worst] / STEP - 1e-9)
    limit = round(min(max(steps, 1) * STEP, MOST), 2)
    return limit, next(cell for cell in cells if cell.id == worst)


def _headroom(cell: CellResult, metric: MetricResult) -> float:
    if metric.high is None:
        return SHARE * abs(metric.change)
    return _factor(cell) * (metric.high - metric.change)


def _factor(cell: CellResult) -> float:
    """Of the most seeds that a factor is known for, up to the cell's own."""
    return REACH[max(seeds for seeds in REACH if seeds <= max(len(cell.seeds), 1))]


def scenario_with_bounds(results: Results, run: Path, folder: Path) -> str:
    """The run's scenario as YAML that reads back as the same, except for its limits, looks and the place of its files.

    Raises:
        InputError: nothing was measured, or the scenario is not one of this version.
    """
    try:
        scenario = Scenario.model_validate(results.scenario)
    except ValueError as error:
        raise InputError(f"'{run}' holds a scenario that this version cannot read: {error}.") from error
    data = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    whole = scenario.model_dump(mode="json", by_alias=True)
    stated = {name: whole[name] for name in ("split", "users", "seeds", "retrain")}  # a default may change some day
    places = {"dataset": _moved(whole["dataset"], folder), "victims": _victims(scenario, folder)}
    for threat, complete in zip(data["threats"], whole["threats"], strict=True):
        threat["goal"]["k"] = complete["goal"]["k"]
        threat["knowledge"] = complete["knowledge"]
        threat["bound"] = threat.pop("bound")  # last, below its comment
    document = _ordered({"title": whole["title"], **places, **stated, **data, **places, "seeds": list(LOOKS)})
    found = 0
    for threat in document["threats"]:
        cells = [cell for cell in results.cells if cell.threat == threat["id"]]
        proposal = proposed_limit(cells)
        found += proposal is not None
        if proposal is not None:
            threat["bound"]["limit"] = proposal[0]
        threat.yaml_set_comment_before_after_key("bound", before=_said(proposal, threat["bound"]), indent=_INDENT)
    if not found:
        raise InputError(f"'{run}' measured nothing that a bound could be proposed from.")
    document.yaml_set_start_comment(
        "Bounds proposed by a finished run. They keep a model from getting worse than it was measured; whether\n"
        "that can be borne, no run can say: lower them where it can't. A victim named module:attribute is looked\n"
        "for in the folder that the review starts in. What 3 seeds leave undecided is looked at again, after 5 and 10."
    )
    stream, yaml = io.StringIO(), YAML()
    yaml.width = 120
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(document, stream)
    return stream.getvalue()


def commands(results: Results, folder: Path) -> str:
    """What judges the proposed bounds in `folder`: with the seed, and the trust, of the run that proposed them.

    A victim named module:attribute whose file lies in the current folder is copied first.
    """
    words = shlex.split(results.command)
    seed = words[words.index("--seed") + 1] if "--seed" in words[:-1] else "0"
    asked = (["--seed", seed] if seed != "0" else []) + [w for w in words if w == "--trust-pickle"]
    victims = (victim["name"].partition(":") for victim in results.scenario["victims"])
    files = dict.fromkeys(f"{module}.py" for module, colon, _ in victims if colon and Path(f"{module}.py").is_file())
    lines = [["cp", _from(folder, file), "."] for file in files]
    lines.append(["robust", "review", "scenario.robust.yaml", *asked, "--out", "robust-out"])
    return "\n    ".join(map(shlex.join, lines))


def _said(proposal: tuple[float, CellResult] | None, bound: Mapping[str, Any]) -> str:
    """What the comment above a bound tells."""
    if proposal is None:
        return "not measured in that run: this bound is the one that it had"
    limit, cell = proposal
    shown = figures(cell)
    between = f" ({shown.interval})" if shown.interval else ""
    words = f"proposed: at worst {shown.change}{between} was measured, by {attack_label(cell)}, {cell.budget}"
    words += "" if cell.defense == "none" else f", behind {cell.defense}"
    words = " ".join(visible(words).split())[:300]
    told = f"{words};\nthe limit is {_said_headroom(cell, bool(shown.interval))}, rounded up"
    return f"{told}.\nIt promises next to nothing: defend, or accept the risk" if limit >= MOST else told


def _said_headroom(cell: CellResult, interval: bool) -> str:
    if not interval:
        return "a tenth above that"
    factor = _factor(cell)
    return "the interval's upper end" if factor == 1 else f"{factor:g} times the way to the interval's upper end"


def _victims(scenario: Scenario, folder: Path) -> list[Any]:
    """A checkpoint's folder, or a file that describes a model, as it is named from `folder`; others by their names."""
    found = []
    for victim in scenario.victims:
        spec = victim.model_dump(mode="json", exclude_defaults=True)
        is_path = Path(victim.name).is_dir() or Path(victim.name).suffix in (".yaml", ".yml")
        found.append(_named(spec | {"name": _from(folder, victim.name) if is_path else victim.name}))
    return found


def _moved(source: Any, folder: Path) -> Any:
    """A log's files, as they are named from `folder`; a registered log's name stays a name."""
    if not isinstance(source, Mapping):
        return source
    there = {key: _from(folder, source[key]) for key in _PATHS if source.get(key) is not None}
    return {key: value for key, value in {**source, **there}.items() if value not in (None, 0)}


def _from(folder: Path, name: str) -> str:
    """A relative path to what is there, as it is named from `folder`; anything else as it stands."""
    if Path(name).is_absolute() or not Path(name).exists():
        return name
    return os.path.relpath(Path(name).resolve(), folder.resolve())


def _named(spec: Mapping[str, Any]) -> Any:
    """An attack, defence or model as people write it: its name, or its name among its parameters."""
    flat = {key: value for key, value in spec.items() if key not in ("settings", "parameters")}
    for key in ("settings", "parameters"):
        flat |= spec.get(key) or {}
    return flat if len(flat) > 1 else spec["name"]


def _ordered(data: dict[str, Any]) -> CommentedMap:
    """The document: a key a line down to a threat's own, and what those hold on one line."""
    document = CommentedMap({"schema": 1})
    threats = data.pop("threats")
    accepted = data.pop("accept", None)
    document.update({key: _inline(value) for key, value in data.items()})
    document["threats"] = CommentedSeq()
    for threat in threats:
        for kind in ("attacks", "defenses"):
            if kind in threat:
                threat[kind] = [_named(spec) for spec in threat[kind]]
        if "surrogate" in threat:
            threat["surrogate"] = _named(threat["surrogate"])
        document["threats"].append(CommentedMap({key: _inline(value) for key, value in threat.items()}))
    if accepted:
        document["accept"] = CommentedSeq([_inline(entry) for entry in accepted])
    return document


def _inline(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = CommentedMap({key: _inline(inner) for key, inner in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        sequence = CommentedSeq([_inline(inner) for inner in value])
        sequence.fa.set_flow_style()
        return sequence
    return value
