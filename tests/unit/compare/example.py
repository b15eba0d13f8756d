"""A run as it is read from its folder, made up: cells of one threat, whose users and seeds differ a little."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from robust.compare.comparable import check_comparable
from robust.compare.decide import Margins, decide
from robust.compare.record import Comparison
from robust.compare.runs import Run, Values
from robust.runner.results import BoundResult, CellResult, MetricResult, Point, ThreatResult
from tests.unit.report.example import example

USERS = 800
SCENARIO: dict[str, Any] = {
    "split": "leave-last-out",
    "users": 1000,
    "seeds": [3],
    "retrain": {"warm": 0.25},
    "threats": [
        {
            "id": "edits",
            "title": "Edits",
            "goal": {"degrade": True},
            "knowledge": {"log": "full"},
            "attacks": [{"name": "substitution", "parameters": {}}],
            "budgets": [{"edits": 1}, {"edits": 2}],
            "defenses": [{"name": "none"}],
            "plan": ["plain"],
            "surrogate": {"name": "gru4rec"},
            "bound": {"metric": "ndcg@10", "kind": "drop", "limit": 0.1},
        }
    ],
}


def run(
    levels: tuple[float, ...] = (0.3, 0.2), seeds: tuple[int, ...] = (0, 1, 2), clean: float = 0.5, **more: Any
) -> Run:
    """A run with a cell for each attacked level; users differ, and so do seeds, a little."""
    rng = np.random.default_rng(sum(seeds))
    user = np.random.default_rng(9).random(USERS)
    victim, cells, values = more.pop("victim", "gru4rec"), [], {}
    for edits, level in enumerate(levels, start=1):
        draw = 0.02 * rng.standard_normal((2, len(seeds), 1))
        before, after = (np.clip(m * (0.5 + user) * (1 + d), 0, 1) for m, d in zip((clean, level), draw, strict=True))
        fixed = len(seeds) == 1
        cell = CellResult(
            id=f"edits/{victim}/substitution/{edits}",
            threat="edits",
            victim=victim,
            attack="substitution",
            goal="degrade",
            budget=f"{edits} edits",
            planned_on="plain",
            measured_on="plain",
            seeds=list(seeds),
            n_users=USERS,
            bound=BoundResult(metric="ndcg@10", kind="drop", limit=0.1),
            verdict="PASS",
            metrics={
                "ndcg@10": MetricResult(clean=0.5, attacked=level, change=0.4, low=0.3 if fixed else None, high=0.5)
            },
            points=[
                Point(seed=seed, clean=float(c.mean()), attacked=float(a.mean()), change=0.4)
                for seed, c, a in zip(seeds, before, after, strict=True)
            ],
        )
        cells.append(cell.model_copy(update=more.get("cell", {})))
        values[cell.id] = Values(seeds, before, after)
    results = example().model_copy(
        update={
            "cells": cells,
            "threats": [ThreatResult(id="edits", title="Edits", verdict="PASS", summary="", cells=[])],
            "scenario": copy.deepcopy(SCENARIO),
            "environment": {"data": "d" * 32, "seqrobust": "0.1.0"},
        }
    )
    return Run(Path(more.get("folder", "a")), results, more.get("checksum", str(seeds)), values)


def compared(base: Run, candidate: Run) -> Comparison:
    return decide(base, candidate, check_comparable(base, candidate), Margins(), alpha=0.05)
