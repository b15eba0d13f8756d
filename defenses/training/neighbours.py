"""The items near an item, and those near its neighbours: the hull that a substitute's embedding is drawn from.

Yue et al., RecSys 2022, with the numbers of the released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 1 << 23
"""Numbers in a block of cosines or of second-hop candidates: 32 MB of float32."""


@dataclass(frozen=True)
class Neighbours:
    """Near items of every item.

    Attributes:
        first: int64 [n_items + 1, most], items of cosine ≥ τ, padded with 0; row 0 is empty.
        second: int64 [n_items + 1, most], neighbours of those, neither the item itself nor in `first`, padded with 0.
    """

    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, table: Tensor, *, cosine: float, fewest: int, most: int, generator: torch.Generator) -> Neighbours:
        """Those of an item table [n_items + 1, D].

        Where fewer than `fewest` items have that cosine, the nearest `fewest` count instead; of more than `most`, a
        random `most` are taken, in each of the two hops.
        """
        first = _first(table.detach(), cosine, fewest, most, generator)
        return cls(first, _second(first, most, generator))


def _first(table: Tensor, cosine: float, fewest: int, most: int, generator: torch.Generator) -> Tensor:
    unit = F.normalize(table[1:].to(torch.float32), dim=1)
    n_items = len(unit)
    fewest, kept = min(fewest, n_items - 1), min(most, n_items - 1)
    found = torch.zeros(n_items + 1, most, dtype=torch.int64, device=table.device)
    if kept < 1:
        return found
    for rows in torch.split(torch.arange(n_items, device=table.device), max(CHUNK // n_items, 1)):
        near = unit[rows] @ unit.T
        near[torch.arange(len(rows)), rows] = -torch.inf
        key = torch.rand(near.shape, generator=generator, device=near.device)
        key = key.masked_fill(near < cosine, -1.0)
        keys, items = key.topk(kept, dim=1)
        items = torch.where(keys >= 0, items + 1, 0)
        few = (items > 0).sum(dim=1) < fewest
        if bool(few.any()):
            items[few] = F.pad(near[few].topk(fewest, dim=1).indices + 1, (0, kept - fewest))
        found[rows + 1, :kept] = items
    return found


def _second(first: Tensor, most: int, generator: torch.Generator) -> Tensor:
    found = torch.zeros_like(first)
    width = first.shape[1] ** 2
    for rows in torch.split(torch.arange(1, len(first), device=first.device), max(CHUNK // (2 * width), 1)):
        reached = first[first[rows]].flatten(1).sort(dim=1).values  # [rows, most²]
        again = F.pad(reached[:, 1:] == reached[:, :-1], (1, 0))
        # the first copy of the item itself and of each first-hop neighbour, where it is among the reached
        known = torch.cat([rows.unsqueeze(1), first[rows]], dim=1)
        place = torch.searchsorted(reached, known).clamp(max=width - 1)
        row, column = ((reached.gather(1, place) == known) & (known > 0)).nonzero(as_tuple=True)
        left_out = torch.zeros_like(again)
        left_out[row, place[row, column]] = True
        new = ~again & ~left_out & (reached > 0)
        key = torch.rand(reached.shape, generator=generator, device=reached.device).masked_fill(~new, -1.0)
        keys, chosen = key.topk(min(most, width), dim=1)
        found[rows] = torch.where(keys >= 0, reached.gather(1, chosen), 0)
    return found
