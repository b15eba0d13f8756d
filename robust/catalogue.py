"""What is installed: listings and descriptions of plugins, ours and third parties' alike."""

from __future__ import annotations

import json
import warnings
from typing import Any, cast

from robust import plugins
from robust.documents import plain, read_yaml
from robust.errors import UnknownName
from robust.reference import facts, page, parameters, summary, threat

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
        rows.append({"name": name, **facts(plugin), "summary": summary(plugin)})
    return rows


def overview(kind: str) -> list[dict[str, Any]]:
    """The listing as a terminal has room for it: threat, or needs, in one column, the source below the summary."""
    rows = listing(kind)
    if kind == "defenses":
        return [
            {
                "name": row["name"],
                "acts on, needs, cost": f"{row['stage']}; {row.get('needs', '')}; {row.get('cost', '')}",
                "summary, source": f"{row['summary']}\n{row.get('source', '')}",
            }
            for row in rows
        ]
    if kind != "attacks":
        return rows
    return [
        {"name": row["name"], "threat": threat(row), "summary, source": f"{row['summary']}\n{row.get('source', '')}"}
        for row in rows
    ]


def _scenario_title(name: str) -> str:
    from robust.runner.reading import load_scenario

    return load_scenario(name)[0].title


def description(name: str) -> str:
    """The reference page of one plugin, as Markdown; a scenario as it stands; or the JSON schema of results.

    Raises:
        UnknownName: nothing has this name, in any kind.
    """
    if name == "results-schema":
        from robust.runner.results import Results

        return json.dumps(Results.model_json_schema(by_alias=True), indent=1)
    kind = _kind(name)
    plugin = plugins.load(kind, name)
    return cast(str, plugin.read_text(encoding="utf-8")) if kind == "scenarios" else page(name, plugin)


def described(name: str) -> dict[str, Any]:
    """The same as data: kind, name, summary, what it states of itself, parameters; a scenario, or a schema, as it is.

    Raises:
        UnknownName: nothing has this name, in any kind.
    """
    if name == "results-schema":
        return cast(dict[str, Any], json.loads(description(name)))
    kind = _kind(name)
    plugin = plugins.load(kind, name)
    if kind == "scenarios":
        return cast(dict[str, Any], plain(read_yaml(plugin.read_text(encoding="utf-8"), f"{name}.yaml")))
    rows = [parameter._asdict() for parameter in parameters(plugin)]
    return {"kind": kind, "name": name, "summary": summary(plugin), **facts(plugin), "parameters": rows}


def _kind(name: str) -> plugins.Kind:
    for kind in plugins.KINDS:
        if name in plugins.names(kind):
            return kind
    everything = [n for kind in plugins.KINDS for n in plugins.names(kind)] + ["results-schema"]
    raise UnknownName("plugin", name, everything)
