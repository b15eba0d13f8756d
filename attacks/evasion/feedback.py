"""What an edited form of a sequence is worth to the attacker, by what the model shows: lists, or scores.

`lists` is what every served endpoint gives, and coarse: nothing is seen of a target until it enters a list. `scores`
is the loss that white-box attacks raise (`objective.py`), which moves with every edit; it needs `knowledge.model:
scores`, or asking is an error (`NotKnown`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal
from robust.attacks.objective import objective_for
from robust.harm import harm_against
from robust.log import Int32, SequenceBatch
from robust.perturbation import chunk_rows

Float64 = NDArray[np.float64]
Rows = NDArray[np.integer[Any]]
Signal = Literal["lists", "scores"]


def questions_about_clean(signal: Signal, goal: AnyGoal, next_item: bool) -> int:
    """How many queries a `Feedback` costs per sequence before the first form is asked about."""
    return 2 if signal == "scores" and goal.kind == "degrade" and not next_item else 1


class Feedback:
    """The value of forms of B sequences, less that of the clean ones. The newest L items are read, as many as before.

    Attributes:
        clean: B sequences [B, L].
    """

    def __init__(self, access: AccessView, clean: SequenceBatch, goal: AnyGoal, signal: Signal, k: int) -> None:
        self.clean, self._model, self._signal = clean, access.model, signal
        self._k = k if goal.kind == "degrade" else goal.k
        if signal == "lists":
            lists = access.model.recommend(clean, self._k)
            known = access.next_items(clean) if goal.kind == "degrade" else None
            self._harm = harm_against(lists, goal, known)
        else:
            self._objective = objective_for(access, clean, goal)
            self._before = self._loss(np.arange(len(clean)), clean)

    def __call__(self, rows: Rows, items: Int32) -> Float64:
        """float64 [R], by how much forms [R, W] of these rows go further towards the goal than the clean ones do."""
        forms = self.reading(rows, items)
        if self._signal == "lists":
            return self._harm(rows, self._model.recommend(forms, self._k))
        return self._loss(rows, forms) - self._before[rows]

    def reading(self, rows: Rows, items: Int32) -> SequenceBatch:
        """What a recommender reads of these forms [R, W]: the newest L items."""
        return SequenceBatch(items[:, items.shape[1] - self.clean.width :], self.clean.users[rows])

    def _loss(self, rows: Rows, forms: SequenceBatch) -> Float64:
        block = chunk_rows(0, 0, self._model.n_items)
        parts = [slice(start, start + block) for start in range(0, max(len(rows), 1), block)]
        losses = [
            self._objective.take(torch.from_numpy(np.asarray(rows[part])))(
                torch.from_numpy(self._model.score(forms[part]))
            )
            for part in parts
        ]
        return torch.cat(losses).numpy().astype(np.float64)

    def slopes(self, rows: Rows, items: Int32) -> Tensor:
        """float32 [R, W, D], the loss's gradient at these embedded forms [R, W], 0 at what is not read; R queries."""
        forms = self.reading(rows, items)
        embedded = self._model.embed(forms).detach().requires_grad_(True)
        value = self._objective.take(torch.from_numpy(np.asarray(rows)))(self._model.score_embeddings(embedded, forms))
        (gradient,) = torch.autograd.grad(value.sum(), embedded)
        return torch.nn.functional.pad(gradient.cpu(), (0, 0, items.shape[1] - forms.width, 0))

    @property
    def replaces_together(self) -> bool:
        """Whether all replacements of one place can be asked about together."""
        return self._signal == "scores"

    def replacements(self, row: int, items: Int32, column: int) -> Float64:
        """float64 [n_items], the value of a form [W] of this row with each item in turn at this column."""
        forms = self.reading(np.array([row]), items[None])
        own = torch.full((1,), row)
        catalogue = np.arange(1, self._model.n_items + 1, dtype=np.int32)
        values = self._model.evaluate_replacements(
            forms,
            column - (len(items) - forms.width),
            catalogue,
            lambda scores: self._objective.take(own.expand(len(scores)))(scores),
        )
        return np.asarray(values.astype(np.float64) - self._before[row])
