"""A recommender as the Adversarial Robustness Toolbox wants it: a classifier of embedded sequences.

Closed here: column 0 (padding, −inf) is no class and labels shift by one; inputs are cast to float32 (several attacks
send float64); what an attack does to padding has no effect and gets no gradient; ART draws from global generators,
which are seeded for the call and put back.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robust.access import ModelView
from robust.log import SequenceBatch
from robust.perturbation import padding_mask


class EmbeddedClassifier(nn.Module):
    """Logits [b, n_items] from embedded sequences [b, L, D] that all have the padding of `pattern`.

    ART does not say which of its rows it is asking about, so all rows of one call share one length; what identifies
    them otherwise (item ids, times) must not matter to `score_embeddings`.
    """

    def __init__(self, model: ModelView, pattern: SequenceBatch) -> None:
        super().__init__()
        self.view, self.pattern = model, pattern
        self.mask = padding_mask(pattern)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits; class c is item c + 1."""
        kept = embeddings.float() * self.mask
        rows = self.pattern[np.zeros(len(embeddings), dtype=np.int64)]
        return self.view.score_embeddings(kept.to(self.view.item_embeddings.device), rows)[:, 1:].cpu()


class TargetLoss(nn.CrossEntropyLoss):
    """Cross-entropy to the given label; with several targets, the mean over all of them instead."""

    def __init__(self, targets: tuple[int, ...]) -> None:
        super().__init__()
        self.targets = targets

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar."""
        if len(self.targets) < 2:
            return super().forward(logits, label)
        picked = logits[:, torch.tensor(self.targets) - 1].mean(dim=1)
        return (logits.logsumexp(dim=1) - picked).mean()


def classifier(model: ModelView, pattern: SequenceBatch, dimension: int, targets: tuple[int, ...]) -> Any:
    """ART's `PyTorchClassifier` over this model, on the CPU."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=EmbeddedClassifier(model, pattern),
        loss=TargetLoss(targets),
        input_shape=(pattern.width, dimension),
        nb_classes=model.n_items,
        device_type="cpu",
    )


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """ART draws from the global generators of numpy, torch and random: seed them for a while, then put them back."""
    before = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
    torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
    random.setstate(random.Random(seed).getstate())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ART's own, about deprecated calls inside it
            yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        torch.set_rng_state(before[1])
        random.setstate(before[2])
