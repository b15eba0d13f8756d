"""What a piece of work takes on this machine: seconds, and how much memory its process held.

Neither belongs to an outcome: both go beside it into the store (`Artifact.cost`) and never into a key.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Self

INTERVAL = 0.01
"""Seconds between two looks at the memory."""
_STATM = "/proc/self/statm"


def resident() -> int | None:
    """Bytes of this process in memory now; None where the system does not say (only Linux does, here)."""
    try:
        with open(_STATM, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


class Meter:
    """Measures what runs within it.

    Memory is sampled by a thread: `getrusage` knows only the peak of a process since it began, and `tracemalloc`
    nothing of what torch allocates. How far a process grows would say little: one that has worked before uses again
    what it freed. So this is the whole process, interpreter and libraries included: an upper bound.

    Attributes:
        seconds: wall-clock time. peak: bytes; None where the system does not say, or nobody asked.
    """

    def __init__(self, *, memory: bool = True) -> None:
        self.seconds = 0.0
        self.peak: int | None = None
        self._sampled = memory
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._sampled:
            self.peak = resident()
        if self.peak is not None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while True:
            last = self._done.wait(INTERVAL)
            self.peak = max(self.peak or 0, resident() or 0)
            if last:
                return

    @property
    def cost(self) -> dict[str, float]:
        """`seconds`, and `peak` where it is known."""
        found: dict[str, float] = {"seconds": self.seconds}
        return found if self.peak is None else {**found, "peak": float(self.peak)}
