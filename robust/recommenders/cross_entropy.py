"""Softmax cross-entropy over a catalogue of items, without ever holding [positions, items].

`cross_entropy` walks over the positions in chunks that stay in the cache, and computes the gradients in the forward
pass, chunk by chunk, since the loss is a scalar: a third of the memory traffic, and none of the memory.
`sampled_cross_entropy` estimates the softmax's denominator from shared negatives (Bengio and Senécal 2003;
Jean et al. 2015, section 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# logits per chunk: 1.5 MB of float32, which stays in a core's second-level cache
_CPU_CHUNK = 400_000
_GPU_CHUNK = 64_000_000


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        n, n_items = len(hidden), len(items)
        chunk = (_GPU_CHUNK if hidden.is_cuda else _CPU_CHUNK) // n_items
        chunk = min(max(chunk, 16), n)
        logits_buffer = hidden.new_empty(chunk, n_items)
        softmax_buffer = hidden.new_empty(chunk, n_items)
        wants_hidden, wants_items = ctx.needs_input_grad[:2]
        hidden_gradient = torch.empty_like(hidden) if wants_hidden else None
        items_gradient = torch.zeros_like(items) if wants_items else None
        losses = hidden.new_empty(n)
        for start in range(0, n, chunk):
            rows = hidden[start : start + chunk]
            size = len(rows)
            logits = torch.mm(rows, items.T, out=logits_buffer[:size])
            chosen = targets[start : start + size].unsqueeze(1)
            softmax = torch.softmax(logits, dim=1, out=softmax_buffer[:size])
            # log Σ exp(logits) = logit − log softmax of any item; the likeliest one is the best conditioned
            normaliser = logits.amax(dim=1) - softmax.amax(dim=1).log_()
            losses[start : start + size] = normaliser - logits.gather(1, chosen).squeeze(1)
            softmax.scatter_add_(1, chosen, softmax.new_full((size, 1), -1.0))
            if hidden_gradient is not None:
                torch.mm(softmax, items, out=hidden_gradient[start : start + size])
            if items_gradient is not None:
                items_gradient.addmm_(softmax.T, rows)
        ctx.gradients = tuple(None if g is None else g.div_(n) for g in (hidden_gradient, items_gradient))
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, items = ctx.gradients
        return (None if hidden is None else hidden * gradient, None if items is None else items * gradient, None)


def cross_entropy(hidden: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the full softmax; equal to `F.cross_entropy(hidden @ items.T, targets)`.

    Args:
        hidden: [N, D], one row per target position. items: [V, D]. targets: int64 [N], rows of `items`.

    Returns:
        A scalar. It can be differentiated once.
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, items, targets)  # type: ignore[no-untyped-call]
    return loss


def sampled_cross_entropy(
    hidden: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, expected: Tensor
) -> Tensor:
    """Mean cross-entropy with the softmax's denominator estimated from negatives that all positions share.

    exp(s_target) + Σ_j exp(s_j) / (m q_j) over m negatives drawn from q estimates the denominator, so each negative's
    logit is corrected by −log(m q_j) ("log-Q"); the target's is not. A negative that is the target is left out.

    Args:
        hidden: [N, D]. items: [V, D]. targets: int64 [N].
        negatives: int64 [m], drawn with replacement. expected: [m], how often each was expected, m q_j.
    """
    positive = (hidden * torch.nn.functional.embedding(targets, items)).sum(dim=1, keepdim=True)
    logits = hidden @ torch.nn.functional.embedding(negatives, items).T - expected.log()
    logits = logits.masked_fill(targets.unsqueeze(1) == negatives, float("-inf"))
    return (torch.logsumexp(torch.cat([positive, logits], dim=1), dim=1) - positive.squeeze(1)).mean()
