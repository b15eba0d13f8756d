"""What a review would cost, before it runs: cells, steps, minutes, memory.

Minutes come from a rehearsal of the review in miniature, on this machine (see `robust.runner.rehearsal`). Where a
victim is trained that is not ours, they come from measured rates of this package's own code instead, which say nothing
about a foreign model's speed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from robust import plugins
from robust.defense import Cost
from robust.recommenders.settings import TrainingSettings
from robust.runner.engines import closure
from robust.runner.looks import clean_steps
from robust.runner.plan import resolvable
from robust.runner.prepare import BASELINES, Prepared, Request, prepare
from robust.runner.rehearsal import Rehearsal, rehearse, training_settings
from robust.runner.steps import Step

FIT_SECONDS = 1.7e-5  # per row and epoch of a neural victim: 11 s for GRU4Rec on flights, 150 s for SASRec on ml-1m
COUNTED_SECONDS = 1.0  # a baseline's fit
PASS_SECONDS = 3e-6  # per sequence position in one forward pass
PASSES = {"rank": 1.0, "evade": 18.0, "perturb": 25.0}
LONGER: dict[Cost, float] = {"longer fit": 4.0, "several fits": 3.0}
"""How many times a plain fit a defended one takes, by its class of cost: 2 to 5, and 2 to 4 with default parameters."""


def estimate(request: Request) -> list[dict[str, Any]]:
    """Rows of name and value, for the first look and for the last.

    Raises:
        InputError: anything that the user has to mend.
    """
    prepared = prepare(request, None)
    scenario = prepared.scenario
    rows: list[dict[str, Any]] = [
        {"name": "scenario", "value": scenario.title},
        {"name": "log", "value": f"{prepared.log.name}: {len(prepared.log):,} rows, {prepared.log.n_items:,} items"},
        {"name": "evaluated users", "value": f"{len(prepared.split.users):,}, seen items {prepared.seen}"},
        {"name": "victims", "value": ", ".join(v.spec.label for v in prepared.victims)},
    ]
    reasons = Counter(cell.obstacle() or resolvable(cell, request.seed) or "" for cell in prepared.cells)
    rows.append({"name": "cells", "value": f"{len(prepared.cells)}, of which {reasons.pop('', 0)} can be measured"})
    rows += [{"name": "not applicable", "value": f"{count}: {reason}"} for reason, count in reasons.items()]
    started = time.monotonic()
    rehearsal = rehearse(prepared, request)
    for look in scenario.seeds:
        steps = _steps(prepared, request.seed, look)
        seconds = sum(_seconds(step, prepared, rehearsal) for step in steps) / request.workers
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(s.kind for s in steps).items()))
        rows.append({"name": f"steps at {look} seeds", "value": kinds})
        rows.append(
            {
                "name": f"minutes at {look} seeds",
                "value": f"about {max(seconds / 60, 0.1):.1f} with {request.workers} workers",
            }
        )
        if rehearsal is not None and rehearsal.asked:
            queries = sum(rehearsal.queries_of(step) for step in steps)
            rows.append({"name": f"queries at {look} seeds", "value": f"about {queries:,.0f} sequences of an endpoint"})
    how = "rates of another machine: a victim is trained that is not ours"
    if rehearsal is not None:
        how = f"a rehearsal of one seed in miniature, {time.monotonic() - started:.0f} s"
        how += f", which asked {rehearsal.asked:,} sequences of an endpoint" if rehearsal.asked else ""
    rows.append({"name": "minutes from", "value": how})
    block = 4 * 256 * (prepared.log.n_items + 1) / 2**20
    rows.append({"name": "memory", "value": f"about {0.6 + 4 * block / 1024:.1f} GB a worker"})
    return rows


def _steps(prepared: Prepared, first: int, look: int) -> list[Step]:
    seeds = [first + i for i in range(look)]
    wanted = clean_steps(prepared, seeds)
    for cell in prepared.cells:
        if cell.obstacle() is None and resolvable(cell, first) is None:
            for seed in seeds[:1] if cell.fixed else seeds:
                wanted += cell.steps(seed).steps
    return closure(wanted)


def _seconds(step: Step, prepared: Prepared, rehearsal: Rehearsal | None) -> float:
    rehearsed = None if rehearsal is None else rehearsal.of(step)
    if rehearsed is not None:
        return rehearsed
    if step.kind == "fit":
        if step.params["victim"]["name"] in BASELINES:
            return COUNTED_SECONDS
        rows = _rows_trained_on(step.params["victim"], len(prepared.split.train))
        return float(step.params.get("share", 1.0)) * _longer(step.params.get("defense")) * rows * FIT_SECONDS
    positions = len(prepared.split.users) * int(step.params.get("context", 50))
    edits = max(int((step.params.get("budget") or {}).get("edits") or 1), 1)
    return PASSES.get(step.kind, 0.1) * edits * positions * PASS_SECONDS


def _longer(defense: Mapping[str, Any] | None) -> float:
    """How many times a plain fit one behind this defence takes."""
    return 1.0 if defense is None else LONGER.get(plugins.load("defenses", defense["name"]).cost, 1.0)


def _rows_trained_on(victim: Mapping[str, Any], rows: int) -> int:
    """Rows times epochs of a fit from scratch; a victim without our settings is taken for one with the defaults."""
    settings = training_settings(victim) or TrainingSettings()
    per_step = settings.batch_size * settings.context
    return min(max(settings.max_epochs * rows, settings.min_steps * per_step), settings.max_steps * per_step)
