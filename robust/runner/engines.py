"""Engines: they run a graph of steps, each once, and give the same bytes whichever is chosen.

`serial` runs in this process; `processes` keeps a warm pool (loky), one thread a step. A step that fails takes what
depends on it with it, and nothing else.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robust.errors import BudgetExceeded, ModelFault, NotApplicable, NotKnown, RobustError
from robust.hidden import hidden
from robust.recommenders.adapters.base import TRUST
from robust.recommenders.adapters.http.ledger import VARIABLE as LEDGER
from robust.runner.step import THREADS, Job, Step
from robust.runner.steps import STEPS
from robust.runner.store import Store
from robust.runner.workshop import Workshop

FailureKind = Literal["not_applicable", "error", "time"]


@dataclass(frozen=True)
class Failure:
    """Why a step has no outcome."""

    kind: FailureKind
    message: str
    trace: str = ""


_workshop: Workshop | None = None


def prepare_process(folders: list[str]) -> None:
    """Fix the threads, tune the allocator, and make the caller's folder importable."""
    import torch

    from robust.recommenders.allocator import tune_allocator

    for folder in folders:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    tune_allocator()
    torch.set_num_threads(THREADS)


@contextmanager
def as_a_worker(folders: list[str]) -> Iterator[None]:
    """Within this block, this process computes as a worker does."""
    import torch

    before, path = torch.get_num_threads(), list(sys.path)
    prepare_process(folders)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        sys.path[:] = path


def work(job: Job, store: str, folders: list[str]) -> tuple[Failure | None, float]:
    """Run one step in this process, unless its outcome is there already. Never raises for a step's own fault."""
    global _workshop
    started = time.perf_counter()
    with suppress(OSError):
        os.chdir(folders[0])  # a warm worker may stand in another folder, and what the caller names may be relative
    if _workshop is None or _workshop.store.folder != Path(store):
        prepare_process(folders)
        _workshop = Workshop(Store(Path(store)))
    try:
        if job.key not in _workshop.store:
            _workshop.store.put(job.key, STEPS[job.kind](_workshop, job))
        return None, time.perf_counter() - started
    except Exception as error:  # noqa: BLE001 - the boundary where any fault becomes one cell's ERROR
        return _failure(error), time.perf_counter() - started


def _failure(error: Exception) -> Failure:
    if isinstance(error, NotApplicable):
        return Failure("not_applicable", str(error))
    if isinstance(error, (BudgetExceeded, ModelFault, NotKnown, RobustError)):
        return Failure("error", hidden(str(error)))  # a model's own words may hold the environment's secrets
    if isinstance(error, MemoryError):
        return Failure("error", "out of memory: use fewer workers (--workers 1) or a smaller log")
    return Failure("error", hidden(f"{type(error).__name__}: {error}"), hidden(traceback.format_exc()))


Progress = Callable[[Step, float], None]
Submit = Callable[[Step], "Future[tuple[Failure | None, float]]"]


@contextmanager
def pool(engine: str, workers: int, store: Store) -> Iterator[Submit]:
    # absolute: a warm worker may stand in another folder
    folders, folder = [os.getcwd()], str(store.folder.resolve())
    if engine == "serial" or workers == 1:

        def run_now(step: Step) -> Future[tuple[Failure | None, float]]:
            future: Future[tuple[Failure | None, float]] = Future()
            future.set_result(work(step.job(), folder, folders))
            return future

        with as_a_worker(folders):
            yield run_now
        return
    from loky import get_reusable_executor

    # another trust than that of warm workers starts new ones, and so does an account that they do not share
    env = {TRUST: os.environ.get(TRUST, "0"), LEDGER: os.environ.get(LEDGER, "")}
    executor = get_reusable_executor(max_workers=workers, timeout=600, env=env)

    def submit(step: Step) -> Future[tuple[Failure | None, float]]:
        future: Future[tuple[Failure | None, float]] = executor.submit(work, step.job(), folder, folders)
        return future

    try:
        yield submit
    except BaseException:
        executor.shutdown(wait=False, kill_workers=True)
        raise


def closure(steps: Iterable[Step]) -> list[Step]:
    """These steps and all that they need, inputs first, each once."""
    ordered: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.key not in ordered and step.kind in STEPS:
            for needed in step.inputs.values():
                visit(needed)
            ordered[step.key] = step

    for step in steps:
        visit(step)
    return list(ordered.values())


def run(
    steps: Iterable[Step],
    store: Store,
    *,
    engine: str = "processes",
    workers: int = 2,
    deadline: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Failure]:
    """Run what is not yet in the store; returns the failures by key.

    Args:
        engine: `serial` or `processes`; for several processes that share one store, see `shared`.
        deadline: `time.monotonic()` after which nothing new is started; what is left out fails with kind `time`.
    """
    todo = closure(steps)
    failures: dict[str, Failure] = {}
    missing = [step for step in todo if step.key not in store]
    if not missing:
        return failures
    waiting = {step.key: {s.key for s in step.inputs.values()} & {m.key for m in missing} for step in missing}
    by_key = {step.key: step for step in missing}
    running: dict[Future[Any], Step] = {}
    with pool(engine, workers, store) as submit:

        def settle(step: Step, failure: Failure | None, seconds: float) -> None:
            if failure is not None:
                failures[step.key] = failure
            for other, needs in waiting.items():
                if step.key in needs:
                    needs.discard(step.key)
                    if failure is not None and other not in failures:
                        failures[other] = failure
            if progress is not None:
                progress(step, seconds)

        while waiting or running:
            ready = [k for k, needs in waiting.items() if not needs]
            # fits are long, and others wait for them; against a deadline, cell after cell leaves more verdicts
            if deadline is None:
                ready.sort(key=lambda k: by_key[k].kind != "fit")
            for key in ready:
                step = by_key[key]
                if key in failures:
                    del waiting[key]
                    settle(step, failures[key], 0.0)
                elif deadline is not None and time.monotonic() > deadline:
                    del waiting[key]
                    settle(step, Failure("time", "left out by --max-time"), 0.0)
                elif len(running) < workers:
                    del waiting[key]
                    running[submit(step)] = step
                    if engine == "serial":
                        break
            if not running:
                continue
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                step = running.pop(future)
                settle(step, *_outcome(future))
    return failures


def _outcome(future: Future[tuple[Failure | None, float]]) -> tuple[Failure | None, float]:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - a worker that died (out of memory, a crash in native code)
        return Failure("error", f"a worker process died ({type(error).__name__}); use --workers 1 to see why"), 0.0
