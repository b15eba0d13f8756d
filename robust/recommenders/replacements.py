"""One item of a sequence replaced by each of many others: what an exhaustive search of single edits asks of a model.

Scores [candidates, n_items + 1] of a whole catalogue of candidates are 46 MB at 3,416 items, once per position. They
are made in chunks that stay in the cache, and an objective reduces each chunk to a number per candidate at once.

An insertion is a replacement too: of a 0 that stands where the new item goes. All insertions at one place then share
what a model computes for it, positions that are counted from the newest item included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from robust.errors import InputError, RobustError
from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Float32, ReplacementScorer, Scorer

if TYPE_CHECKING:
    import torch

# scores per chunk: 1.5 MB of float32, which stays in a core's second-level cache
_CPU_CHUNK = 400_000
_GPU_CHUNK = 64_000_000


def evaluate_replacements(
    recommender: Scorer,
    sequence: SequenceBatch,
    position: int,
    items: Int32,
    objective: Callable[[torch.Tensor], torch.Tensor],
) -> Float32:
    """float32 [m], the objective of `sequence` with the entry in column `position` replaced by each of `items`.

    A model that knows how to leave out what a replacement does not change (`ReplacementScorer`) does so; any other
    scores every edited sequence in full. Both agree within rounding.

    Args:
        sequence: one row [1, L]. A 0 in column `position` makes the replacement an insertion.
        items: int32 [m], 1…n_items.
        objective: from scores [c, n_items + 1], column 0 not to be read, to [c]. It is called once per chunk, and must
            not keep its argument, which is overwritten by the next chunk.

    Raises:
        InputError: not one row, no such column, or an unknown item.
        RobustError: the objective does not return one number per row.
    """
    candidates = np.asarray(items, dtype=np.int32)
    _refuse(sequence, position, candidates, int(recommender.n_items))
    if isinstance(recommender, ReplacementScorer):
        return recommender.evaluate_replacements(sequence, position, candidates, objective)
    return evaluate_in_full(recommender, sequence, position, candidates, objective)


def evaluate_in_full(
    recommender: Scorer,
    sequence: SequenceBatch,
    position: int,
    items: Int32,
    objective: Callable[[torch.Tensor], torch.Tensor],
) -> Float32:
    """The same, by scoring every edited sequence from its first item to its last."""
    import torch

    values = np.empty(len(items), np.float32)
    chunk = max(_CPU_CHUNK // (int(recommender.n_items) + 1), 16)
    for start in range(0, len(items), chunk):
        part = items[start : start + chunk]
        edited = np.repeat(sequence.items, len(part), axis=0)
        edited[:, position] = part
        scores = recommender.score(sequence[np.zeros(len(part), np.int64)].with_items(edited))
        values[start : start + len(part)] = reduced(objective, torch.from_numpy(np.asarray(scores)))
    return values


def objective_of_states(
    states: torch.Tensor, table: torch.Tensor, objective: Callable[[torch.Tensor], torch.Tensor]
) -> Float32:
    """float32 [m], the objective of the scores of states [m, D] by a tied table [n_items + 1, D]."""
    import torch

    values = np.empty(len(states), np.float32)
    chunk = max((_GPU_CHUNK if table.is_cuda else _CPU_CHUNK) // len(table), 16)
    buffer = states.new_empty(chunk, len(table))
    for start in range(0, len(states), chunk):
        part = states[start : start + chunk]
        scores = torch.mm(part, table.T, out=buffer[: len(part)])
        scores[:, 0] = -torch.inf
        values[start : start + len(part)] = reduced(objective, scores)
    return values


def reduced(objective: Callable[[torch.Tensor], torch.Tensor], scores: torch.Tensor) -> Any:
    """numpy [c], the objective of scores [c, n_items + 1].

    Raises:
        RobustError: it has another shape.
    """
    values = objective(scores)
    if values.shape != scores.shape[:1]:
        raise RobustError(
            f"An objective turns scores {tuple(scores.shape)} into {(len(scores),)} numbers; got {tuple(values.shape)}."
        )
    return values.cpu().numpy()


def _refuse(sequence: SequenceBatch, position: int, items: Int32, n_items: int) -> None:
    if len(sequence) != 1:
        raise InputError(f"Replacements are evaluated for one sequence at a time; got {len(sequence)} rows.")
    if not 0 <= position < sequence.width:
        raise InputError(f"The sequence has columns 0…{sequence.width - 1}; there is no column {position}.")
    if items.ndim != 1:
        raise InputError(f"Replacing items have shape [m]; got {items.shape}.")
    if items.size and (items.min() < 1 or items.max() > n_items):
        raise InputError(f"Items to replace with run from 1 to {n_items}; got {items.min()}…{items.max()}.")
