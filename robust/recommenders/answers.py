"""What a recommender answered, checked: a wrong answer is a fault of the model, never a result."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robust.errors import ModelFault, RobustError
from robust.log import Int32
from robust.recommenders.protocols import Float32

Answer = TypeVar("Answer")


def asked(model: object, method: str, call: Callable[[], Answer]) -> Answer:
    """Call into a user's code; whatever it raises becomes one sentence with the last line of their own code.

    Raises:
        ModelFault: it raised.
    """
    try:
        return call()
    except RobustError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        own = [frame for frame in frames if frame.filename == _file_of(model)] or frames
        where = f", in {own[-1].name}, line {own[-1].lineno}: {own[-1].line}" if own else ""
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ModelFault(f"{type(model).__name__}.{method} raised {said}{where}") from error


def _file_of(model: object) -> str | None:
    module: ModuleType | None = sys.modules.get(type(model).__module__)
    return getattr(module, "__file__", None)


def as_array(answer: object) -> NDArray[Any]:
    """numpy from numpy, nested lists or a torch tensor; ragged lists become objects, which the checks refuse."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy()
    try:
        return np.asarray(answer)
    except ValueError:
        return np.asarray(answer, dtype=object)


def checked_lists(answer: object, name: str, rows: int, k: int, n_items: int) -> Int32:
    """int32 [rows, k]: integer ids within 1…n_items, distinct in a row, padded with 0 at the end only.

    Raises:
        ModelFault: anything else, with what came and what was expected.
    """
    lists = as_array(answer)
    if lists.shape != (rows, k):
        raise ModelFault(f"{name} returned shape {lists.shape}, expected ({rows}, {k}), that is [B, k].")
    if not np.issubdtype(lists.dtype, np.integer):
        raise ModelFault(f"{name} returned {lists.dtype}, expected integer item ids 1…{n_items}.")
    if lists.size and (lists.min() < 0 or lists.max() > n_items):
        raise ModelFault(f"{name} returned ids {lists.min()}…{lists.max()}, expected 1…{n_items}, and 0 as padding.")
    if np.any((lists[:, :-1] == 0) & (lists[:, 1:] != 0)):
        raise ModelFault(f"{name} returned padding (0) before the end of a list; short lists are padded at the end.")
    ordered = np.sort(lists, axis=1)
    twice = ordered[:, 1:][(ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != 0)]
    if len(twice):
        raise ModelFault(f"{name} returned item {twice[0]} twice in one list; the items of a list are distinct.")
    return lists.astype(np.int32)


def checked_scores(answer: object, name: str, rows: int, n_items: int) -> Float32:
    """float32 [rows, n_items + 1] without NaN in columns 1…n_items; ±inf is allowed.

    Raises:
        ModelFault: anything else, with what came and what was expected.
    """
    scores = as_array(answer)
    if not has_form_of_scores(scores, rows, n_items):
        raise ModelFault(
            f"{name} returned {scores.dtype} of shape {scores.shape}, expected floating-point scores of shape "
            f"({rows}, {n_items + 1}), that is [B, n_items + 1] with column 0 for padding."
        )
    missing = int(np.isnan(scores[:, 1:]).sum())
    if missing:
        raise ModelFault(f"{name} returned NaN in {missing} of {scores[:, 1:].size} scores, expected none.")
    return scores.astype(np.float32)


def has_form_of_scores(scores: NDArray[Any], rows: int, n_items: int) -> bool:
    """Whether shape and type are those of scores, whatever the values are."""
    return scores.shape == (rows, n_items + 1) and np.issubdtype(scores.dtype, np.floating)
