"""What makes a measurement of a model doubtful, seen on a small sample: gradients that are zero or noisy, answers that
change.

After AutoAttack's checks (Croce and Hein, ICML 2020, `flags_doc`) and Athalye et al., "Obfuscated gradients give a
false sense of security" (ICML 2018). A share near 1 means that an attack which follows gradients is blind, or that a
second look would give other figures; docs/flags/ says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from robust.log import SequenceBatch
from robust.recommenders.protocols import Differentiable, Recommender, Scorer, capabilities

if TYPE_CHECKING:
    import torch

SAME = 1e-3
"""Two gradients are one if they differ by at most this share of their norm; two scores, of their spread."""
STEPS = (0.1, 0.01, 0.001)
"""Steps of a finite difference, in units of the root mean square norm of the sequence's embedded items."""
AGREES = 0.5
"""A finite difference agrees with the gradient if it lies within this share of it."""


def zero_gradient_share(model: Differentiable, sequences: SequenceBatch, sample: int = 64) -> float:
    """Share of the first `sample` non-empty sequences in which no position's gradient of the top-1 loss is non-zero.

    A gradient that is zero (rounded scores, a saturated layer) makes a gradient-guided attack look harmless.
    """
    import torch

    part = _sample(sequences, sample)
    if len(part) == 0:
        return 0.0

    def loss(at: torch.Tensor) -> torch.Tensor:
        scores = model.score_embeddings(at, part)[:, 1:]
        return torch.nn.functional.cross_entropy(scores, scores.detach().argmax(dim=1), reduction="none")

    gradient = _gradient(loss, model.embed(part).detach())
    return float((gradient.flatten(1).abs().amax(dim=1) == 0).float().mean())


def noisy_gradient_share(model: Differentiable, sequences: SequenceBatch, sample: int = 16) -> float:
    """Share of the first `sample` non-empty sequences whose gradient says little about the score.

    Either it differs between two calls on the same input (a random model), or the score of the top-1 item, less the
    mean score, does not change along it as the gradient says, by central differences with any of `STEPS` (a gradient
    that is masked, or scores that are not smooth). A gradient that is always zero is not noisy: see
    `zero_gradient_share`.
    """
    import torch

    part = _sample(sequences, sample)
    if len(part) == 0:
        return 0.0
    embedded = model.embed(part).detach()
    with torch.no_grad():
        best = model.score_embeddings(embedded, part)[:, 1:].argmax(dim=1)

    def objective(at: torch.Tensor) -> torch.Tensor:
        return _margin(model.score_embeddings(at, part)[:, 1:], best)

    first, second = _gradient(objective, embedded), _gradient(objective, embedded)
    mask = torch.from_numpy(part.items != 0).to(embedded.device).unsqueeze(-1)
    first, second = first * mask, second * mask
    size = first.flatten(1).norm(dim=1)
    repeats = (first - second).flatten(1).norm(dim=1) <= SAME * size
    direction = first / size.clamp_min(torch.finfo(size.dtype).tiny)[:, None, None]
    reach = (embedded * mask).flatten(1).norm(dim=1) / mask.sum(dim=(1, 2)).clamp_min(1).sqrt()
    agrees = size == 0
    with torch.no_grad():
        for step in STEPS:
            length = (step * reach).clamp_min(torch.finfo(size.dtype).tiny)
            moved = length[:, None, None] * direction
            slope = (objective(embedded + moved) - objective(embedded - moved)) / (2 * length)
            agrees |= (slope - size).abs() <= AGREES * size
    return float((~(repeats & agrees)).float().mean())


def changing_answers_share(
    recommender: Recommender, sequences: SequenceBatch, k: int, sample: int = 32, *, again: Recommender | None = None
) -> float:
    """Share of the first `sample` non-empty sequences that get another answer when the same batch is asked again.

    Scores are compared where there are scores, beyond rounding; lists of `k` elsewhere.

    Args:
        again: who is asked the second time, where the same one would remember; by default the same.
    """
    both = (recommender, recommender if again is None else again)
    part = _sample(sequences, sample)
    if len(part) == 0:
        return 0.0
    if "scores" not in capabilities(recommender):
        lists = [np.asarray(asked.recommend(part, k)) for asked in both]
        return float((lists[0] != lists[1]).any(axis=1).mean())
    first, second = (np.asarray(cast(Scorer, asked).score(part), dtype=np.float64)[:, 1:] for asked in both)
    finite = np.isfinite(first) & np.isfinite(second)
    spread = np.where(finite, first, -np.inf).max(axis=1) - np.where(finite, first, np.inf).min(axis=1)
    apart = np.abs(np.where(finite, first, 0) - np.where(finite, second, 0)).max(axis=1) > SAME * np.maximum(spread, 0)
    return float((apart | ((first != second) & ~finite).any(axis=1)).mean())


def _sample(sequences: SequenceBatch, most: int) -> SequenceBatch:
    return sequences[np.flatnonzero(sequences.lengths > 0)[:most]]


def _margin(scores: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
    """[B], the score of item `best` less the mean of the finite scores: it moves where a saturated loss does not."""
    import torch

    finite = torch.isfinite(scores)
    mean = torch.where(finite, scores, 0.0).sum(dim=1) / finite.sum(dim=1).clamp_min(1)
    return scores.gather(1, best[:, None])[:, 0] - mean


def _gradient(objective: Callable[[torch.Tensor], torch.Tensor], embedded: torch.Tensor) -> torch.Tensor:
    """[B, L, D]; zero where the objective does not depend on the embedded sequence."""
    import torch

    at = embedded.clone().requires_grad_(True)
    value = objective(at)
    if not value.requires_grad:
        return torch.zeros_like(embedded)
    (gradient,) = torch.autograd.grad(value.sum(), at, allow_unused=True)
    return torch.zeros_like(embedded) if gradient is None else gradient
