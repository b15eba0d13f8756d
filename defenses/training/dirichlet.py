"""Dirichlet neighbourhood sampling: in training, items stand for random mixtures of the items near them.

Yue et al., "Defending Substitution-Based Profile Pollution Attacks on Sequential Recommenders", RecSys 2022,
after Zhou et al. (ACL 2021). At half of the positions of a window, drawn anew at each step, the model reads

    Σ_j w_j E[n_j],   w ~ Dirichlet(α for a neighbour, α · decay for a neighbour's neighbour),

in place of the item's own embedding. Neighbours are the items of cosine ≥ .5 (at least 2, of more than 25 a random 25),
and as many of theirs. Constants are the released code's, and so is it that the item itself is no part of its mixture.

Known deviations: neighbours are found anew at `rebuilds` evenly spaced steps of a fit, where the release has every 10th
of up to 1,000 epochs: a fit here has 15 epochs at most, and neighbours in an untrained table mean nothing. Weights are
drawn afresh, where the release reuses 10,000 draws. The loss is the recommender's own softmax, not BCE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from robust.defense import TrainingDefense
from robust.defenses.training.loop import train_by
from robust.defenses.training.neighbours import Neighbours
from robust.defenses.training.positions import some_positions
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.objective import Step


class Dirichlet(TrainingDefense):
    """Trains on sequences some of whose items are random mixtures of their neighbours.

    Attributes:
        ratio: share of a window's items that are replaced, at least one of each window; at 0, training is plain.
        alpha: α, of the Dirichlet distribution; decay: factor on it for neighbours of neighbours.
        cosine: least cosine of a neighbour. fewest: neighbours that an item has at least, by cosine.
        most: neighbours that count at most, in each of the two hops; a random choice of more.
        rebuilds: how often in a fit neighbours are found anew.
    """

    name: ClassVar[str] = "dirichlet"
    source: ClassVar[str] = "Yue et al., RecSys 2022 (arXiv 2207.11237)"
    weaknesses: ClassVar[str] = (
        "Random mixtures, not worst ones. It covers substitutes of cosine ≥ τ to the item in the table as trained, and "
        "an attacker without that bound, or who inserts and deletes, is outside it. What is a neighbour moves with the "
        "table. The published gain was measured with an attack that knows the next item."
    )
    assumptions: ClassVar[str] = "A substitute is similar to the item that it replaces, in the embedding space."

    ratio: float = Field(default=0.5, ge=0, le=1)
    alpha: float = Field(default=1.0, gt=0)
    decay: float = Field(default=0.5, gt=0, le=1)
    cosine: float = Field(default=0.5, ge=-1, le=1)
    fewest: int = Field(default=2, ge=1)
    most: int = Field(default=25, ge=1)
    rebuilds: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _fewest_fit(self) -> Self:
        if self.fewest > self.most:
            raise ValueError(f"fewest ({self.fewest}) neighbours must not be more than most ({self.most})")
        return self

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, with this objective.

        Raises:
            NotApplicable: its training loop does not take an objective.
        """
        return train_by(self.name, recommender, log, seed=seed, share=share, objective=Sampled(self))


class Sampled:
    """The objective of one fit: it keeps the neighbours until they are found anew."""

    def __init__(self, defense: Dirichlet) -> None:
        self.defense = defense
        self.neighbours: Neighbours | None = None

    def __call__(self, step: Step) -> Tensor:
        """The scalar loss of one batch, with mixtures at some positions."""
        if self.defense.ratio == 0:
            return step.loss(step.embeddings)
        if self.neighbours is None or due(step.number, step.of, self.defense.rebuilds):
            self.neighbours = Neighbours.of(
                step.table,
                cosine=self.defense.cosine,
                fewest=self.defense.fewest,
                most=self.defense.most,
                generator=step.generator,
            )
        row, column = some_positions(step, self.defense.ratio)
        items, weights = self.mixtures(self.neighbours, step.items[row, column], step.generator)
        mixed = F.embedding_bag(items, step.table, mode="sum", per_sample_weights=weights)
        return step.loss(step.embeddings.index_put((row, column), mixed))

    def mixtures(self, neighbours: Neighbours, items: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Neighbours int64 [S, 2 · most] of items [S], and their weights, of sum 1; 0 where there is none.

        An item without any neighbour (in a catalogue of one) stands for itself.
        """
        first, second = neighbours.first[items], neighbours.second[items]
        near = torch.cat([first, second], dim=1)
        alphas = torch.full(near.shape, self.defense.alpha, dtype=torch.float64)
        alphas[:, first.shape[1] :] *= self.defense.decay
        # Gamma draws, normalised, are a Dirichlet draw; torch has no public Gamma that takes a generator
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        drawn = np.random.default_rng(seed).standard_gamma(alphas.numpy())
        gammas = torch.from_numpy(np.maximum(drawn, np.finfo(np.float64).tiny)).to(near.device) * (near > 0)
        alone = near[:, 0] == 0
        near[:, 0] = torch.where(alone, items, near[:, 0])
        gammas[:, 0] = torch.where(alone, 1.0, gammas[:, 0])
        return near, (gammas / gammas.sum(dim=1, keepdim=True)).to(torch.float32)


def due(number: int, of: int, times: int) -> bool:
    """Whether something that happens `times` times in a fit of `of` steps, first at step 0, happens at this step."""
    return number == 0 or number * times // of > (number - 1) * times // of
