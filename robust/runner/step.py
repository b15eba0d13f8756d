"""A node of the graph of which every cell is made, and the key by which its outcome is kept.

A step is a kind, JSON-able parameters and input steps; its key is the hash of all three, of the code and of the
machine.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

import robust
from robust import plugins
from robust.attack import Attack
from robust.runner.store import content_hash

THREADS = 1
OTHER_SEED = 1_000_003
"""What an attacker's own draws have on top of the victim's seed: nobody outside knows how a victim was initialised, or
with what a defence is randomised."""


@dataclass(frozen=True)
class Step:
    """One node of the graph.

    Attributes:
        kind: a name in `STEPS`. params: JSON-able. inputs: other steps by role.
    """

    kind: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Step] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """The hash of everything that the outcome depends on."""
        return content_hash(
            {
                "kind": self.kind,
                "params": self.params,
                "inputs": {role: step.key for role, step in self.inputs.items()},
                "code": code_hash(),
                "machine": machine(),
            }
        )

    @cached_property
    def label(self) -> str:
        """What a progress line says."""
        named = self.params.get("attack") or self.params.get("defense") or self.params.get("victim") or {}
        seed = f", seed {self.params['seed']}" if "seed" in self.params else ""
        return f"{self.kind} {named.get('name', '')}{seed}".strip()

    def job(self) -> Job:
        """What a worker needs: no graph, only keys."""
        return Job(self.kind, dict(self.params), {role: step.key for role, step in self.inputs.items()}, self.key)


@dataclass(frozen=True)
class Job:
    """A step as it travels to a worker."""

    kind: str
    params: dict[str, Any]
    inputs: dict[str, str]
    key: str


@cache
def code_hash() -> str:
    """Hash of the code on which every step's outcome depends, other than plugins."""
    root = Path(robust.__file__).parent
    rooms = ["*.py", "defense/*.py", "metrics/*.py", "recommenders/*.py"]
    rooms += [f"runner/{name}.py" for name in ("step", "steps", "workshop")]
    outside = {"cli.py", "bounds.py", "doctor.py", "plugins.py", "errors.py", "hidden.py", "visible.py"}
    digest = hashlib.sha256()
    for pattern in rooms:
        for path in sorted(root.glob(pattern)):
            if path.name not in outside:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def machine() -> dict[str, Any]:
    """What changes bits: it belongs to the plan, so that every engine gives the same bytes."""
    import torch

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": THREADS,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def source_hash(kind: plugins.Kind, name: str) -> str:
    """Hash of a plugin's module and of all that it imports from its own project: for ours, attacks or defences."""
    plugin = plugins.load(kind, name)
    parts = plugin.__module__.split(".")
    project = ".".join(parts[: 2 if parts[0] == robust.__name__ else 1])
    waiting, seen = [plugin.__module__], set()
    while waiting:
        module = waiting.pop()
        if module in seen or module not in sys.modules:
            continue
        seen.add(module)
        waiting += [other for other in _imports(module) if other == project or other.startswith(f"{project}.")]
    digest = hashlib.sha256()
    for module in sorted(seen):
        if path := getattr(sys.modules[module], "__file__", None):
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:16]


def _imports(module: str) -> Iterator[str]:
    """The modules that a module's source names, relative imports resolved."""
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):  # compiled, or typed at a prompt
        return
    package = sys.modules[module].__package__ or ""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def plugin_params(kind: Literal["attacks", "defenses"], name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin as a step's parameter: name, all fields (what is left out has its default), and its source's hash."""
    built = plugins.build(kind, name, parameters)
    filled = {"name": name, "parameters": built.model_dump(mode="json"), "source": source_hash(kind, name)}
    others = built.runs() if isinstance(built, Attack) else ()
    return filled | ({"runs": [source_hash(kind, other) for other in others]} if others else {})


def generator(seed: int, purpose: str) -> np.random.Generator:
    """One stream per seed and purpose."""
    return np.random.default_rng([seed, crc32(purpose.encode())])
