"""What is installed: listings and descriptions of plugins, ours and third parties' alike."""

from __future__ import annotations

import inspect
import json
import warnings
from typing import Any, cast

from robust import plugins
from robust.errors import UnknownName

LISTABLE = (*plugins.KINDS, "metrics")


def listing(kind: str) -> list[dict[str, Any]]:
    """One row per plugin of this kind, each with "name" and a one-line "summary".

    Raises:
        UnknownName: no such kind.
    """
    if kind not in LISTABLE:
        raise UnknownName("kind of plugin", kind, LISTABLE)
    if kind == "metrics":
        from robust.metrics.registry import METRICS

        return [{"name": metric.key, "summary": metric.description} for metric in METRICS.values()]
    if kind == "scenarios":
        return [{"name": name, "summary": _scenario_title(name)} for name in plugins.names("scenarios")]
    rows = []
    for name in plugins.names(cast(plugins.Kind, kind)):
        try:
            plugin = plugins.load(cast(plugins.Kind, kind), name)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not hide the others
            warnings.warn(str(error), plugins.BrokenPlugin, stacklevel=2)
            continue
        rows.append({"name": name, **_facts(plugin), "summary": _summary(plugin)})
    return rows


def _scenario_title(name: str) -> str:
    from robust.runner.scenario import load_scenario

    return load_scenario(name)[0].title


def _summary(plugin: Any) -> str:
    text = inspect.getdoc(plugin) or ""
    return text.split("\n\n")[0].replace("\n", " ").strip()


def _facts(plugin: Any) -> dict[str, Any]:
    """Threat or stage, where a plugin states it."""
    facts: dict[str, Any] = {}
    for field in ("stage", "model_access", "log_access", "source"):
        value = getattr(plugin, field, None)
        if isinstance(value, str):
            facts[field] = value
    if isinstance(goals := getattr(plugin, "goals", None), frozenset):
        facts["goals"] = ", ".join(sorted(goals))
    return facts


def description(name: str) -> str:
    """Parameters, defaults, threat model and source of one plugin; or the JSON schema of results.

    Raises:
        UnknownName: nothing has this name, in any kind.
    """
    if name == "results-schema":
        from robust.runner.results import Results

        return json.dumps(Results.model_json_schema(by_alias=True), indent=1)
    for kind in plugins.KINDS:
        if name in plugins.names(kind):
            return _describe(kind, name)
    everything = [n for kind in plugins.KINDS for n in plugins.names(kind)] + ["results-schema"]
    raise UnknownName("plugin", name, everything)


def _describe(kind: plugins.Kind, name: str) -> str:
    plugin = plugins.load(kind, name)
    if kind == "scenarios":
        return cast(str, plugin.read_text(encoding="utf-8"))
    lines = [f"{name} ({kind.removesuffix('s')})", "", inspect.getdoc(plugin) or "", ""]
    facts = _facts(plugin)
    control = getattr(plugin, "control", None)
    tags = getattr(plugin, "tags", ())
    weaknesses = getattr(plugin, "weaknesses", "")
    labels = {
        "source": "Source",
        "stage": "Acts on",
        "goals": "Goals",
        "model_access": "Needs of the model",
        "log_access": "Needs of the log",
    }
    lines += [f"{label}: {facts[key]}" for key, label in labels.items() if key in facts]
    lines += [f"Control: {control}"] if isinstance(control, str) else []
    lines += [f"Tags: {', '.join(tags)}"] if tags else []
    lines += [f"Known weaknesses: {weaknesses}"] if weaknesses else []
    lines += ["", "Parameters:", *_parameters(plugin)]
    return "\n".join(lines)


def _parameters(plugin: Any) -> list[str]:
    fields = getattr(plugin, "model_fields", None)
    if fields is None:
        settings = getattr(plugin, "settings_type", None)
        fields = getattr(settings, "model_fields", None)
    if fields is not None:
        rows = [
            f"  {name} = {field.get_default(call_default_factory=True)!r}   {field.description or ''}".rstrip()
            for name, field in fields.items()
        ]
        return rows or ["  none"]
    signature = inspect.signature(plugin)
    return [f"  {parameter}" for parameter in signature.parameters.values()] or ["  none"]
