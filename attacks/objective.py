"""What a white-box attack raises: one loss, whatever the goal.

    degrade   mean over labels of L(scores, label), label = the true next item if the attacker knows it,
              else the clean top-1 (never the other way round: released code that accepts a substitution by the true
              label leaks it to an attacker who does not know it)
    demote    mean over targets of L(scores, target)
    promote   −mean over targets of L(scores, target)

With scores f, the set T of a row's labels (the label, or all targets), and π the items by falling score, L is

    ce        log Σ_i exp f_i − f_t
    margin    max_{i ∉ T} f_i − f_t: positive where another item beats t. Targets are no rivals of one another
    dlr       margin / (f_π1 − f_π3): Croce and Hein, ICML 2020, equation 6 (from memory), whose T = {t}; a change of
              the scores' scale or offset changes nothing. Their targeted form, equation 7, sets the target against a
              true label, which a promoted item does not have: here it is set against the best item that is no target

Knowing the next item matters more than the method does: on ml-1m, SASRec, two edits without a similarity constraint
take NDCG@10 from .600 to .061 with it and to .221 without (100 negatives), so both belong in every table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal
from robust.errors import NotApplicable
from robust.log import Int32, SequenceBatch
from robust.perturbation import TINY

Loss = Literal["ce", "dlr", "margin"]


@dataclass(frozen=True)
class Objective:
    """The loss to raise, per row.

    Attributes:
        labels: int64 [B, m], items 1…n_items; 0 = none, which adds nothing.
        sign: +1 to raise the labels' loss, −1 to lower it. loss: which one.
    """

    labels: Tensor
    sign: int
    loss: Loss = "ce"

    def __call__(self, scores: Tensor) -> Tensor:
        """[B] from scores [B, n_items + 1]; column 0 (padding, −inf) is never read."""
        ranked, labels = scores[:, 1:], self.labels.to(scores.device)
        known = labels > 0
        picked = ranked.gather(1, (labels - 1).clamp_min(0))
        losses = (self._rival(ranked, labels) - picked) * known
        if self.loss == "dlr":
            best = ranked.topk(min(3, ranked.shape[1]), dim=1).values
            losses = losses / (best[:, :1] - best[:, -1:]).clamp_min(TINY)
        return self.sign * losses.sum(dim=1) / known.sum(dim=1).clamp_min(1)

    def take(self, rows: Tensor) -> Objective:
        """The objective of these rows, in this order, repeats allowed."""
        return Objective(self.labels[rows], self.sign, self.loss)

    def _rival(self, ranked: Tensor, labels: Tensor) -> Tensor:
        """[B, 1], what a label's score is held against: all items together, or the best that is no label."""
        if self.loss == "ce":
            return ranked.logsumexp(dim=1, keepdim=True)
        own = torch.zeros((len(ranked), ranked.shape[1] + 1), dtype=torch.bool, device=ranked.device)
        own.scatter_(1, labels, True)
        return ranked.masked_fill(own[:, 1:], -torch.inf).amax(dim=1, keepdim=True)


def label_of(access: AccessView, sequences: SequenceBatch) -> Int32:
    """int32 [B]: the true next item if known, else the clean top-1 (one query each); 0 where the list is empty."""
    known = access.next_items(sequences)
    return access.model.recommend(sequences, 1)[:, 0] if known is None else known


def objective_for(access: AccessView, sequences: SequenceBatch, goal: AnyGoal, loss: Loss = "ce") -> Objective:
    """The objective of this goal on these sequences.

    Raises:
        NotApplicable: a loss that holds targets against other items, where there is no other.
    """
    if loss != "ce" and (len(set(goal.items)) or 1) >= access.n_items:
        raise NotApplicable(
            f"the loss '{loss}' needs an item that is no label; there are {access.n_items} items in all"
        )
    if goal.kind == "degrade":
        labels = label_of(access, sequences)[:, None]
    else:
        labels = np.tile(np.asarray(goal.items), (len(sequences), 1))
    return Objective(torch.from_numpy(labels.astype(np.int64)), -1 if goal.kind == "promote" else 1, loss)
