"""One event loop in a thread of its own: asynchronous inside, synchronous outside, also where a loop runs already."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Value = TypeVar("Value")

_lock = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None


def current() -> asyncio.AbstractEventLoop:
    """This process's loop; a forked child gets its own, since threads do not survive a fork."""
    global _running
    with _lock:
        if _running is None or _running[0] != os.getpid():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="robust-endpoints", daemon=True)
            thread.start()
            _running = (os.getpid(), loop, thread)
        return _running[1]


def run(work: Coroutine[Any, Any, Value]) -> Value:
    """Wait for it; an interrupt here (Ctrl+C) cancels it there."""
    future = asyncio.run_coroutine_threadsafe(work, current())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run some cleaning up, unless the loop is gone."""
    if _running is None or _running[0] != os.getpid() or _running[1].is_closed():
        work.close()
        return
    asyncio.run_coroutine_threadsafe(work, _running[1])


async def _drained() -> None:
    """Connections that are being closed are closed to the end."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


@atexit.register
def _stop() -> None:
    global _running
    if _running is None or _running[0] != os.getpid():
        return
    _, loop, thread = _running
    with suppress(TimeoutError):
        asyncio.run_coroutine_threadsafe(_drained(), loop).result(timeout=2)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)
    if not thread.is_alive():
        loop.close()
    _running = None
