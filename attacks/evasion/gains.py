"""First-order gains of all edits of a sequence: what a linear model of the objective says that each of them does.

With the gradient g_c at the embedded sequence, column by column, an edit that turns embeddings e into e′ gains
Σ_c g_c · (e′_c − e_c). For a replacement that is HotFlip's g_j · (E_i − e_j) (Ebrahimi et al., ACL 2018); an insertion
also moves all older items one column to the left, a deletion to the right, as theirs of characters do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.attacks.evasion.moves import DELETE, INSERT, REPLACE, SWAP


def linear_gains(gradient: Tensor, items: Tensor, table: Tensor, kinds: list[int]) -> Tensor:
    """[S, K, W, n_items + 1], the gain of each kind of edit at each column with each new item; −inf where impossible.

    Deletions and swaps need no new item; theirs is at item 0, which no replacement or insertion has.

    Args:
        gradient: [S, W, D], of the objective to raise, 0 where nothing is read. items: int64 [S, W], left-padded.
        table: [n_items + 1, D]. kinds: K places in `moves.KINDS`, or −1 for a kind that is left out.
    """
    embedded = table[items]
    filled = items != 0
    first = filled & ~torch.nn.functional.pad(filled, (1, 0))[:, :-1]
    own = (gradient * embedded).sum(dim=2)
    older = torch.nn.functional.pad(embedded, (0, 0, 1, 0))[:, :-1]
    newer = torch.nn.functional.pad(embedded, (0, 0, 0, 1))[:, 1:]
    rightward = (gradient * older).sum(dim=2) - own  # an older item takes this column
    leftward = (gradient * newer).sum(dim=2) - own
    by_item = gradient @ table.T
    gains = gradient.new_full((len(items), len(kinds), items.shape[1], len(table)), -torch.inf)
    for place, kind in enumerate(kinds):
        if kind == REPLACE:
            gain = (by_item - own[:, :, None]).masked_fill(~filled[:, :, None], -torch.inf)
            gains[:, place] = gain.scatter(2, items[:, :, None], -torch.inf)
            gains[:, place, :, 0] = -torch.inf
        elif kind == INSERT:
            moved = leftward.cumsum(dim=1) - leftward  # of the columns before this one
            reach = filled | torch.nn.functional.pad(first, (0, 1))[:, 1:]
            reach[:, -1] = True  # an empty sequence takes an item too
            gain = by_item - own[:, :, None] + moved[:, :, None]
            gains[:, place] = gain.masked_fill(~reach[:, :, None], -torch.inf)
            gains[:, place, :, 0] = -torch.inf
        elif kind == DELETE:
            alone = filled.sum(dim=1, keepdim=True) < 2
            gains[:, place, :, 0] = rightward.cumsum(dim=1).masked_fill(~filled | alone, -torch.inf)
        elif kind == SWAP:
            swapped = rightward + torch.nn.functional.pad(leftward, (1, 0))[:, :-1]
            gains[:, place, :, 0] = swapped.masked_fill(~filled | first, -torch.inf)
    return gains
