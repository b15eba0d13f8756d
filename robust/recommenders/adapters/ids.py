"""How a model numbers the items: a shift against the harness's 1…n_items, or a list of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import model_validator

from robust.errors import InputError
from robust.frozen import Frozen
from robust.log import Int64
from robust.recommenders.adapters.base import inside


class Ids(Frozen):
    """At most one of three; without any, the model numbers the items as the harness does, from 1.

    Attributes:
        first: the number of the first item; the others follow.
        shift: what is added to the harness's number.
        vocabulary: a file with the model's number of each item, in the harness's order (the one of the file that
            `--vocabulary` names): a number a line, a JSON list, or a JSON object item → number, read in the order of
            its numbers.
    """

    first: int | None = None
    shift: int | None = None
    vocabulary: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("first", "shift", "vocabulary") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say the same thing in two ways; keep one")
        if self.offset < -1:
            raise ValueError(f"the first item would have the number {self.offset + 1}; numbers start at 0")
        return self

    @property
    def offset(self) -> int:
        """What is added to a harness's number where there is no vocabulary."""
        return self.first - 1 if self.first is not None else self.shift or 0

    def listed(self, folder: Path) -> Int64 | None:
        """int64 [n_items], the numbers in the vocabulary file; None where there is none.

        Raises:
            InputError: no such file, or it doesn't hold distinct whole numbers from 0.
        """
        if self.vocabulary is None:
            return None
        path = inside(folder, self.vocabulary)
        try:
            numbers = _numbers(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"'{path}' must hold the model's number of each item: a whole number a line, or JSON; {error}."
            ) from error
        if len(numbers) == 0 or numbers.min() < 0 or len(np.unique(numbers)) != len(numbers):
            raise InputError(f"'{path}' must hold distinct numbers from 0, one for each item; it has {len(numbers)}.")
        return numbers

    def table(self, n_items: int, padding: int, listed: Int64 | None) -> Int64:
        """int64 [n_items + 1], the model's number by the harness's; entry 0 is the model's padding."""
        numbers = np.arange(1, n_items + 1) + self.offset if listed is None else listed
        return np.concatenate([[padding], numbers]).astype(np.int64)


def _numbers(path: Path) -> Int64:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix != ".json":
        return np.array([int(line) for line in text.split()], dtype=np.int64)
    content: Any = json.loads(text)
    values = sorted(content.values()) if isinstance(content, dict) else content
    if not isinstance(values, list) or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise ValueError("its JSON is neither a list of numbers nor an object item → number")
    return np.array(values, dtype=np.int64)
