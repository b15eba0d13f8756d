"""When fake profiles act. Times tell a sanitiser who is fake, and an incremental training who is new.

    bootstrap   the start of a random genuine user, then real gaps: what an account on this platform looks like
    uniform     anywhere in the span of the train rows
    burst       all fake users within the same `BURST` seconds, somewhere in the span: the easiest to detect
    recent      real gaps, ending one real gap before the last train row: just before the cut-off of the retraining

All strictly increase within a profile, and none lies beyond the last train row: leave-one-out on the poisoned log would
move such rows to validation or test, untrained (as the two newest items of each fake user in Yue et al.'s released
code). Only where the log's span has fewer units than a profile has events do profiles begin before the first train row.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from robust.access import TimePolicy, bootstrap_times
from robust.log import Int64, InteractionLog

Times = Literal["bootstrap", "uniform", "burst", "recent"]

BURST = 6 * 3600
"""How many units of time, seconds in all embedded logs, a burst takes."""


def uniform(log: InteractionLog, rng: np.random.Generator, shape: tuple[int, int]) -> Int64:
    """Independent moments of the span."""
    first, last = _span(log, shape[1])
    return _within(first, last, rng, shape)


def burst(log: InteractionLog, rng: np.random.Generator, shape: tuple[int, int]) -> Int64:
    """Independent moments of one window, which is as long as `BURST` or, where a profile has more events, as these."""
    first, last = _span(log, shape[1])
    width = min(max(BURST, shape[1] - 1), last - first)
    start = int(rng.integers(first, last - width, endpoint=True))
    return _within(start, start + width, rng, shape)


def recent(log: InteractionLog, rng: np.random.Generator, shape: tuple[int, int]) -> Int64:
    """Real gaps, as late as they can be."""
    times = bootstrap_times(log, rng, shape)
    if times.size == 0:
        return times
    first, last = _span(log, shape[1])
    pause = np.diff(bootstrap_times(log, rng, (shape[0], 2)), axis=1)
    room = np.maximum(last - first - (times[:, -1:] - times[:, :1]), 0)
    return np.asarray(times + (last - np.minimum(pause, room) - times[:, -1:]), dtype=np.int64)


def _span(log: InteractionLog, length: int) -> tuple[int, int]:
    """The first and last moment of the train rows; positions where there are none."""
    return (int(log.timestamp.min()), int(log.timestamp.max())) if len(log) else (0, max(length - 1, 0))


def _within(first: int, last: int, rng: np.random.Generator, shape: tuple[int, int]) -> Int64:
    """Sorted draws, each pushed on by its place, so that they strictly increase."""
    steps = shape[1] - 1
    room = max(last - first - steps, 0)
    drawn = np.sort(rng.integers(0, room, size=shape, endpoint=True), axis=1)
    return np.asarray(min(first, last - steps) + drawn + np.arange(shape[1]), dtype=np.int64)


TIMES: dict[Times, TimePolicy] = {"bootstrap": bootstrap_times, "uniform": uniform, "burst": burst, "recent": recent}


def policy(times: Times) -> TimePolicy:
    """The policy of this name."""
    return TIMES[times]
