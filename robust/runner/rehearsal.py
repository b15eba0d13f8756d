"""A rehearsal: one seed of a review in miniature, from which the time of the whole follows.

Every step of the first seed runs with few training steps and few users, at two sizes. A straight line through both is
carried on to the review's own size. So the estimate is of this machine, this log, these attacks and these victims,
whoever wrote them; what it cannot know is when training stops early. An endpoint is asked nothing: a stand-in answers
in its place and counts what it was asked (see `robust.recommenders.adapters.http.stand_in`).
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from robust.errors import RobustError
from robust.extraction import Extraction
from robust.ranking import MAX_CHUNK
from robust.recommenders.adapters.base import read_adapter
from robust.recommenders.adapters.http.description import Endpoint
from robust.recommenders.adapters.http.stand_in import TALLY, stand_in
from robust.recommenders.resolve import resolve
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.training import planned_steps
from robust.runner.engines import as_a_worker, closure
from robust.runner.looks import clean_steps
from robust.runner.obstacles import obstacle, resolvable
from robust.runner.prepare import BASELINES, Prepared, Request, expand
from robust.runner.scenario import NO_SURROGATE, Scenario, Threat, VictimSpec
from robust.runner.step import Step
from robust.runner.steps import AGREED_ON, STEPS
from robust.runner.store import Store, content_hash
from robust.runner.surrogate import surrogate_of
from robust.runner.workshop import Workshop


@dataclass(frozen=True)
class Size:
    """How small a rehearsal is."""

    users: int
    steps: int
    walks: int


SMALL, LARGE = Size(24, 4, 2), Size(96, 16, 8)
DRAWN = ("seed", "goal", "targets")
"""Parameters of a step that differ from seed to seed and hardly change its time."""


@dataclass(frozen=True)
class Asked:
    """What a step asks of its endpoint: sequences, requests that hold them, and rounds of requests at once."""

    sequences: float = 0.0
    requests: float = 0.0
    rounds: float = 0.0


@dataclass(frozen=True)
class Spent:
    """What a step took: seconds of computing, and what it would have asked of an endpoint."""

    seconds: float
    asked: Asked = Asked()


class Rehearsal:
    """Seconds and queries of any step of a review, as a rehearsal of its first seed found them.

    Args:
        spent: by a step's signature, at the small and the large size.
        endpoints: by the SPEC of the victim that asks it.
    """

    def __init__(
        self,
        prepared: Prepared,
        spent: Mapping[str, tuple[Spent, Spent]],
        endpoints: Mapping[str, Endpoint] | None = None,
    ) -> None:
        self._prepared, self._spent, self._endpoints = prepared, spent, endpoints or {}

    def of(self, step: Step) -> float | None:
        """Seconds of computing at the review's own size; None for a step that no step of the first seed resembles."""
        found = self._spent.get(signature(step))
        return None if found is None else self._carried_on(step, *(one.seconds for one in found))

    def asked(self, step: Step) -> Asked:
        """What it asks of its endpoint at the review's own size."""
        found = self._spent.get(signature(step))
        endpoint = self._endpoints.get(asks(step))
        if found is None or endpoint is None:
            return Asked()
        if step.kind == "extract":
            # a list is a question, and a guard may make several of one; few are asked twice, but in a small catalogue
            several = found[1].asked.sequences / _lists(step, self._users(LARGE), LARGE)
            sequences = max(several, 1.0) * _lists(step, self._users(None))
        else:
            sequences = self._carried_on(step, *(one.asked.sequences for one in found))
        # a round is a question that somebody waits for: there are as many for a few users as for one chunk of many
        rounds = max(one.asked.rounds for one in found) * math.ceil(self._users(None) / MAX_CHUNK)
        requests = max(sequences / endpoint.asked_at_once, rounds if sequences else 0.0)
        return Asked(sequences, requests, max(rounds, requests / endpoint.concurrency))

    def _carried_on(self, step: Step, small: float, large: float) -> float:
        own, less, more = (self._amount(step, size) for size in (None, SMALL, LARGE))
        slope = (large - small) / (more - less) if more > less else 0.0
        return max(large + max(slope, 0.0) * (own - more), 0.0)  # a noisy line does not slope down

    def _amount(self, step: Step, size: Size | None) -> float:
        """What a step's time grows with: steps of training, or users."""
        if step.kind in ("fit", "extract"):
            settings = training_settings(step.params["victim" if step.kind == "fit" else "surrogate"])
            if settings is None:
                return 0.0
            if size is not None:
                whole = size.steps
            elif step.kind == "extract":
                whole = _steps_of_a_copy(settings, Extraction(**step.params["extract"]))
            else:
                whole = planned_steps(settings, self._prepared.split.train)
            return max(round(float(step.params.get("share", 1.0)) * whole), 1)
        return 0.0 if step.kind == "poison" else self._users(size)

    def _users(self, size: Size | None) -> int:
        users = len(self._prepared.split.users)
        return users if size is None else min(size.users, users)


def _lists(step: Step, users: int, size: Size | None = None) -> float:
    """Lists that a copy of a victim takes: of its walks, and of the users on whom both are compared."""
    how = Extraction(**step.params["extract"])
    return (how if size is None else _shortened(how, size)).spent + min(users, AGREED_ON)


def _shortened(how: Extraction, size: Size) -> Extraction:
    return how.model_copy(update={"queries": min(how.queries, how.length * size.walks)})


def _steps_of_a_copy(settings: TrainingSettings, how: Extraction) -> int:
    """As `planned_steps`, for walks instead of users; each is one window."""
    per_epoch = how.spent / how.length / settings.batch_size
    return min(max(math.ceil(per_epoch * settings.max_epochs), settings.min_steps), settings.max_steps)


