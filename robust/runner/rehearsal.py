"""A rehearsal: one seed of a review in miniature, from which the time of the whole follows.

Every step of the first seed runs with few training steps and few users, at two sizes. A straight line through both is
carried on to the review's own size. So the estimate is of this machine, this log, these attacks and these victims,
whoever wrote them; what it cannot know is when training stops early.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust.errors import RobustError
from robust.recommenders.adapters.http.ledger import asked_in_run
from robust.recommenders.resolve import resolve
from robust.recommenders.settings import TrainingSettings
from robust.recommenders.training import planned_steps
from robust.runner.engines import as_a_worker
from robust.runner.looks import clean_steps
from robust.runner.plan import resolvable
from robust.runner.prepare import Prepared, Request, expand
from robust.runner.scenario import Scenario, VictimSpec
from robust.runner.steps import STEPS, Step, Workshop
from robust.runner.store import Store, content_hash


@dataclass(frozen=True)
class Size:
    """How small a rehearsal is."""

    users: int
    steps: int


SMALL, LARGE = Size(24, 4), Size(96, 16)
DRAWN = ("seed", "goal", "targets")
"""Parameters of a step that differ from seed to seed and hardly change its time."""


@dataclass(frozen=True)
class Spent:
    """What a step took: seconds, and sequences asked of endpoints."""

    seconds: float
    queries: float


class Rehearsal:
    """Seconds and queries of any step of a review, as a rehearsal of its first seed found them.

    Attributes:
        asked: sequences that the rehearsal itself asked of endpoints.
    """

    def __init__(
        self,
        prepared: Prepared,
        seconds: Mapping[str, tuple[float, float]],
        queries: Mapping[str, tuple[float, float]] | None = None,
        asked: int = 0,
    ) -> None:
        self._prepared, self._seconds, self._queries, self.asked = prepared, seconds, queries or {}, asked

    def of(self, step: Step) -> float | None:
        """Seconds at the review's own size; None for a step that no step of the first seed resembles."""
        found = self._seconds.get(signature(step))
        return None if found is None else self._carried_on(step, *found)

    def queries_of(self, step: Step) -> float:
        """Sequences that it asks of endpoints at the review's own size."""
        found = self._queries.get(signature(step))
        return 0.0 if found is None else self._carried_on(step, *found)

    def _carried_on(self, step: Step, small: float, large: float) -> float:
        own, less, more = (self._amount(step, size) for size in (None, SMALL, LARGE))
        slope = (large - small) / (more - less) if more > less else 0.0
        return max(large + max(slope, 0.0) * (own - more), 0.0)

    def _amount(self, step: Step, size: Size | None) -> float:
        """What a step's time grows with: steps of training, or users."""
        if step.kind in ("fit", "extract"):
            settings = training_settings(step.params["victim" if step.kind == "fit" else "surrogate"])
            if settings is None:
                return 0.0
            whole = planned_steps(settings, self._prepared.split.train) if size is None else size.steps
            return max(round(float(step.params.get("share", 1.0)) * whole), 1)
        if step.kind == "poison":
            return 0.0
        users = len(self._prepared.split.users)
        return users if size is None else min(size.users, users)


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
    specs = [victim.spec for victim in prepared.victims if victim.trained_by_us]
    specs += [threat.surrogate for threat in scenario.threats if "surrogate" in threat.plan]
    if any(training_settings(spec.model_dump()) is None for spec in specs):
        return None
    before = asked_in_run()
    with as_a_worker([os.getcwd()]):
        _timed(prepared, request, SMALL)  # imports, first allocations
        large, small = (_timed(prepared, request, size) for size in (LARGE, SMALL))
    spent = {key: (small[key], large[key]) for key in small.keys() & large.keys()}
    seconds = {key: (less.seconds, more.seconds) for key, (less, more) in spent.items()}
    queries = {key: (less.queries, more.queries) for key, (less, more) in spent.items()}
    return Rehearsal(prepared, seconds, queries, asked_in_run() - before)


def _timed(prepared: Prepared, request: Request, size: Size) -> dict[str, Spent]:
    """What each step took of the first seed at this size, by the signature of the step itself.

    A step that fails, or lacks what it needs, is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        small = expand(_miniature(prepared.scenario, size), request, store, prepared.log)
        workshop = Workshop(store)
        spent: dict[str, Spent] = {}
        pairs = _pairs(_first_seed(prepared, request.seed), _first_seed(small, request.seed))
        for twin in {twin.key: twin for _, twin in pairs}.values():
            started, asked = time.perf_counter(), asked_in_run()
            try:
                store.put(twin.key, STEPS[twin.kind](workshop, twin.job()))
            except RobustError:
                continue
            spent[twin.key] = Spent(time.perf_counter() - started, asked_in_run() - asked)
        return {signature(step): spent[twin.key] for step, twin in pairs if twin.key in spent}


def _first_seed(prepared: Prepared, seed: int) -> list[Step]:
    wanted = clean_steps(prepared, [seed])
    for cell in prepared.cells:
        if cell.obstacle() is None and resolvable(cell, seed) is None:
            wanted += cell.steps(seed).steps
    return wanted


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


def _miniature(scenario: Scenario, size: Size) -> Scenario:
    def shortened(spec: VictimSpec) -> VictimSpec:
        if training_settings(spec.model_dump()) is None:
            return spec
        few = {"max_steps": size.steps, "min_steps": size.steps, "validations": 1}
        return spec.model_copy(update={"settings": {**spec.settings, **few}})

    threats = [threat.model_copy(update={"surrogate": shortened(threat.surrogate)}) for threat in scenario.threats]
    return scenario.model_copy(
        update={
            "users": min(size.users, scenario.users),
            "victims": tuple(shortened(victim) for victim in scenario.victims),
            "threats": tuple(threats),
        }
    )
