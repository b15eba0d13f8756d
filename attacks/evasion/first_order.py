"""First-order search of edits: a gradient says which edits to try, the model's answer says which of them to keep.

Ebrahimi, Rao, Lowd and Dou, "HotFlip: White-Box Adversarial Examples for Text Classification", ACL 2018:

1. one gradient of the objective at the embedded sequence;
2. each edit's gain to first order (`gains.py`), for replacements g_j · (E_i − e_j), for insertions and deletions with
   the shift that they cause;
3. the `candidates` of largest (value + gain) are tried on the model; the `width` best are gone on from, each with a
   gradient of its own.

With as many candidates as there are edits it is exact for one edit. `substitution` is its special case of replacements
with a similarity constraint.

Known deviations: HotFlip flips one-hot characters, here whole items move in the embedding; HotFlip trusts the estimate
and never asks the model about an edit before the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robust.access import Access, AccessView
from robust.attacks.evasion.edit_attack import SampledSearch
from robust.attacks.evasion.feedback import Feedback
from robust.attacks.evasion.gains import linear_gains
from robust.attacks.evasion.levels import Propose, block_of
from robust.attacks.evasion.moves import KINDS, Moves, Space
from robust.attacks.evasion.pool import leading

Float64 = NDArray[np.float64]
GAINS = 1 << 24
"""Elements of one block of gains (64 MiB of float32)."""


class FirstOrder(SampledSearch):
    """The edits that a gradient likes best, tried.

    Attributes:
        candidates: edited forms that are tried at each level, per sequence. width: forms that are gone on from.
        feedback: always the loss whose gradient is taken.
    """

    name: ClassVar[str] = "first-order"
    source: ClassVar[str] = "Ebrahimi et al., ACL 2018 (arXiv 1712.06751)"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    model_access: ClassVar[Access] = "gradients"

    feedback: Literal["scores"] = "scores"
    candidates: int = Field(default=10, ge=1)
    width: int = Field(default=1, ge=1)

    def _kept(self) -> int:
        return self.width

    def _overhead(self, edits: int) -> int:
        """A gradient of each form that is gone on from; swaps go on from the level before the last one too."""
        forms = [1 if level == 0 else self.width for level in range(edits)]
        return sum(forms) + (sum(forms[:-1]) if "swap" in self.kinds else 0)

    def _propose(self, access: AccessView, candidates: int, rng: np.random.Generator) -> Propose:
        table = access.model.item_embeddings.detach().cpu()

        def propose(space: Space, values: Float64, feedback: Feedback) -> Iterator[Moves]:
            moves = promising(space, values, feedback, table, candidates)
            block = block_of(space)
            for start in range(0, len(moves.states), block):
                yield moves.take(np.arange(start, min(start + block, len(moves.states))))

        return propose


def promising(space: Space, values: Float64, feedback: Feedback, table: Tensor, candidates: int) -> Moves:
    """The moves of each row of largest value after the move, to first order, the best first."""
    kinds = [kind for kind in range(len(KINDS)) if space.counts[:, kind].any()]
    width = space.items.shape[1]
    block = max(GAINS // (max(len(kinds), 1) * width * len(table)), 1)
    moving = np.flatnonzero(space.counts.any(axis=1))
    states, estimates, chosen = [], [], []
    for start in range(0, len(moving), block):
        part = moving[start : start + block]
        slopes = feedback.slopes(space.rows[part], space.items[part])
        gains = linear_gains(slopes, torch.from_numpy(space.items[part].astype(np.int64)), table, kinds)
        gains[torch.from_numpy(space.counts[part][:, kinds] == 0)] = -torch.inf
        top, flat = gains.flatten(1).topk(min(candidates, gains[0].numel()), dim=1)
        valid = (top > -torch.inf).numpy()
        states.append(np.repeat(part, valid.sum(axis=1)))
        estimates.append(top.numpy()[valid] + values[states[-1]])
        chosen.append(flat.numpy()[valid])
    if not states:
        nothing = np.zeros(0, np.int64)
        return Moves(nothing, nothing, nothing, nothing)
    state, flat_index = np.concatenate(states), np.concatenate(chosen)
    kept = leading(space.rows[state], np.concatenate(estimates), candidates)
    kind, rest = np.divmod(flat_index[kept], width * len(table))
    column, item = np.divmod(rest, len(table))
    return Moves(state[kept], np.array(kinds)[kind], column, item)