def asks(step: Step) -> str:
    """The SPEC of the victim that a step asks; "" where it asks none."""
    victim: Mapping[str, Any] = step.params.get("victim") or {}
    return str(victim.get("name", ""))


def signature(step: Step) -> str:
    """The same for steps that differ by their seed alone."""
    params = {name: value for name, value in step.params.items() if name not in DRAWN}
    return content_hash([step.kind, params, {role: signature(given) for role, given in step.inputs.items()}])


def training_settings(victim: Mapping[str, Any]) -> TrainingSettings | None:
    """How a victim of ours is trained; None for any other."""
    settings = getattr(resolve(victim["name"], dict(victim["settings"])), "settings", None)
    return settings if isinstance(settings, TrainingSettings) else None


def rehearse(prepared: Prepared, request: Request) -> Rehearsal | None:
    """Run the first seed in miniature; None where a trained victim is not ours, so cannot be trained a little."""
    scenario = prepared.scenario
    steps = closure(_first_seed(prepared, prepared, request.seed)[0])
    trained = [step.params["victim"] for step in steps if step.kind == "fit"]
    trained += [threat.surrogate.model_dump() for threat in scenario.threats if "surrogate" in threat.plan]
    if any(one["name"] not in BASELINES and training_settings(one) is None for one in trained):
        return None
    endpoints = endpoints_of(scenario)
    with as_a_worker([os.getcwd()]):
        _timed(prepared, request, SMALL, endpoints)  # imports, first allocations
        large, small = (_timed(prepared, request, size, endpoints) for size in (LARGE, SMALL))
    return Rehearsal(prepared, {key: (small[key], large[key]) for key in small.keys() & large.keys()}, endpoints)


def endpoints_of(scenario: Scenario) -> dict[str, Endpoint]:
    """The victims that somebody else runs, by their SPEC.

    Raises:
        InputError: a description that cannot be read.
    """
    described = {victim.name for victim in scenario.victims if Path(victim.name).suffix in (".yaml", ".yml")}
    found = {name: read_adapter(Path(name)) for name in sorted(described)}
    return {name: adapter for name, adapter in found.items() if isinstance(adapter, Endpoint)}


def _timed(prepared: Prepared, request: Request, size: Size, endpoints: Mapping[str, Endpoint]) -> dict[str, Spent]:
    """What each step took of the first seed at this size, by the signature of the step itself.

    A step that fails, or lacks what it needs, is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        small = expand(_miniature(prepared, size, endpoints), request, store, prepared.log)
        workshop = Workshop(store)
        spent: dict[str, Spent] = {}
        pairs = _pairs(*_first_seed(prepared, small, request.seed))
        TALLY.known.clear()
        for twin in {twin.key: twin for _, twin in pairs}.values():
            if request.workers > 1:  # each worker remembers its own answers alone
                TALLY.known.clear()
            started, before = time.perf_counter(), replace(TALLY)
            try:
                store.put(twin.key, STEPS[twin.kind](workshop, twin.job()))
            except RobustError:
                continue
            asked = Asked(*(getattr(TALLY, one.name) - getattr(before, one.name) for one in fields(Asked)))
            spent[twin.key] = Spent(time.perf_counter() - started, asked)
        return {signature(step): spent[twin.key] for step, twin in pairs if twin.key in spent}


def _first_seed(prepared: Prepared, small: Prepared, seed: int) -> tuple[list[Step], list[Step]]:
    """The steps of the first seed, and their twins in the miniature, cell by cell."""
    steps, twins = clean_steps(prepared, [seed]), clean_steps(small, [seed])
    for cell, twin in zip(prepared.cells, small.cells, strict=True):
        if obstacle(cell) is None and resolvable(cell, seed) is None:
            steps += cell.steps(seed).steps
            twins += twin.steps(seed).steps
    return steps, twins


def _pairs(steps: list[Step], small: list[Step]) -> list[tuple[Step, Step]]:
    """Each step with its twin in the miniature, in an order in which they can run."""
    found: dict[str, tuple[Step, Step]] = {}

    def visit(step: Step, twin: Step) -> None:
        if step.kind == "split" or step.key in found:
            return
        for role, given in step.inputs.items():
            visit(given, twin.inputs[role])
        found[step.key] = (step, twin)

    for step, twin in zip(steps, small, strict=True):
        visit(step, twin)
    return list(found.values())


def _miniature(prepared: Prepared, size: Size, endpoints: Mapping[str, Endpoint]) -> Scenario:
    """The same scenario with few users, steps of training and lists asked for, and nobody behind an address."""
    scenario = prepared.scenario

    def shortened(spec: VictimSpec) -> VictimSpec:
        if spec.name in endpoints:
            name, settings = stand_in(endpoints[spec.name], prepared.log.n_items)
            return VictimSpec(name=name, settings=settings)
        if spec.name == NO_SURROGATE or training_settings(spec.model_dump()) is None:
            return spec
        few = {"max_steps": size.steps, "min_steps": size.steps, "validations": 1}
        return spec.model_copy(update={"settings": {**spec.settings, **few}})

    def attacked(threat: Threat) -> Threat:
        own, how = shortened(threat.surrogate), surrogate_of(threat).extract
        fewer = None if how is None else _shortened(how, size)
        return threat.model_copy(update={"surrogate": own.model_copy(update={"extract": fewer})})

    return scenario.model_copy(
        update={
            "users": min(size.users, scenario.users),
            "victims": tuple(shortened(victim) for victim in scenario.victims),
            "threats": tuple(attacked(threat) for threat in scenario.threats),
        }
    )
