"""Answers by sequence, in memory and bounded: of one opened endpoint, so of one run."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numpy.typing import NDArray


class AnswerCache:
    """The answers used last, up to `max_bytes` (0: none are kept)."""

    def __init__(self, max_bytes: int) -> None:
        self._max, self._bytes = max_bytes, 0
        self._answers: OrderedDict[bytes, NDArray[Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: bytes) -> NDArray[Any] | None:
        """The answer, where it is still here."""
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def put(self, key: bytes, answer: NDArray[Any]) -> None:
        """Keep an answer; the oldest leave when there is no room."""
        if key in self._answers or answer.nbytes > self._max:
            return
        self._answers[key] = answer
        self._bytes += answer.nbytes + len(key)
        while self._bytes > self._max:
            old, gone = self._answers.popitem(last=False)
            self._bytes -= gone.nbytes + len(old)
