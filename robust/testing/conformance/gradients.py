"""Checks of a white-box recommender: its embeddings, their gradient, and its training loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from robust.errors import NotApplicable
from robust.log import SequenceBatch
from robust.recommenders.protocols import Differentiable
from robust.testing.conformance.base import Check, require
from robust.testing.conformance.subject import Recommended

if TYPE_CHECKING:
    from torch import Tensor


STEPS = (1e-3, 3e-4, 1e-4)
"""Of finite differences, as shares of the embeddings' size. Longer steps suffer from curvature (a layer norm of small
embeddings turns within 1%) and shorter ones from rounding, 1e-7 of the scores: 1e-3 of a slope. Where two neighbours
agree best, both errors are small, and their distance says how small (Ridders 1982)."""


def _white_box(subject: Recommended) -> Differentiable:
    if "gradients" not in subject.able:
        raise NotApplicable("takes no embeddings")
    return cast(Differentiable, subject.model)


def _embeddings(subject: Recommended) -> None:
    import torch

    model, sequences = _white_box(subject), subject.sequences[:16]
    with torch.no_grad():
        embedded, table = model.embed(sequences), model.item_embeddings
        padding = torch.from_numpy(sequences.items == 0).to(embedded.device)
        require(not bool((embedded[padding] != 0).any()), "Padding has an embedding other than zero.")
        looked_up = table[torch.from_numpy(sequences.items.astype(np.int64)).to(table.device)]
        same = torch.allclose(embedded[~padding], looked_up[~padding].to(embedded), rtol=1e-5, atol=1e-7)
        require(same, "A sequence is embedded by other rows than those of item_embeddings.")
        scores = model.score_embeddings(embedded, sequences).cpu().numpy()[:, 1:]
        subject.same(subject.answers(sequences), scores, "from embeddings that nobody changed")
        junk = embedded + padding.unsqueeze(-1) * 1e3
        subject.same(scores, model.score_embeddings(junk, sequences).cpu().numpy()[:, 1:], "with noise at the padding")
        backwards = torch.arange(len(sequences) - 1, -1, -1, device=embedded.device)
        turned = model.score_embeddings(embedded[backwards], sequences[backwards.cpu().numpy()]).cpu().numpy()[:, 1:]
        subject.same(scores[::-1], turned, "from embeddings, in the reverse order of rows")


def _gradient(subject: Recommended) -> None:
    """Along a random direction over all positions, over the newest alone, and over all but the newest."""
    import torch

    model, sequences = _white_box(subject), subject.sequences[:8]
    embedded = model.embed(sequences).detach()
    with torch.no_grad():
        first = model.score_embeddings(embedded, sequences)[:, 1:].argmax(dim=1, keepdim=True)

    def value(point: Tensor) -> Tensor:
        scores = model.score_embeddings(point, sequences)[:, 1:].double()
        return torch.log_softmax(scores, dim=1).gather(1, first).sum()

    at = embedded.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(value(at), at)
    generator = torch.Generator().manual_seed(subject.seed)
    filled = torch.from_numpy(sequences.items != 0).unsqueeze(-1)
    newest = torch.zeros_like(filled)
    newest[:, -1] = True
    for mask, where in ((filled, "all positions"), (filled & newest, "the newest"), (filled & ~newest, "older ones")):
        toward = (torch.randn(embedded.shape, generator=generator) * mask).to(embedded)
        if not bool(mask.any()):
            continue
        toward /= toward.norm()
        promised = float((slope * toward).sum())
        slopes = np.array([_slope(value, embedded, toward, share) for share in STEPS])
        apart = np.abs(np.diff(slopes))
        best = int(apart.argmin())
        found, unsure = float(slopes[best + 1]), float(apart[best])
        close = abs(found - promised) <= 0.1 * max(abs(found), abs(promised)) + unsure + 1e-3
        said = f"Along a random direction over {where} the gradient says {promised:.4g}, finite differences"
        require(close, f"{said} {found:.4g}.")


def _slope(value: Callable[[Tensor], Tensor], at: Tensor, toward: Tensor, share: float) -> float:
    """The central difference along a direction of length 1, over a step of this share of the embeddings' size."""
    import torch

    step = share * float(at.norm())
    with torch.no_grad():
        return float(value(at + step * toward) - value(at - step * toward)) / (2 * step)


def _loss_of(subject: Recommended) -> Any:
    if "loss" not in subject.able:
        raise NotApplicable("has no loss over positions")
    return cast(Any, subject.model)


def _future(subject: Recommended) -> None:
    """By gradient, and by value: a loss may look at ids as well as at embeddings."""
    import torch

    rng, model = np.random.default_rng(subject.seed), _loss_of(subject)
    n_items, context = int(model.n_items), min(subject.context or 8, 8)
    for shown in {context, max(context - 2, 1)}:
        items = subject.random(4, context).items * (np.arange(context) >= context - shown)
        sequences = SequenceBatch(items)
        for column in range(context - shown, context - 1):
            targets = np.zeros(items.shape, np.int32)
            targets[:, column] = rng.integers(1, n_items + 1, size=4)
            embedded = model.embed(sequences).detach().requires_grad_(True)
            value = model.loss(sequences, targets, embedded)
            (slope,) = torch.autograd.grad(value, embedded)
            later = float(slope[:, column + 1 :].abs().max())
            require(later == 0, f"The loss at position {column + 1} depends on later items (slope {later:.3g}).")
            others = items.copy()
            others[:, column + 1 :] = items[:, column + 1 :] % n_items + 1
            with torch.no_grad():
                here, there = (float(model.loss(SequenceBatch(these), targets)) for these in (items, others))
            said = f"The loss at position {column + 1} is {here:.6g}, and {there:.6g} with other items after it."
            require(abs(here - there) <= 1e-5 * max(abs(here), 1.0), said)


def _loss(subject: Recommended) -> None:
    """Training and inference see the newest position alike, and the loss goes by what is ranked."""
    import torch

    model = _loss_of(subject)
    width = subject.context or 8
    for sequences in (subject.random(8, width), padded_rows(subject.random(8, width)), subject.random(8, 1)):
        scores = np.asarray(model.score(sequences))[:, 1:]
        best, worst = ((choose(scores, axis=1) + 1).astype(np.int32) for choose in (np.argmax, np.argmin))
        with torch.no_grad():
            last = np.zeros(sequences.items.shape, np.int32)
            last[:, -1] = best
            alone, among = float(model.loss(sequences, best)), float(model.loss(sequences, last))
            said = f"The loss after the newest item is {alone:.6g}, but {among:.6g} as one of all positions."
            require(abs(alone - among) <= 1e-4 * max(abs(alone), 1.0), said)
            other = float(model.loss(sequences, worst))
            said = (
                f"Its loss is {alone:.4g} for the items that it ranks first, {other:.4g} for those that it ranks last."
            )
            require(alone < other, said)


def padded_rows(sequences: SequenceBatch) -> SequenceBatch:
    """The same rows, every second one without its older half."""
    hidden = (np.arange(len(sequences))[:, None] % 2 == 0) & (np.arange(sequences.width) < sequences.width // 2)
    return sequences.with_items(np.where(hidden, 0, sequences.items))


GRADIENTS: tuple[Check[Recommended], ...] = (
    Check("embeddings", "Scores from unchanged embeddings are its scores, and padding is not read.", _embeddings),
    Check("gradient", "Its gradient is the slope of its scores.", _gradient),
    Check("future", "The loss at a position does not depend on later items.", _future),
    Check("loss", "The loss of the newest position is that of its ranking.", _loss),
)
