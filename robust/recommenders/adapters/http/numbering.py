"""From the harness's items to a model's ids, and from a model's answers back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, ModelFault
from robust.log import Int32, SequenceBatch
from robust.recommenders.alignment import refuse_unknown
from robust.recommenders.protocols import Float32

Side = Literal["left", "right", "none"]


@dataclass(frozen=True)
class Numbering:
    """How the model names items, and where their scores stand.

    Attributes:
        ids: [n_items + 1], integers or strings: the model's id of item i; entry 0 is its padding.
        first_column: where item 1 stands among the model's scores; the others follow in order.
        side, length: how sequences are brought to one length; `length` 0 keeps all items.
    """

    ids: NDArray[Any]
    first_column: int
    side: Side
    length: int

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.ids) - 1

    @cached_property
    def _known(self) -> dict[Any, int]:
        return {value: item for item, value in enumerate(self.ids.tolist())}

    def outgoing(self, sequences: SequenceBatch) -> tuple[list[list[Any]], list[int]]:
        """The sequences in the model's ids, padded as it wants them, and their lengths without padding."""
        refuse_unknown(sequences, self.n_items)
        newest = sequences.truncate(self.length) if self.length else sequences
        items, lengths = newest.items, newest.lengths
        if self.side == "none":
            return [self.ids[row[row != 0]].tolist() for row in items], lengths.tolist()
        width = self.length or items.shape[1]
        padded = np.zeros((len(items), width), dtype=np.int64)
        padded[:, width - items.shape[1] :] = items
        if self.side == "right":
            padded = np.take_along_axis(padded, np.argsort(padded == 0, axis=1, kind="stable"), axis=1)
        return self.ids[padded].tolist(), lengths.tolist()

    def lists(self, answer: Any, rows: int, k: int, short: bool) -> Int32:
        """int32 [rows, k] from lists of the model's ids; 0 where a list ends.

        Raises:
            ModelFault: too few lists, a short one (unless `short`), or an id that the model should not know.
        """
        found = _rows(answer, rows)
        lists = np.zeros((rows, k), dtype=np.int32)
        for row, given in enumerate(found):
            if not isinstance(given, list):
                raise ModelFault(f"answered {_kind(given)} for a sequence, expected a list of item ids")
            try:
                items = [-1 if isinstance(one, bool) else self._known.get(one, -1) for one in given[:k]]
            except TypeError as error:
                raise ModelFault(f"answered {_kind(given[0])} in a list of item ids") from error
            if -1 in items:
                one = given[items.index(-1)]
                raise ModelFault(
                    f"answered the item {str(one)[:40]!r} ({_kind(one)}), which is none of the {self.n_items} ids that "
                    f"it is said to have, such as {self.ids[1:].tolist()[0]!r} ({_kind(self.ids[1:].tolist()[0])})"
                )
            if not short and (len(items) < k or 0 in items):
                got = items.index(0) if 0 in items else len(items)
                raise ModelFault(
                    f"answered a short list of {got} items, expected k = {k}; if it may, say may_be_short: true"
                )
            lists[row, : len(items)] = items
        return lists

    def scores(self, answer: Any, rows: int) -> Float32:
        """float32 [rows, n_items + 1] from the model's scores; column 0 is −inf.

        Raises:
            ModelFault: too few rows, rows that are too short or not of numbers, or NaN.
        """
        if not isinstance(answer, np.ndarray):
            answer = _rows(answer, rows)
        try:
            array = np.asarray(answer)
        except ValueError as error:
            raise ModelFault("answered scores in rows of unequal length") from error
        if array.dtype.kind not in "iuf":
            raise ModelFault("answered scores that are not all numbers")
        if array.ndim == 3 and self.side == "left":
            array = array[:, -1]  # a score at each position: the newest item stands last
        last = self.first_column + self.n_items
        if array.ndim != 2 or len(array) != rows or array.shape[1] < last:
            raise ModelFault(
                f"answered scores of shape {array.shape}, expected ({rows}, {last}) or wider: one row a sequence, with "
                f"item 1 of {self.n_items} in column {self.first_column}"
            )
        own = array[:, self.first_column : last]
        if missing := int(np.isnan(own).sum()):
            raise ModelFault(f"answered NaN in {missing} of {own.size} scores")
        scores = np.full((rows, self.n_items + 1), -np.inf, dtype=np.float32)
        scores[:, 1:] = own
        return scores


def _rows(answer: Any, rows: int) -> list[Any]:
    if not isinstance(answer, list):
        raise ModelFault(f"answered {_kind(answer)} where a list with one entry for each sequence was expected")
    if len(answer) != rows:
        raise ModelFault(f"answered {len(answer)} sequences, asked for {rows}")
    return answer


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "an integer",
        float: "a number",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def model_ids(n_items: int | None, raw: list[str] | None, text: bool, offset: int, padding: int | str) -> NDArray[Any]:
    """[n_items + 1], the model's ids with its padding first.

    Args:
        n_items: how many there are, where there is no vocabulary. raw: the vocabulary's ids, in the harness's order.
        text: ids travel as strings. offset: what is added to a harness's number, where there is no vocabulary.

    Raises:
        InputError: an id twice, an id that is the padding's too, or other ids than integers without `text`.
    """
    own: list[Any] = [item + offset for item in range(1, (n_items or 0) + 1)] if raw is None else list(raw)
    if text:
        own = [str(one) for one in own]
    elif raw is not None:
        try:
            own = [int(one) for one in raw]
        except ValueError as error:
            raise InputError("The vocabulary holds ids that are not whole numbers; say ids: {kind: str}.") from error
    if len(set(own)) != len(own):
        raise InputError("The vocabulary lists an item twice; each item has one id.")
    if padding in own:
        raise InputError(f"The padding's id {padding!r} is an item's id too; say which id pads: padding: {{id: …}}.")
    table = np.empty(len(own) + 1, dtype=object if text else np.int64)
    table[0], table[1:] = padding, own
    return table
