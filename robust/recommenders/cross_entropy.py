"""Softmax cross-entropy over a catalogue of items, without ever holding [positions, items].

Both losses walk over the positions in chunks that stay in the cache, and compute the gradients in the forward pass,
chunk by chunk, since the loss is a scalar: a third of the memory traffic, and none of the memory. They can be
differentiated once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# logits per chunk: 1.5 MB of float32, which stays in a core's second-level cache
_CPU_CHUNK = 400_000
_GPU_CHUNK = 64_000_000


def _chunk_rows(hidden: Tensor, columns: int) -> int:
    return min(max((_GPU_CHUNK if hidden.is_cuda else _CPU_CHUNK) // columns, 16), len(hidden))


def _softmax(logits: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """The softmax of each row, and the logarithm of its denominator.

    log Σ exp(logits) = logit − log softmax of any column; the likeliest one is the best conditioned.
    """
    softmax = torch.softmax(logits, dim=1, out=out)
    return softmax, logits.amax(dim=1) - softmax.amax(dim=1).log_()


class _Full(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, items: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        n, n_items = len(hidden), len(items)
        chunk = _chunk_rows(hidden, n_items)
        logits_buffer, softmax_buffer = hidden.new_empty(2, chunk, n_items)
        wants_hidden, wants_items = ctx.needs_input_grad[:2]
        hidden_gradient = torch.empty_like(hidden) if wants_hidden else None
        items_gradient = torch.zeros_like(items) if wants_items else None
        losses = hidden.new_empty(n)
        for start in range(0, n, chunk):
            rows = hidden[start : start + chunk]
            size = len(rows)
            chosen = targets[start : start + size].unsqueeze(1)
            logits = torch.mm(rows, items.T, out=logits_buffer[:size])
            softmax, normaliser = _softmax(logits, softmax_buffer[:size])
            losses[start : start + size] = normaliser - logits.gather(1, chosen).squeeze(1)
            softmax.scatter_add_(1, chosen, softmax.new_full((size, 1), -1.0))  # now ∂loss/∂logits
            if weights is not None:
                softmax.mul_(weights[start : start + size].unsqueeze(1))
            if hidden_gradient is not None:
                torch.mm(softmax, items, out=hidden_gradient[start : start + size])
            if items_gradient is not None:
                items_gradient.addmm_(softmax.T, rows)
        total = _total(weights, n)
        ctx.gradients = tuple(None if g is None else g.div_(total) for g in (hidden_gradient, items_gradient))
        return losses.mean() if weights is None else losses.mul_(weights).sum() / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(None if g is None else g * gradient for g in ctx.gradients), None, None)


def cross_entropy(hidden: Tensor, items: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the full softmax; equal to `F.cross_entropy(hidden @ items.T, targets)`.

    Args:
        hidden: [N, D], one row per target position. items: [V, D]. targets: int64 [N], rows of `items`.
        weights: [N], constant, for a weighted mean; where their sum is 0, so is the loss.
    """
    loss: Tensor = _Full.apply(hidden, items, targets, weights)  # type: ignore[no-untyped-call]
    return loss


def _total(weights: Tensor | None, n: int) -> float:
    """What a sum over positions is divided by."""
    return n if weights is None else float(weights.sum()) or 1.0


