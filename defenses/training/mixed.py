"""Adversarial training on mixed representations: one-hot rows climb to the worst mixture of items.

Yue et al., "Defending Substitution-Based Profile Pollution Attacks on Sequential Recommenders", RecSys 2022. An
item at a position is a one-hot row over the catalogue; its embedding is the row times the item table. After a
clean step on a batch, a second one uses rows that three times did

    row ← row + s g/‖g‖,   row ← max(row, 0),   row ← row / Σ row,   g = ∂L/∂row = E ∂L/∂e,

at a random half of the positions. Rows stay on the simplex, so that what the model reads lies in the hull of real
items. Constants are the released code's.

Known deviations: only the positions that will be used climb (the release moves all, and keeps half), at least one of
each window; the gradient is taken under dropout (the release has none there); a step is either clean or adversarial,
and a fit takes as many as ever, so it sees half of the batches (the release takes twice the steps). Padding is no part
of a mixture. Of a catalogue of more than `items`, as many items drawn anew at each step, and those replaced, span it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from robust.defense import TrainingDefense
from robust.defenses.training.loop import train_by
from robust.defenses.training.positions import some_positions
from robust.log import InteractionLog
from robust.perturbation import Ball
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.objective import Step

REPLAYS = 2


class MixedRepresentations(TrainingDefense):
    """Trains on each batch twice: as it is, and with some of its items become the worst mixtures of items.

    Attributes:
        ratio: share of a window's items that are replaced, at least one of each window; at 0, both steps are clean.
        steps: ascent steps. step_size: s, of one; the corners of the simplex lie √2 apart.
        items: of a larger catalogue, this many items at a step span the simplex.
    """

    name: ClassVar[str] = "mixed"
    source: ClassVar[str] = "Yue et al., RecSys 2022 (arXiv 2207.11237)"
    weaknesses: ClassVar[str] = (
        "The mixtures are bounded by no similarity and are no items: whether the robustness carries over to single "
        "substitutes is for a search on the defended weights to say. The published gain was measured with an attack "
        "that knows the next item. Nothing is promised for insertions and deletions. Half of the steps are clean, so a "
        "short fit learns from half of the batches; work at a step grows with the catalogue."
    )
    assumptions: ClassVar[str] = "The attack replaces items in place, and the clean fit has steps to spare."

    ratio: float = Field(default=0.5, ge=0, le=1)
    steps: int = Field(default=3, ge=1)
    step_size: float = Field(default=1.0, gt=0)
    items: int = Field(default=5000, ge=2)

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, each batch twice.

        Raises:
            NotApplicable: its training loop does not take an objective.
        """
        return train_by(self.name, recommender, log, seed=seed, share=share, objective=self.objective, replays=REPLAYS)

    def objective(self, step: Step) -> Tensor:
        """The scalar loss of one batch: clean when it comes first, then with mixtures at some positions."""
        if step.replay == 0 or self.ratio == 0:
            return step.loss(step.embeddings)
        row, column = some_positions(step, self.ratio)
        spanning, own = self.spanning(step, step.items[row, column])
        rows = self.worst(step, row, column, spanning, own)
        mixed = rows @ F.embedding(spanning, step.table)
        return step.loss(step.embeddings.index_put((row, column), mixed))

    def spanning(self, step: Step, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """The items that span the simplex, int64 [m], ascending, and where each replaced item [S] stands among them."""
        n_items = len(step.table) - 1
        if n_items <= self.items:
            return torch.arange(1, n_items + 1, device=replaced.device), replaced - 1
        drawn = torch.randint(1, n_items + 1, (self.items,), generator=step.generator, device=replaced.device)
        spanning = torch.unique(torch.cat([drawn, replaced]))
        return spanning, torch.searchsorted(spanning, replaced)

    def worst(self, step: Step, row: Tensor, column: Tensor, spanning: Tensor, own: Tensor) -> Tensor:
        """Rows on the simplex [S, m], constant: what the ascent makes of one-hot rows at these positions."""
        table = F.embedding(spanning, step.table.detach())
        fixed = step.embeddings.detach()
        rows = F.one_hot(own, len(spanning)).to(fixed.dtype)
        for _ in range(self.steps):
            moved = fixed.index_put((row, column), rows @ table).requires_grad_(True)
            (gradient,) = torch.autograd.grad(step.loss(moved), moved)
            rows = climbed(rows, gradient[row, column] @ table.T, self.step_size)
        return rows


def climbed(rows: Tensor, gradient: Tensor, step_size: float) -> Tensor:
    """Rows [S, m] after one step along their gradients, back on the simplex; a row that would vanish stays."""
    moved = (rows + step_size * Ball(1.0).steepest(gradient)).clamp_min(0)
    total = moved.sum(dim=1, keepdim=True)
    return torch.where(total > 0, moved / total, rows)
