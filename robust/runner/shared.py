"""An engine for several processes that nobody coordinates (pytest-xdist's workers) and that share one store.

Each works on the steps that it needs; a step is claimed by a lock on a file, which a process that dies lets go of. What
another one is working on is left for later, so that all are busy and nothing is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from filelock import FileLock, Timeout

from robust.runner.engines import Failure, Progress, closure, pool
from robust.runner.step import Step
from robust.runner.store import Store

PAUSE = 0.05
"""Seconds between looks at what others are working on."""


def run_shared(
    steps: Iterable[Step], store: Store, *, deadline: float | None = None, progress: Progress | None = None
) -> dict[str, Failure]:
    """Run what is not yet in the store, one step at a time; returns the failures by key."""
    failures: dict[str, Failure] = {}
    waiting = [step for step in closure(steps) if step.key not in store]
    locks = store.folder / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with pool("serial", 1, store) as submit:
        while waiting:
            held, moved, unfinished = [], False, {step.key for step in waiting}
            for step in waiting:
                failed = next((failures[s.key] for s in step.inputs.values() if s.key in failures), None)
                if failed is None and deadline is not None and time.monotonic() > deadline:
                    failed = Failure("time", "left out by --max-time")
                if failed is not None:
                    failures[step.key], moved = failed, True
                elif any(s.key in unfinished for s in step.inputs.values()):
                    held.append(step)
                else:
                    try:
                        with FileLock(locks / step.key, timeout=0):
                            failure, seconds = submit(step).result()
                    except Timeout:  # somebody else is at it
                        held.append(step)
                        continue
                    moved = True
                    unfinished.discard(step.key)
                    if failure is not None:
                        failures[step.key] = failure
                    if progress is not None:
                        progress(step, seconds)
            waiting = held
            if waiting and not moved:
                time.sleep(PAUSE)
    return failures
