"""A recommender as the Adversarial Robustness Toolbox wants it: a classifier of embedded sequences.

`as_art_estimator` is the way to ART's own interface; the attack `art` takes the same way. docs/art.md says which of its
attacks make sense here.

Closed here: column 0 (padding, −inf) is no class and labels shift by one; inputs are cast to float32 (several attacks
send float64); what an attack does to padding has no effect and gets no gradient; ART draws from global generators,
which are seeded for the call and put back.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from robust.errors import InputError, NotApplicable
from robust.log import SequenceBatch
from robust.perturbation import padding_mask
from robust.recommenders.protocols import Recommender, capabilities


class ScoresEmbeddings(Protocol):
    """What a classifier needs of a recommender, or of an attacker's view of one."""

    @property
    def n_items(self) -> int:
        """The catalogue's size."""
        ...

    @property
    def item_embeddings(self) -> Tensor:
        """[n_items + 1, D]."""
        ...

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        """[B, n_items + 1]."""
        ...


class EmbeddedClassifier(nn.Module):
    """Logits [b, n_items] from embedded sequences [b, L, D] that all have the padding of `pattern`.

    ART does not say which of its rows it is asking about, so all rows of one call share one length; what identifies
    them otherwise (item ids, times) must not matter to `score_embeddings`.
    """

    def __init__(self, model: ScoresEmbeddings, pattern: SequenceBatch) -> None:
        super().__init__()
        # its method and no more: a recommender that is a module must not be put into training mode by ART
        self.score, self.device = model.score_embeddings, model.item_embeddings.device
        self.pattern, self.mask = pattern, padding_mask(pattern)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits; class c is item c + 1."""
        kept = embeddings.float() * self.mask
        rows = self.pattern[np.zeros(len(embeddings), dtype=np.int64)]
        return self.score(kept.to(self.device), rows)[:, 1:].cpu()


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


def as_art_estimator(recommender: Recommender, sequences: SequenceBatch, *, targets: tuple[int, ...] = ()) -> Any:
    """ART's `PyTorchClassifier` over a differentiable recommender, for ART's own attacks, defences and metrics.

    Its inputs are `recommender.embed(sequences)`, float32 [B, L, D] on the CPU; its class c is item c + 1. Of the
    sequences only length and padding matter: ART does not say which of its rows it asks about, so all share one.

    Args:
        sequences: those to be attacked, or others of the same width and padding.
        targets: items that a targeted attack promotes together, by their mean loss; none means the labels given to ART.

    Raises:
        NotApplicable: a recommender that takes no embeddings.
        InputError: no sequence, or sequences of several lengths; attack each length by an estimator of its own.
    """
    if "gradients" not in capabilities(recommender):
        raise NotApplicable("an estimator of ART needs a recommender that takes embeddings")
    lengths = sorted(set(sequences.lengths.tolist()))
    if len(lengths) != 1:
        raise InputError(
            f"An estimator of ART takes sequences of one length, got lengths {lengths}: make one estimator for each, "
            "from sequences[sequences.lengths == length]."
        )
    model: Any = recommender
    return classifier(model, sequences[:1], model.item_embeddings.shape[1], targets)


def classifier(model: ScoresEmbeddings, pattern: SequenceBatch, dimension: int, targets: tuple[int, ...]) -> Any:
    """ART's `PyTorchClassifier` over this model, on the CPU."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=EmbeddedClassifier(model, pattern),
        loss=TargetLoss(targets),
        input_shape=(pattern.width, dimension),
        nb_classes=int(model.n_items),
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
