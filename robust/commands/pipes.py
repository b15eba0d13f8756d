"""Standard output and error whose reader may leave: `robust compare A B | head` says with its code what it found.

Python turns a closed pipe into an error, and typer and rich turn that into exit code 1, which is a broken bound here.
The usual way out, the default action of SIGPIPE, would also end a review at any connection that an endpoint closes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


class Heedless:
    """A text stream that goes on, to nowhere, when nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do nothing."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        """What is still in the buffer goes there, too, when Python ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Meanwhile a closed pipe at standard output or error changes nothing but what is seen."""
    before = sys.stdout, sys.stderr
    heedless = tuple(Heedless(stream) for stream in before)
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in heedless)
    try:
        yield
    finally:
        for stream in heedless:
            stream.flush()
        sys.stdout, sys.stderr = before
