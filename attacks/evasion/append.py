"""Profile pollution by appending: what somebody who can inject clicks adds to the end of a history.

Yue, He, Zeng and McAuley, "Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction", RecSys 2021,
their profile pollution (a targeted FGSM step, projected onto items), with the gradients of the model that the attack is
planned on:

1. append the target t, z times; one backward pass of CE(g(S′), t) gives G_j at each appended position j;
2. from the newest position to the oldest: v = e_j − sign(G_j); rank all items by cos(v, E_i); never t as the newest,
   and t as an older one only if its newer neighbour is not t;
3. try the 10 best (and t, where it may stay), keep the one of largest softmax score of t.

`gain: sign-cosine` is that rule. `gain: first-order` (default) ranks by the first-order gain −G_j · E_i, with a
gradient of its own for each position: stronger at nearly equal queries, as for `substitution`. On ml-1m (SASRec with a
context of 200, ten items, 5 targets spread over popularity ranks) the targets' NDCG@10 among 100 random items goes from
.055 to .946, and to .237 with random items.

All goals: the loss is that of `objective.py` and the search goes up it, so for one target and `promote` it is the
paper's. To demote or degrade, the newest item is appended z times to begin with, and "t" in the rules is the label
whose loss is raised (the demoted target; the true next item if known, else the clean top-1). Several targets take
turns from the newest position on, none of them may be the newest or stand next to another, and what is kept is the
form of the best mean loss.

Known deviations: the release takes the gradient with dropout on, here it is off; the release tries the best item twice.
Where the result is worse than the clean sequence the latter is returned. The release truncates the longer sequence to
what the model reads, and so does the harness: z insertions push the z oldest items out.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robust.access import Access, AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.feedback import Feedback, questions_about_clean
from robust.attacks.objective import label_of
from robust.log import Int32, SequenceBatch
from robust.perturbation import chunk_rows
from robust.threat import Budget


class Append(EvasionAttack):
    """Append `budget.edits` items to each sequence.

    Attributes:
        gain: the rule that proposes items. candidates: items that are tried at each position.
    """

    name: ClassVar[str] = "append"
    source: ClassVar[str] = "Yue et al., RecSys 2021 (arXiv 2109.01165), profile pollution"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    model_access: ClassVar[Access] = "gradients"
    control: ClassVar[str | None] = "random-append"

    gain: Literal["first-order", "sign-cosine"] = "first-order"
    candidates: int = Field(default=10, ge=1)

    def queries(self, edits: int) -> int:
        """Questions per sequence, at most, besides those about the clean one."""
        return self._gradients(edits) + edits * (self.candidates + 1)

    def _gradients(self, edits: int) -> int:
        return edits if self.gain == "first-order" else min(edits, 1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """The target alternating with random items, best of as many draws as this attack asks, by the same loss."""
        return "random-append", {"tries": self.queries(budget.edits or 0), "feedback": "scores"}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, L + edits]; deterministic, so `rng` goes unused."""
        edits, candidates = budget.edits or 0, self.candidates
        allowed = access.queries_left(len(sequences))
        if allowed is not None:
            # the labels of `degrade` are asked for twice: as the loss's, and to begin with
            clean = questions_about_clean("scores", goal, access.knowledge.next_item) + (goal.kind == "degrade")
            candidates = min(candidates, (allowed - clean - self._gradients(edits)) // edits - 1)
        if candidates < 1:
            return sequences
        table = access.model.item_embeddings.detach().cpu()
        size = chunk_rows(sequences.width + edits, table.shape[1], access.n_items)
        edited = [self._append(access, chunk, goal, edits, candidates, table) for chunk in sequences.chunks(size)]
        return SequenceBatch(np.concatenate(edited), sequences.users)

    def _append(
        self,
        access: AccessView,
        clean: SequenceBatch,
        goal: AnyGoal,
        edits: int,
        candidates: int,
        table: Tensor,
    ) -> Int32:
        track = access.curve.track(len(clean))
        seen = Feedback(access, clean, goal, "scores", 1)
        labels = _labels(access, clean, goal)
        rows = np.arange(len(clean))
        begin = labels if goal.kind == "promote" else clean.items[:, -1:]
        turns = begin[:, np.arange(edits)[::-1] % begin.shape[1]]
        items = np.concatenate([clean.items, np.maximum(turns, 1)], axis=1)
        slopes = seen.slopes(rows, items)
        value, newer_is_label = np.zeros(len(clean)), np.ones(len(clean), bool)
        for column in range(items.shape[1] - 1, clean.width - 1, -1):
            if self.gain == "first-order" and column < items.shape[1] - 1:
                slopes = seen.slopes(rows, items)
            gains = self._gains(slopes[:, column], torch.from_numpy(items[:, column].astype(np.int64)), table)
            forbidden = torch.from_numpy(np.where(newer_is_label[:, None], labels, 0).astype(np.int64))
            gains.scatter_(1, forbidden, -torch.inf)
            tried = gains.topk(min(candidates, access.n_items), dim=1)
            proposed = np.where(tried.values.numpy() > -np.inf, tried.indices.numpy(), 0).astype(np.int32)
            staying = np.where(newer_is_label, 0, items[:, column])[:, None].astype(np.int32)
            items[:, column], value = _best(seen, items, column, np.concatenate([proposed, staying], axis=1))
            newer_is_label = (items[:, column, None] == labels).any(axis=1)
        track.note(edits, value)
        unmoved = np.pad(clean.items, ((0, 0), (edits, 0)))
        return np.where((value > 0)[:, None], items, unmoved)

    def _gains(self, slopes: Tensor, standing: Tensor, table: Tensor) -> Tensor:
        """[B, n_items + 1], how promising each item is in place of the standing ones [B]; −inf for padding."""
        if self.gain == "first-order":
            gains = slopes @ table.T
        else:
            wanted = torch.nn.functional.normalize(table[standing] + slopes.sign(), dim=1)
            gains = wanted @ torch.nn.functional.normalize(table, dim=1).T
        gains[:, 0] = -torch.inf
        return gains


def _labels(access: AccessView, clean: SequenceBatch, goal: AnyGoal) -> Int32:
    """int32 [B, m], what the loss is about."""
    if goal.kind == "degrade":
        return label_of(access, clean)[:, None]
    return np.tile(np.asarray(goal.items, np.int32), (len(clean), 1))


def _best(seen: Feedback, items: Int32, column: int, proposed: Int32) -> tuple[Int32, NDArray[np.float64]]:
    """Of the items [B, c] proposed for a column (0 = none), the best [B], and its value; the first of equals."""
    values = np.full(proposed.shape, -np.inf)
    for place in range(proposed.shape[1]):
        rows = np.flatnonzero(proposed[:, place])
        if len(rows):
            form = items[rows].copy()
            form[:, column] = proposed[rows, place]
            values[rows, place] = seen(rows, form)
    best = values.argmax(axis=1)[:, None]
    kept = np.take_along_axis(proposed, best, axis=1)[:, 0]
    # where nothing may stand there (a catalogue of one item), the sequence is given up: its value is −inf
    return np.where(kept > 0, kept, items[:, column]), np.take_along_axis(values, best, axis=1)[:, 0]
