"""Augmented sequences: crop, mask and reorder.

Xie et al., "Contrastive Learning for Sequential Recommendation", ICDE 2022, section 3.2.3: keep a random run of ⌊η n⌋
items; hide ⌊γ n⌋ items; put a random run of ⌊β n⌋ items into random order. Each augmented window gets one of the
three, drawn uniformly.

Known deviations: the paper contrasts two augmented views of a sequence beside the plain loss; here the plain loss is
taken on augmented windows, and there is no contrastive term: a cheap baseline, not CL4SRec. A hidden item is shown as
a vector of zeros, where the paper has a learnt mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from robust.defense import TrainingDefense
from robust.defense.base import Cost
from robust.defenses.training.loop import train_by
from robust.defenses.training.windows import crop, reorder, share_of
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.objective import Step
    from robust.recommenders.windows import Batch


class Augmentation(TrainingDefense):
    """Trains on windows of which a share is cropped, masked or reordered. A share of 0 leaves an operation out.

    Attributes:
        share: of the windows that are augmented.
        crop: share of a window that is kept (η). mask: that is hidden (γ). reorder: that is shuffled (β).
    """

    name: ClassVar[str] = "augmentation"
    source: ClassVar[str] = "Xie et al., ICDE 2022 (arXiv 2010.14395)"
    weaknesses: ClassVar[str] = (
        "Regularises; it aims at no attack. Random crops, masks and orders are not the edits that an attacker would "
        "choose."
    )
    assumptions: ClassVar[str] = "Order and completeness of a history matter less than its items."
    cost: ClassVar[Cost] = "negligible"

    share: float = Field(default=0.5, gt=0, le=1)
    crop: float = Field(default=0.6, ge=0, lt=1)
    mask: float = Field(default=0.3, ge=0, lt=1)
    reorder: float = Field(default=0.6, ge=0, le=1)

    @model_validator(mode="after")
    def _some_operation(self) -> Self:
        if not any((self.crop, self.mask, self.reorder)):
            raise ValueError("nothing to do: give crop, mask or reorder")
        return self

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, on augmented windows.

        Raises:
            NotApplicable: its training loop does not take an augmentation.
        """
        views = Views(self)
        return train_by(
            self.name, recommender, log, seed=seed, share=share, augment=views.augment, objective=views.objective
        )


class Views:
    """The augmented windows of one fit; which of the current batch are masked is told from one half to the other."""

    def __init__(self, defense: Augmentation) -> None:
        self.defense = defense
        self.operations = [name for name in ("crop", "mask", "reorder") if getattr(defense, name)]
        self.masked: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def augment(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The batch with some windows cropped, some reordered."""
        drawn = rng.integers(len(self.operations), size=len(batch.items))
        drawn[rng.random(len(drawn)) >= self.defense.share] = -1
        does = {name: drawn == number for number, name in enumerate(self.operations)}
        nobody = np.zeros(len(drawn), dtype=bool)
        self.masked = does.get("mask", nobody)
        if "reorder" in does:
            run = share_of(batch.lengths, self.defense.reorder)
            batch = reorder(batch, np.where(does["reorder"], run, 1), rng)
        if "crop" in does:
            run = share_of(batch.lengths, self.defense.crop)
            batch = crop(batch, np.where(does["crop"], run, batch.lengths), rng)
        return batch

    def objective(self, step: Step) -> Tensor:
        """The plain loss, with ⌊γ n⌋ items of the masked windows hidden."""
        if not self.masked.any():
            return step.loss(step.embeddings)
        draw = step.generator
        keys = torch.rand(step.items.shape, generator=draw, device=draw.device).masked_fill(~step.mask, torch.inf)
        place = keys.argsort(dim=1).argsort(dim=1)
        count = (step.mask.sum(dim=1) * self.defense.mask + 1e-6).floor() * torch.from_numpy(self.masked).to(
            draw.device
        )
        return step.loss(step.embeddings * (place >= count.unsqueeze(1)).unsqueeze(2))
