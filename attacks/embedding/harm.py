"""How much harm a perturbation does: what every attack in the embedding space raises, a chunk of users at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust.access import AccessView, ModelView
from robust.attack import AnyGoal
from robust.attacks.objective import Loss, Objective, objective_for
from robust.log import SequenceBatch
from robust.perturbation import chunk_rows, padding_mask


@dataclass(frozen=True)
class Chunk:
    """Some users: what is moved, and what is raised.

    Attributes:
        embeddings: [b, L, D], constant. mask: [b, L, 1], 0 at padding.
    """

    model: ModelView
    sequences: SequenceBatch
    embeddings: Tensor
    mask: Tensor
    objective: Objective

    def harm(self, embeddings: Tensor) -> Tensor:
        """[b], the objective of embeddings [b, L, D] in place of these; one query each."""
        return self.objective(self.model.score_embeddings(embeddings, self.sequences))


def chunks(access: AccessView, sequences: SequenceBatch, goal: AnyGoal, loss: Loss = "ce") -> Iterator[Chunk]:
    """All sequences in order, as many at once as memory allows; asks for labels where the goal has none."""
    model = access.model
    for part in sequences.chunks(chunk_rows(sequences.width, model.item_embeddings.shape[1], access.n_items)):
        objective = objective_for(access, part, goal, loss)
        embeddings = model.embed(part).detach()
        yield Chunk(model, part, embeddings, padding_mask(part).to(embeddings.device), objective)


class Population:
    """The mean harm to many users of one delta that they share, such as a universal one or one of the item table.

    Args:
        harm: [b] from a chunk and the shared delta [1, …].
    """

    def __init__(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        harm: Callable[[Chunk, Tensor], Tensor],
    ) -> None:
        self._access, self._sequences, self._goal, self._harm = access, sequences, goal, harm

    @cached_property
    def _chunks(self) -> list[Chunk]:
        """Made once, so that labels are asked for once, and only if harm is asked for."""
        return list(chunks(self._access, self._sequences, self._goal))

    def __call__(self, delta: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
        """The mean harm [1], and its gradient in the form of `delta`, zero unless asked for."""
        total, slope = torch.zeros(1, device=delta.device), torch.zeros_like(delta)
        for chunk in self._chunks:
            moved = delta.detach().requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                part = self._harm(chunk, moved).sum() / len(self._sequences)
            if gradient:
                slope += torch.autograd.grad(part, moved)[0]
            total += part.detach()
        return total, slope