@dataclass(frozen=True)
class Negatives:
    """Items drawn with replacement, for all positions of a step; each item once.

    Attributes:
        items: int64 [m], distinct. correction: float [m], log(times drawn / times expected), added to the logits.
        column: int64 [V], where an item stands in `items`, or −1.
    """

    items: Tensor
    correction: Tensor
    column: Tensor

    @classmethod
    def draw(cls, weights: Tensor, count: int, generator: torch.Generator) -> Negatives:
        """`count` draws with probabilities proportional to `weights` [V]."""
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
        items, times = torch.unique(drawn, return_counts=True)
        expected = count * weights[items] / weights.sum()
        column = torch.full((len(weights),), -1, device=weights.device)
        column[items] = torch.arange(len(items), device=weights.device)
        return cls(items, (times / expected).log(), column)


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        positives: Tensor,
        negatives: Tensor,
        correction: Tensor,
        column: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        n, count = len(hidden), len(negatives)
        chunk = _chunk_rows(hidden, count + 1)
        logits_buffer, softmax_buffer = hidden.new_empty(2, chunk, count + 1)  # column 0: the positive
        hidden_gradient, positives_gradient = torch.empty_like(hidden), torch.empty_like(positives)
        negatives_gradient = torch.zeros_like(negatives)
        losses = hidden.new_empty(n)
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            rows, own = hidden[part], positives[part]
            logits = logits_buffer[: len(rows)]
            logits[:, 1:] = torch.addmm(correction, rows, negatives.T)
            logits[:, 0] = (rows * own).sum(dim=1)
            hit = column[part] >= 0
            logits[hit, column[part][hit] + 1] = -torch.inf
            softmax, normaliser = _softmax(logits, softmax_buffer[: len(rows)])
            losses[part] = normaliser - logits[:, 0]
            softmax[:, 0] -= 1.0  # now ∂loss/∂logits
            if weights is not None:
                softmax.mul_(weights[part].unsqueeze(1))
            missed = softmax[:, :1]
            hidden_gradient[part] = torch.addmm(missed * own, softmax[:, 1:], negatives)
            positives_gradient[part] = missed * rows
            negatives_gradient.addmm_(softmax[:, 1:].T, rows)
        total = _total(weights, n)
        ctx.gradients = tuple(g.div_(total) for g in (hidden_gradient, positives_gradient, negatives_gradient))
        return losses.mean() if weights is None else losses.mul_(weights).sum() / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(g * gradient for g in ctx.gradients), None, None, None)


def sampled_cross_entropy(
    hidden: Tensor, items: Tensor, targets: Tensor, negatives: Negatives, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy with the softmax's denominator estimated from negatives that all positions share.

    Bengio and Senécal 2003; Jean et al. 2015, section 3. exp(s_target) + Σ_j exp(s_j) / (m q_j) over m draws from q
    estimates the denominator, so a negative's logit is corrected by −log(m q_j) ("log-Q"); the target's is not. A
    negative that is the target itself is left out.

    Args:
        hidden: [N, D]. items: [V, D]. targets: int64 [N]. weights: [N], constant, for a weighted mean.
    """
    positives, others = F.embedding(targets, items), F.embedding(negatives.items, items)
    column = negatives.column[targets]
    correction = negatives.correction.to(hidden.dtype)
    loss: Tensor = _Sampled.apply(hidden, positives, others, correction, column, weights)  # type: ignore[no-untyped-call]
    return loss


def candidate_logits(hidden: Tensor, items: Tensor, targets: Tensor, negatives: Negatives | None) -> Tensor:
    """[N, C], the logits whose softmax the losses above are of: all items, or the target first and then the negatives.

    For an objective of its own on what a position predicts. It holds [N, C], which the losses avoid.
    """
    if negatives is None:
        return hidden @ items.T
    positives, others = F.embedding(targets, items), F.embedding(negatives.items, items)
    logits = torch.addmm(negatives.correction.to(hidden.dtype), hidden, others.T)
    column = negatives.column[targets]
    hit = column >= 0
    left_out = torch.zeros_like(logits, dtype=torch.bool)
    left_out[hit, column[hit]] = True
    own = (hidden * positives).sum(dim=1, keepdim=True)
    return torch.cat([own, logits.masked_fill(left_out, -torch.inf)], dim=1)


@torch.no_grad()
def position_losses(hidden: Tensor, items: Tensor, targets: Tensor, negatives: Negatives | None) -> Tensor:
    """[N], the cross-entropy of each position, without a gradient. Arguments as above."""
    columns = len(items) if negatives is None else len(negatives.items) + 1
    losses, size = [], max(_chunk_rows(hidden, columns), 1)
    for start in range(0, len(hidden), size):
        part = slice(start, start + size)
        logits = candidate_logits(hidden[part], items, targets[part], negatives)
        own = targets[part].unsqueeze(1) if negatives is None else torch.zeros_like(targets[part]).unsqueeze(1)
        losses.append(torch.logsumexp(logits, dim=1) - logits.gather(1, own).squeeze(1))
    return torch.cat(losses) if losses else hidden.new_zeros(0)
