"""What a shell completes: names of plugins and scenario files.

It runs at every press of a key, so it reads names only: entry points from the installed distributions' metadata, files
from the folder. No plugin is imported, nor pydantic.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

_KINDS = ("attacks", "defenses", "recommenders", "datasets", "scenarios")
_SUFFIXES = (".yaml", ".yml")
_OURS = "robust."


def _registered(kind: str, incomplete: str, room: str = "") -> list[str]:
    """Names of a kind that begin so; of ours, only those whose module lies in `room`. Others' may lie anywhere."""
    return sorted(
        point.name
        for point in entry_points(group=f"robust.{kind}")
        if point.name.startswith(incomplete) and (not point.value.startswith(_OURS) or point.value.startswith(room))
    )


def scenarios(incomplete: str) -> list[str]:
    """Names of scenarios, and YAML files that begin so."""
    return _registered("scenarios", incomplete) + _files(incomplete, _SUFFIXES)


def models(incomplete: str) -> list[str]:
    """Built-in recommenders, and files that describe a model."""
    return _registered("recommenders", incomplete) + _files(incomplete, _SUFFIXES)


def attacks(incomplete: str) -> list[str]:
    """Names of attacks."""
    return _registered("attacks", incomplete)


def log_attacks(incomplete: str) -> list[str]:
    """Names of attacks on a log: fake users, and tampering."""
    rooms = ("robust.attacks.poisoning.", "robust.attacks.tampering.")
    return sorted({name for room in rooms for name in _registered("attacks", incomplete, room)})


def sanitizers(incomplete: str) -> list[str]:
    """Names of sanitisers."""
    return _registered("defenses", incomplete, "robust.defenses.sanitizers.")


def logs(incomplete: str) -> list[str]:
    """Names of embedded logs; the shell adds files where none fits."""
    return _registered("datasets", incomplete)


def kinds(incomplete: str) -> list[str]:
    """What `robust list` lists."""
    return [kind for kind in (*_KINDS, "metrics") if kind.startswith(incomplete)]


def plugins(incomplete: str) -> list[str]:
    """What `robust show` shows."""
    found = {name for kind in _KINDS for name in _registered(kind, incomplete)}
    return sorted(found | {name for name in ("results-schema",) if name.startswith(incomplete)})


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Files with one of these suffixes, and folders to go down into, that begin so; none where none can be read."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    start = "" if incomplete.endswith("/") else typed.name
    shown = incomplete[: len(incomplete) - len(start)]
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        f"{shown}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.name.startswith(start)
        and (start or not entry.name.startswith("."))
        and (entry.suffix in suffixes if entry.is_file() else bool(start) and entry.is_dir())
    ]
