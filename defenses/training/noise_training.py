"""Training on randomly changed sequences: the control that adversarial training must beat, and what a smoother needs.

Each window is changed anew whenever it is used, by up to four laws, applied in this order:

    crop          a random run of ⌊(1 − c) n⌋ of its n items is kept
    delete        each item is left out with probability p
    substitute    each item becomes a uniformly random one with probability q
    gaussian      e + δ,  δ_j ~ N(0, ε² / D · I), so that ‖δ_j‖ is ε in root mean square; ε in units of the median
                  distance of an item to its nearest neighbour, measured anew at every step

A smoother that ranks many randomly changed copies of a sequence needs a model that was trained on such copies (Cohen
et al., "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019, section 3.3: Gaussian; Huang et al.,
"RS-Del", NeurIPS 2023: deletion). Gaussian noise of the size ε of `adversarial-embeddings` is that defence without its
search.

A law helps against changes of its own kind. On flights (GRU4Rec, two substitutions without τ; undefended NDCG@10 .559,
attacked .012) substitutes at q = .1 leave .324 of .550; deletions at p = .2 .017, Gaussian noise of ε = .5 .013. A
stronger search takes more: of 200 users .280 is left by 10 candidates, .235 by 60, .163 by who knows the next item.

Known deviations: what is asked stays the true next item; after a deletion, one of those that followed before the next
item that stays, drawn uniformly. A window that would lose all keeps its newest item. BERT4Rec's cloze asks for what is
left of a window, and is shown substitutes in place of items, never asked for them.
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
from robust.defenses.training.radius import radius
from robust.defenses.training.windows import crop, delete, share_of
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.objective import Step
    from robust.recommenders.windows import Batch


class NoiseTraining(TrainingDefense):
    """Trains on sequences with random deletions, substitutions, crops, or Gaussian noise on the embeddings.

    Attributes:
        delete: probability that an item is left out. substitute: that it becomes a uniformly random one.
        crop: share of a window that is cut off.
        gaussian: ε, the noise's root mean square length per position, in units of the current median
            nearest-neighbour distance.
    """

    name: ClassVar[str] = "noise-training"
    source: ClassVar[str] = "Cohen et al., ICML 2019 (arXiv 1902.02918); Huang et al., NeurIPS 2023 (arXiv 2302.01757)"
    weaknesses: ClassVar[str] = (
        "Random changes are not the worst ones: a model shrugs them off and still falls to a few that are chosen. It "
        "proves nothing by itself; a smoother with the same law on top of it may. Much noise costs quality on clean "
        "data."
    )
    assumptions: ClassVar[str] = "Changes to a sequence look like random ones, or the model is smoothed with this law."

    delete: float = Field(default=0.2, ge=0, lt=1)
    substitute: float = Field(default=0.0, ge=0, le=1)
    crop: float = Field(default=0.0, ge=0, lt=1)
    gaussian: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some_noise(self) -> Self:
        if not any((self.delete, self.substitute, self.crop, self.gaussian)):
            raise ValueError("no noise at all: give delete, substitute, crop or gaussian")
        return self

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, on changed windows.

        Raises:
            NotApplicable: its training loop does not take an objective.
        """
        augment = self.augment if self.delete or self.crop else None
        return train_by(self.name, recommender, log, seed=seed, share=share, objective=self.objective, augment=augment)

    def augment(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """What is left of each window."""
        if self.crop:
            batch = crop(batch, share_of(batch.lengths, 1 - self.crop), rng)
        if self.delete:
            batch = delete(batch, rng.random(batch.items.shape) < self.delete, rng)
        return batch

    def objective(self, step: Step) -> Tensor:
        """The plain loss, from noisy embeddings."""
        embeddings, draw = step.embeddings, step.generator
        if self.substitute:
            chosen = torch.rand(step.items.shape, generator=draw, device=draw.device) < self.substitute
            others = torch.randint(1, len(step.table), step.items.shape, generator=draw, device=draw.device)
            shown = torch.where(chosen & step.mask, others, step.items)
            embeddings = F.embedding(shown, step.table, padding_idx=0)
        if self.gaussian:
            spread = radius(step, self.gaussian) / embeddings.shape[2] ** 0.5
            noise = torch.randn(embeddings.shape, generator=draw, device=draw.device)
            embeddings = embeddings + spread * noise * step.mask.unsqueeze(2)
        return step.loss(embeddings)
