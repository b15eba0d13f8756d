"""Trimmed loss: each step leaves out the windows that are hardest to fit.

Shen and Sanghavi, "Learning with Bad Training Data via Iterative Trimmed Loss Minimization", ICML 2019: alternate
between choosing the (1 − τ) share of samples with the smallest loss and training on those. The share left out rises as
in the truncated loss of Wang et al., "Denoising Implicit Feedback for Recommendation" (ADT), WSDM 2021, section 4.2.1:
min(a T, τ) at step T, since at first every loss is large.

A window's loss is the mean over its target positions. Windows of a batch have similar lengths, so that like is
compared with like. A share of the batch that is no whole number is rounded up or down at random, by its fraction.

Known deviations: Shen and Sanghavi choose among all samples once in a while, and train to the end in between; here
among those of a batch, as ADT does. ADT leaves out single interactions, where here a user's whole window goes: fake
rows come as fake users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from robust.defenses.training.loop import ObjectiveDefense

if TYPE_CHECKING:
    from robust.recommenders.objective import Step


class Trimmed(ObjectiveDefense):
    """Trains on all but the hardest windows of each batch.

    Attributes:
        share: τ, of the windows that are left out in the end: the assumed share of fake users.
        rise: share of the fit's steps over which it rises from 0.
    """

    name: ClassVar[str] = "trimmed"
    source: ClassVar[str] = "Shen and Sanghavi, ICML 2019 (arXiv 1810.11874); Wang et al., WSDM 2021 (arXiv 2006.04153)"
    weaknesses: ClassVar[str] = (
        "Takes a large loss for a sign of poison. Promotion profiles are often easy to fit (the same target, popular "
        "fillers), so it may keep the fakes and lose the genuine users of unusual taste instead. It leaves out the "
        "assumed share whether or not anybody attacks."
    )
    assumptions: ClassVar[str] = "Fake profiles are harder to fit than genuine ones, and about as many as stated."

    share: float = Field(default=0.05, gt=0, lt=1)
    rise: float = Field(default=0.2, ge=0, le=1)

    def objective(self, step: Step) -> Tensor:
        """The mean loss over the windows that are kept."""
        size = len(step.items)
        wanted = self.rate(step.number, step.of) * size
        fraction = torch.rand((), generator=step.generator, device=step.generator.device)
        out = min(int(wanted + float(fraction)), size - 1)
        if out == 0:
            return step.loss(step.embeddings)
        kept = torch.ones(size, device=step.embeddings.device)
        kept[window_losses(step).topk(out).indices] = 0.0
        return step.loss(step.embeddings, kept[step.rows])

    def rate(self, number: int, of: int) -> float:
        """The share that is left out at this step, from 0."""
        rise = self.rise * of
        return self.share if number >= rise else self.share * number / rise


def window_losses(step: Step) -> Tensor:
    """[B], the mean loss of each window's target positions, without a gradient."""
    losses = step.losses(step.embeddings.detach())
    sums = torch.zeros(len(step.items), dtype=losses.dtype, device=losses.device)
    counts = torch.zeros_like(sums).index_add_(0, step.rows, torch.ones_like(losses))
    return sums.index_add_(0, step.rows, losses) / counts.clamp_min(1)
