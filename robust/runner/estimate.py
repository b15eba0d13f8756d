"""What a review would cost, before it runs: cells, steps, minutes, memory.

Minutes come from a rehearsal of the review in miniature, on this machine (see `robust.runner.rehearsal`). Where a
victim is trained that is not ours, they come from measured rates of this package's own code instead, which say nothing
about a foreign model's speed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from robust import plugins
from robust.defense import Cost
from robust.errors import RobustError
from robust.recommenders.adapters.http.ledger import asked_in_run
from robust.recommenders.settings import TrainingSettings
from robust.runner.asking import Asking, askings
from robust.runner.engines import closure
from robust.runner.list_lengths import check_list_lengths
from robust.runner.looks import clean_steps
from robust.runner.obstacles import obstacle, resolvable
from robust.runner.prepare import BASELINES, Prepared, Request, prepare
from robust.runner.rehearsal import Rehearsal, endpoints_of, rehearse, training_settings
from robust.runner.step import Step
from robust.runner.store import Store

FIT_SECONDS = 1.7e-5  # per row and epoch of a neural victim: 11 s for GRU4Rec on flights, 150 s for SASRec on ml-1m
COUNTED_SECONDS = 1.0  # a baseline's fit
PASS_SECONDS = 3e-6  # per sequence position in one forward pass
PASSES = {"rank": 1.0, "evade": 18.0, "perturb": 25.0}
UNREHEARSED = "a victim is trained that is not ours, which no rehearsal can shorten"
LONGER: dict[Cost, float] = {"longer fit": 4.0, "several fits": 3.0}
"""How many times a plain fit a defended one takes, by its class of cost: 2 to 5, and 2 to 4 with default parameters."""


def estimate(request: Request) -> list[dict[str, Any]]:
    """Rows of name and value, for the first look and for the last.

    Raises:
        InputError: anything that the user has to mend.
    """
    before = asked_in_run()
    prepared = prepare(request, None)
    noticed = [*prepared.notes, *check_list_lengths(prepared)]
    opened = asked_in_run() - before
    scenario = prepared.scenario
    rows: list[dict[str, Any]] = [
        {"name": "scenario", "value": scenario.title},
        {"name": "log", "value": f"{prepared.log.name}: {len(prepared.log):,} rows, {prepared.log.n_items:,} items"},
        {"name": "evaluated users", "value": f"{len(prepared.split.users):,}, seen items {prepared.seen}"},
        {"name": "victims", "value": ", ".join(v.spec.label for v in prepared.victims)},
    ]
    reasons = Counter(obstacle(cell) or resolvable(cell, request.seed) or "" for cell in prepared.cells)
    rows.append({"name": "cells", "value": f"{len(prepared.cells)}, of which {reasons.pop('', 0)} can be measured"})
    rows += [{"name": "not applicable", "value": f"{count}: {reason}"} for reason, count in reasons.items()]
    rows += [{"name": "note", "value": one} for one in noticed]
    started = time.monotonic()
    rehearsal = rehearse(prepared, request)
    for look in scenario.seeds:
        steps = _steps(prepared, request.seed, look)
        asked = askings(prepared, request, rehearsal, steps, opened)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(s.kind for s in steps).items()))
        rows.append({"name": f"steps at {look} seeds", "value": kinds})
        seconds = sum(_seconds(step, prepared, rehearsal) for step in steps)
        whole = _shared([seconds, *(one.seconds for one in asked)], asked, request.workers)
        value = f"about {max(whole / 60, 0.1):.1f} with {request.workers} workers"
        rows.append({"name": f"minutes at {look} seeds", "value": value})
        for one in asked:
            rows.append({"name": f"queries at {look} seeds", "value": one.said()})
            if (shortage := one.shortage()) is not None:
                rows.append({"name": f"budget at {look} seeds", "value": shortage})
    how = f"rates of another machine: {UNREHEARSED}"
    if rehearsal is not None:
        how = f"a rehearsal of one seed in miniature, {time.monotonic() - started:.0f} s"
    elif endpoints_of(scenario):
        rows.append({"name": "queries", "value": f"not known: {UNREHEARSED}"})
    rows.append({"name": "minutes from", "value": how})
    rows += [
        {"name": f"asked of {one.name}", "value": f"{one.opening} sequences so far; {one.pace()}"} for one in asked
    ]
    block = 4 * 256 * (prepared.log.n_items + 1) / 2**20
    rows.append({"name": "memory", "value": f"about {0.6 + 4 * block / 1024:.1f} GB a worker"})
    return rows


def advance_notice(request: Request, prepared: Prepared, store: Store, opened: int) -> list[str]:
    """What a review is about to ask of endpoints at most, how long that takes, and whether their budgets allow it.

    Nothing where no victim is an endpoint, or where all is there already.

    Args:
        opened: sequences that were asked of endpoints so far, to open them.
    """
    if request.engine == "serial":
        request = replace(request, workers=1)
    steps = [step for step in _steps(prepared, request.seed, prepared.scenario.seeds[-1]) if step.key not in store]
    if not steps or not endpoints_of(prepared.scenario):
        return []
    try:
        rehearsal = rehearse(prepared, request)
    except RobustError as error:  # what hinders the miniature need not hinder the review
        return [f"no estimate of what will be asked of endpoints: {error}"]
    if rehearsal is None:
        return [f"no estimate of what will be asked of endpoints: {UNREHEARSED}"]
    asked = [one for one in askings(prepared, request, rehearsal, steps, opened) if one.steps]
    seconds = sum(_seconds(step, prepared, rehearsal) for step in steps)
    minutes = _shared([seconds, *(one.seconds for one in asked)], asked, request.workers) / 60
    lines = [f"{one.said()}; {one.pace()}" for one in asked]
    lines += [f"about {max(minutes, 0.1):.1f} minutes with {request.workers} workers"] if asked else []
    return lines + [shortage for one in asked if (shortage := one.shortage()) is not None]


def _shared(seconds: Sequence[float], asked: Sequence[Asking], workers: int) -> float:
    """Seconds with so many workers, which share the rates of the endpoints."""
    return max([sum(seconds) / workers, *(one.at_least for one in asked)])


def _steps(prepared: Prepared, first: int, look: int) -> list[Step]:
    seeds = [first + i for i in range(look)]
    wanted = clean_steps(prepared, seeds)
    for cell in prepared.cells:
        if obstacle(cell) is None and resolvable(cell, first) is None:
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
