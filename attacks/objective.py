"""What a white-box attack raises: one loss, whatever the goal.

    degrade   mean over labels of CE(scores, label), label = the true next item if the attacker knows it,
              else the clean top-1 (never the other way round: released code that accepts a substitution by the true
              label leaks it to an attacker who does not know it)
    demote    mean over targets of CE(scores, target)
    promote   −mean over targets of CE(scores, target)

Knowing the next item matters more than the method does: on ml-1m, SASRec, two edits without a similarity constraint
take NDCG@10 from .600 to .061 with it and to .221 without (100 negatives), so both belong in every table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal
from robust.log import Int32, SequenceBatch


@dataclass(frozen=True)
class Objective:
    """The loss to raise, per row.

    Attributes:
        labels: int64 [B, m], items 1…n_items; 0 = none, which adds nothing.
        sign: +1 to raise the labels' loss, −1 to lower it.
    """

    labels: Tensor
    sign: int

    def __call__(self, scores: Tensor) -> Tensor:
        """[B] from scores [B, n_items + 1]; column 0 (padding, −inf) is never read."""
        ranked, labels = scores[:, 1:], self.labels.to(scores.device)
        known = labels > 0
        picked = ranked.gather(1, (labels - 1).clamp_min(0))
        losses = (ranked.logsumexp(dim=1, keepdim=True) - picked) * known
        return self.sign * losses.sum(dim=1) / known.sum(dim=1).clamp_min(1)

    def take(self, rows: Tensor) -> Objective:
        """The objective of these rows, in this order, repeats allowed."""
        return Objective(self.labels[rows], self.sign)


def label_of(access: AccessView, sequences: SequenceBatch) -> Int32:
    """int32 [B]: the true next item if known, else the clean top-1 (one query each); 0 where the list is empty."""
    known = access.next_items(sequences)
    return access.model.recommend(sequences, 1)[:, 0] if known is None else known


def objective_for(access: AccessView, sequences: SequenceBatch, goal: AnyGoal) -> Objective:
    """The objective of this goal on these sequences."""
    if goal.kind == "degrade":
        labels = label_of(access, sequences)[:, None]
    else:
        labels = np.tile(np.asarray(goal.items), (len(sequences), 1))
    return Objective(torch.from_numpy(labels.astype(np.int64)), -1 if goal.kind == "promote" else 1)
