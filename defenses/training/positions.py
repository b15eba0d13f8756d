"""Some of the positions of a batch that hold an item, at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from robust.recommenders.objective import Step


def some_positions(step: Step, ratio: float) -> tuple[Tensor, Tensor]:
    """Rows and columns, each int64 [S]: of each window this share of its items, rounded down, but at least one.

    Positions without an item (padding, or hidden by a cloze task) are never among them.
    """
    drawn = torch.rand(step.mask.shape, generator=step.generator, device=step.mask.device)
    order = drawn.masked_fill(~step.mask, 2.0).argsort(dim=1)
    held = step.mask.sum(dim=1, keepdim=True)
    count = (held * ratio + 1e-6).long().clamp(min=1).minimum(held)
    chosen = torch.zeros_like(step.mask).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order) < count
    )
    row, column = chosen.nonzero(as_tuple=True)
    return row, column
