"""A project whose model is the server of this folder: a log, a scenario, a description; and a review of it."""

from __future__ import annotations

import json
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust.runner.review import Request, review
from tests.integration.servers.describe import N_ITEMS
from tests.integration.servers.start import Server

SCENARIO = """\
schema: 1
title: An endpoint
dataset: {file: events.csv}
victims: [endpoint.yaml]
seeds: [3]
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [{name: random-substitution, tries: 5}]
    budgets: [{edits: 1}, {edits: 2}, {edits: 3}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.97}
"""
ENDPOINT = """\
adapter: kserve
model: ranker
n_items: 60
padding: {length: 8}
items: top
k: 20
retries: 1
backoff: 0.01
batch_size: 64
"""


def write_project(folder: Path, server: Server) -> Path:
    """A log, a description and a scenario."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["user,item,timestamp"]
    for user in range(60):
        lines += [f"u{user},{item},{place}" for place, item in enumerate(rng.integers(1, N_ITEMS + 1, 9))]
    (folder / "events.csv").write_text("\n".join(lines))
    (folder / "endpoint.yaml").write_text(ENDPOINT + f"url: {server.url}\n")
    (folder / "small.yaml").write_text(SCENARIO)
    server.fault()
    return folder


@dataclass(frozen=True)
class Whole:
    """A review that nothing disturbed: its cells, what it left in its folder, and what was asked for it."""

    out: Path
    cells: list[Any]
    bodies: list[Any]

    @property
    def stored(self) -> int:
        """How many steps it stored."""
        return len(stored(self.out))


def reviewed(folder: Path, server: Server) -> Whole:
    """The review in a folder of its own."""
    write_project(folder, server)
    with chdir(folder):
        review(Request(scenario="small.yaml", out=Path("out"), engine="serial"))
    out = folder / "out"
    return Whole(out, measured(out), server.seen()["bodies"])


def results(out: str | Path) -> dict[str, Any]:
    """What a run wrote."""
    found: dict[str, Any] = json.loads((Path(out) / "results.json").read_text())
    return found


def measured(out: str | Path) -> list[Any]:
    """What of its cells does not depend on when they ran."""
    kept = ("id", "verdict", "reason", "metrics", "points", "queries")
    return [{key: value for key, value in cell.items() if key in kept} for cell in results(out)["cells"]]


def stored(out: str | Path) -> dict[str, int]:
    """The steps in its store, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in Path(out).rglob("*.bin")}


def sequences(bodies: list[Any]) -> int:
    """How many were asked."""
    return sum(body["inputs"][0]["shape"][0] for body in bodies)
