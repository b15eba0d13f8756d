"""The few lines that connect any sequence model: where the sequence goes in, and where the scores come out.

The harness's sequences are padded on the left with 0. A model's are padded on either side with any number, to a fixed
length or to the longest of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robust.errors import InputError
from robust.frozen import Frozen
from robust.log import Bool, Int64, SequenceBatch
from robust.recommenders.adapters.ids import Ids
from robust.recommenders.alignment import align_left, refuse_unknown

Scalar = bool | int | float | None
Derived = Literal["lengths", "last", "mask", "integer-mask", "padding-mask", "positions", "places"]
Step = Literal["auto", "last", "length-1", "none"]


class Padding(Frozen):
    """How the model wants short sequences filled up.

    Attributes:
        side: where the padding stands. id: what it is.
        length: of every row, cut to the newest items; None is the longest row of a batch.
    """

    side: Literal["left", "right"] = "left"
    id: int = 0
    length: int | None = Field(default=None, ge=1)


class Output(Frozen):
    """Where the scores are in what the model returns.

    Attributes:
        path: keys, positions or attributes on the way to them, joined by dots: `logits`, `0`, `outputs.0`.
        step: which of the steps of [B, L, V] speaks of the next item; `none` where the scores are [B, V] already.
            `auto` takes the last one under left padding and that of the newest item under right padding.
        first: the column of the first item; by default columns carry the items' numbers.
    """

    path: str | int | None = None
    step: Step = "auto"
    first: int | None = Field(default=None, ge=0)


class SequenceMapping(Frozen):
    """What connects a model that takes sequences of item numbers.

    Attributes:
        sequence: the argument (or input) that takes the sequence [B, L], by name or position.
        extra: further arguments by name or position. `lengths` [B] counts items (1 for an empty row), `last` is one
            less; `mask` [B, L] is true at items, `integer-mask` is the same as 0 and 1, `padding-mask` is true at
            padding; `positions` [B, L] counts columns from 0; `places` [B, L] counts items from 1, the oldest first,
            and is 0 at padding. Anything else is handed over as it stands.
        n_items: how many items there are; by default as many as the output has columns for.
    """

    sequence: str | int = 0
    extra: dict[str, Derived | Scalar] = Field(default_factory=dict)
    padding: Padding = Padding()
    ids: Ids = Ids()
    output: Output = Output()
    n_items: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _padding_is_no_item(self) -> Self:
        if self.ids.vocabulary is None and self.ids.offset < 0 and "id" not in self.padding.model_fields_set:
            raise ValueError(
                "items are numbered from 0, so say what pads: padding: {id: …}, which is 0 only if the model tells "
                "padding from the first item by a length or a mask"
            )
        return self


@dataclass(frozen=True)
class Arranged:
    """Sequences as the model wants them.

    Attributes:
        numbers: int64 [B, W], the model's item numbers, and its padding.
        columns: int64 [B, W], where in the harness's rows each stands; 0 at padding. filled: bool [B, W], items.
        lengths: int64 [B], items in each row.
    """

    numbers: Int64
    columns: Int64
    filled: Bool
    lengths: Int64

    def extra(self, what: Derived | Scalar) -> NDArray[Any] | Scalar:
        """One of the extra arguments; what isn't derived from the rows is handed over as it stands."""
        return self._derived(what) if what in get_args(Derived) else what  # type: ignore[return-value,arg-type]

    def _derived(self, what: Derived) -> NDArray[Any]:
        at_least_one = np.maximum(self.lengths, 1)  # an empty row is one padding long: nothing wraps to -1
        if what == "lengths":
            return at_least_one
        if what == "last":
            return at_least_one - 1
        if what == "positions":
            return np.broadcast_to(np.arange(self.filled.shape[1], dtype=np.int64), self.filled.shape).copy()
        if what == "places":
            return np.where(self.filled, self.filled.cumsum(axis=1), 0)
        if what == "padding-mask":
            return ~self.filled
        return self.filled if what == "mask" else self.filled.astype(np.int64)


def arrange(sequences: SequenceBatch, table: Int64, padding: Padding) -> Arranged:
    """Cut, renumber and pad.

    Args:
        table: int64 [n_items + 1], the model's number by the harness's; entry 0 is its padding.

    Raises:
        InputError: an id that is no item.
    """
    refuse_unknown(sequences, len(table) - 1)
    places, lengths = align_left(sequences.items, padding.length or max(sequences.width, 1))
    width = padding.length or places.shape[1]
    place = np.arange(width) - (0 if padding.side == "right" else (width - lengths)[:, None])
    filled = np.broadcast_to((place >= 0) & (place < lengths[:, None]), (len(sequences), width))
    inner = np.broadcast_to(np.clip(place, 0, places.shape[1] - 1), filled.shape)
    columns = np.where(filled, np.take_along_axis(places, inner, axis=1), 0)
    items = np.where(filled, np.take_along_axis(sequences.items, columns, axis=1), 0)
    return Arranged(table[items], columns, filled, lengths)


def positional(values: Mapping[str | int, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What is keyed by position, in order, and what is keyed by name.

    Raises:
        InputError: a position is missing.
    """
    places = {int(key): value for key, value in values.items() if str(key).isdigit()}
    if sorted(places) != list(range(len(places))):
        raise InputError(f"Arguments by position must fill 0, 1, …; given are {sorted(places)}. Name them instead.")
    named = {str(key): value for key, value in values.items() if not str(key).isdigit()}
    return [places[place] for place in sorted(places)], named


def located(answer: Any, path: str | int | None) -> Any:
    """What stands at a path in nested mappings, tuples and objects.

    Raises:
        InputError: nothing does, with what there is.
    """
    parts = [] if path is None else str(path).split(".")
    for part in parts:
        position = int(part) if part.lstrip("-").isdigit() else None
        if isinstance(answer, Mapping) and (part in answer or position in answer):
            answer = answer[part if part in answer else position]
        elif isinstance(answer, tuple | list) and position is not None and -len(answer) <= position < len(answer):
            answer = answer[position]
        elif position is None and hasattr(answer, part):
            answer = getattr(answer, part)
        else:
            raise InputError(f"output.path '{path}': there is no '{part}' in {_described(answer)}.")
    return answer


def _described(answer: Any) -> str:
    if isinstance(answer, Mapping):
        return f"a mapping with the keys {', '.join(map(str, answer))}"
    if isinstance(answer, tuple | list):
        return f"a {type(answer).__name__} of {len(answer)}"
    return f"a {type(answer).__name__}"


def at_step(answer: Any, mapping: SequenceMapping, lengths: Int64) -> Any:
    """[B, V] from [B, V] or [B, W, V], of numpy or torch.

    Raises:
        InputError: another shape, or one that contradicts `output.step`.
    """
    shape = tuple(getattr(answer, "shape", ()))
    step, rows = mapping.output.step, len(lengths)
    fits = {2: step in ("auto", "none"), 3: step != "none"}.get(len(shape), False)
    if not fits or shape[0] != rows:
        hint = " Say where the scores are with output.path." if not shape else ""
        raise InputError(
            f"The output is {_described(answer)} of shape {shape}; with output.step '{step}', scores of shape "
            f"{'[B, V]' if step == 'none' else '[B, L, V]' if step != 'auto' else '[B, V] or [B, L, V]'} with B = "
            f"{rows} are expected.{hint}"
        )
    if len(shape) == 2:
        return answer
    newest = step == "length-1" or (step == "auto" and mapping.padding.side == "right")
    return answer[np.arange(rows), np.maximum(lengths, 1) - 1] if newest else answer[:, -1]
