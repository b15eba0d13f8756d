"""The looks of a review: run what is undecided at each, and judge all cells together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robust.runner.cell import SeedSteps
from robust.runner.engines import Failure, closure, run
from robust.runner.ground import clean_rank
from robust.runner.judging import Assessment, assess, correct, undecided
from robust.runner.obstacles import obstacle, resolvable
from robust.runner.outcomes import Measured, gather
from robust.runner.prepare import Prepared, Request, baselines
from robust.runner.results import Verdict
from robust.runner.shared import run_shared
from robust.runner.step import Step
from robust.runner.store import Store


@dataclass
class Outcome:
    """What the looks left."""

    assessments: list[Assessment]
    verdicts: list[tuple[Verdict, str]]
    seeds: list[int]
    failures: dict[str, Failure]
    seconds: dict[str, float]


Progress = Callable[[int, int, Step | None], None]


Judge = Callable[[Sequence[Assessment]], list[tuple[Verdict, str]]]


def take_looks(
    request: Request,
    prepared: Prepared,
    store: Store,
    started: float,
    progress: Progress | None,
    judge: Judge = correct,
) -> Outcome:
    """Take the looks: run what is undecided at each, and judge all cells together.

    Args:
        judge: how assessments become verdicts; by default corrected over all of them.
    """
    obstacles = [obstacle(cell) or resolvable(cell, request.seed) for cell in prepared.cells]
    count = len(prepared.cells)
    planned: list[list[tuple[int, SeedSteps]]] = [[] for _ in range(count)]
    outcome = Outcome([], [("INCONCLUSIVE", "")] * count, [], {}, {})
    open_cells = [i for i in range(count) if obstacles[i] is None]
    deadline = None if request.max_time is None else started + request.max_time
    seen_by_gather: list[tuple[Measured, Failure | None]] = [(Measured(), None)] * count

    for look in prepared.scenario.seeds:
        seeds = [request.seed + i for i in range(look)]
        wanted = clean_steps(prepared, seeds if not outcome.seeds else [])
        for index in open_cells:
            cell = prepared.cells[index]
            for seed in seeds[len(planned[index]) :] if not cell.fixed else seeds[: 1 - len(planned[index])]:
                steps = cell.steps(seed)
                planned[index].append((seed, steps))
                wanted += steps.steps
        outcome.failures |= _run(request, wanted, store, deadline, progress, outcome.seconds)
        outcome.seeds = seeds
        for index in range(count):
            if obstacles[index] is not None:
                seen_by_gather[index] = (Measured(), Failure("not_applicable", str(obstacles[index])))
            elif index in open_cells:
                seen_by_gather[index] = gather(planned[index], store, prepared.holdings, outcome.failures)
        outcome.assessments = [assess(cell, *found) for cell, found in zip(prepared.cells, seen_by_gather, strict=True)]
        outcome.verdicts = judge(outcome.assessments)
        open_cells = [i for i in open_cells if undecided(outcome.verdicts[i][0], outcome.assessments[i])]
        if not open_cells:
            break
    return outcome


def clean_steps(prepared: Prepared, seeds: Sequence[int]) -> list[Step]:
    """Victims and baselines ranked on clean sequences; nothing without seeds."""
    if not seeds:
        return []
    wanted = [clean_rank(baseline, prepared.ground, 0) for baseline in baselines()]
    for victim in prepared.victims:
        wanted += [clean_rank(victim, prepared.ground, seed) for seed in (seeds[:1] if victim.fixed else seeds)]
    return wanted


def _run(
    request: Request,
    wanted: list[Step],
    store: Store,
    deadline: float | None,
    progress: Progress | None,
    seconds: dict[str, float],
) -> dict[str, Failure]:
    total = sum(step.key not in store for step in closure(wanted))
    done = 0
    if progress is not None:
        progress(0, total, None)

    def tell(step: Step, spent: float) -> None:
        nonlocal done
        done += 1
        seconds[step.key] = round(spent, 2)
        if progress is not None:
            progress(done, total, step)

    if request.engine == "shared":
        return run_shared(wanted, store, deadline=deadline, progress=tell)
    return run(wanted, store, engine=request.engine, workers=request.workers, deadline=deadline, progress=tell)
