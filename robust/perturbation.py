"""Perturbing embedded sequences: norms per position, projections, projected gradient ascent, and the way back to items.

An attack (`pgd`) and a training defence (`adversarial-embeddings`) share this one ascent. Embeddings and deltas have
shape [B, L, D]; a budget is a radius ε per position, in l2 or linf, in the units of the embedding space.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robust.log import SequenceBatch
from robust.threat import Norm

BYTE_LIMIT = 1 << 27
"""What one chunk of users may take, roughly, with all that a gradient keeps alive."""

TINY = 1e-12
"""Keeps a quotient by a size of 0 finite; what stands above it is 0 then."""


def chunk_rows(width: int, dimension: int, n_items: int, limit: int = BYTE_LIMIT) -> int:
    """Sequences to take at once, so that scores [B, n_items + 1] and activations [B, L, D] stay within `limit` bytes.

    A gradient keeps about 4 copies of the scores and 24 of the embedded sequence (two attention blocks) alive.
    """
    per_row = 4 * (4 * (n_items + 1) + 24 * width * dimension)
    return max(limit // per_row, 1)


def padding_mask(sequences: SequenceBatch) -> Tensor:
    """float32 [B, L, 1], 1 at items and 0 at padding."""
    return torch.from_numpy((sequences.items != 0).astype("float32")).unsqueeze(-1)


def radius(deltas: Tensor, norm: Norm) -> Tensor:
    """[B, L], the size of each position's delta."""
    size: Tensor = torch.linalg.vector_norm(deltas, ord=2 if norm == "l2" else torch.inf, dim=-1)
    return size


def project(deltas: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """The nearest deltas whose every position lies within ε."""
    if norm == "linf":
        return deltas.clamp(-epsilon, epsilon)
    size: Tensor = torch.linalg.vector_norm(deltas, dim=-1, keepdim=True)
    return deltas * (epsilon / size.clamp_min(TINY)).clamp(max=1.0)


def ascent_direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The steepest step of size 1 per position: g/‖g‖₂ for l2, sign(g) for linf; 0 where the gradient is 0."""
    if norm == "linf":
        return gradient.sign()
    # by the largest entry first: squares of a saturated model's gradient would underflow
    largest = gradient.abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
    scaled = gradient / largest
    size: Tensor = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / size.clamp_min(TINY)


def random_in_ball(like: Tensor, epsilon: float, norm: Norm, generator: torch.Generator) -> Tensor:
    """Uniform in the ball of radius ε, independently per position."""
    if norm == "linf":
        return (torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device) * 2 - 1) * epsilon
    share = torch.rand((*like.shape[:-1], 1), generator=generator, dtype=like.dtype, device=like.device)
    return random_on_sphere(like, epsilon, norm, generator) * share ** (1 / like.shape[-1])


def random_on_sphere(like: Tensor, epsilon: float, norm: Norm, generator: torch.Generator) -> Tensor:
    """A random direction per position, of size exactly ε: uniform on the sphere (l2), a random corner (linf)."""
    if norm == "linf":
        corner = torch.randint(0, 2, like.shape, generator=generator, device=like.device)
        return (corner.to(like.dtype) * 2 - 1) * epsilon
    direction = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    return ascent_direction(direction, norm) * epsilon


def ascend(
    objective: Callable[[Tensor], Tensor],
    embeddings: Tensor,
    mask: Tensor,
    *,
    epsilon: float,
    norm: Norm,
    steps: int,
    step_size: float,
    start: Tensor | None = None,
) -> Tensor:
    """Projected gradient ascent (Madry et al., ICLR 2018), normalised and projected per position.

    Args:
        objective: what to raise, from embeddings [B, L, D]; a value per row [B], or one for all of them.
        embeddings: [B, L, D], held constant. mask: [B, L, 1], 0 at padding, which is never moved.
        epsilon: radius per position. step_size: size of one step, in the same units.
        start: deltas to begin with (within ε); None begins at 0.

    Returns:
        Deltas [B, L, D], detached: the last iterate.
    """
    fixed = embeddings.detach()
    delta = torch.zeros_like(fixed) if start is None else start.detach() * mask
    for _ in range(steps):
        moved = delta.requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(fixed + moved).sum(), moved)
        step = delta.detach() + step_size * ascent_direction(gradient * mask, norm)
        delta = project(step, epsilon, norm) * mask
    return delta.detach()


def neighbour_distance(item_embeddings: Tensor, of: Tensor | None = None, chunk: int = 1024) -> float:
    """Median over items of the distance (l2) to the nearest other item, the natural unit of ε.

    Items with the very same embedding (never trained, say) are one point, not neighbours at distance 0.

    Args:
        item_embeddings: [n_items + 1, D], row 0 = padding, which is left out.
        of: item ids over which to take the median; None means all.

    Returns:
        0.0 if there are no two items with different embeddings.
    """
    # float64, since ‖a‖² + ‖b‖² − 2ab cancels where two items are close
    table = item_embeddings.detach()[1:].to(torch.float64)
    if len(table) < 2:
        return 0.0
    asked = table if of is None else table[of - 1]
    squares = table.square().sum(dim=1)
    same = 1e-12 * float(squares.max())
    nearest = []
    for part in torch.split(asked, chunk):
        squared = part.square().sum(dim=1, keepdim=True) + squares - 2 * part @ table.T
        squared = squared.masked_fill(squared <= same, torch.inf)
        nearest.append(squared.amin(dim=1).sqrt())
    found = torch.cat(nearest)
    found = found[torch.isfinite(found)]
    return float(found.median()) if len(found) else 0.0


def project_onto_items(embeddings: Tensor, mask: Tensor, item_embeddings: Tensor, chunk: int = 1024) -> Tensor:
    """int64 [B, L], the real item nearest (l2) to each embedded position, 0 at padding: what a user could type."""
    table = item_embeddings.detach()[1:]
    half_squares = table.square().sum(dim=1) / 2
    points = embeddings.detach().reshape(-1, embeddings.shape[-1])
    nearest = [(part @ table.T - half_squares).argmax(dim=1) for part in torch.split(points, chunk)]
    items = torch.cat(nearest).reshape(embeddings.shape[:2]) + 1
    return items * (mask.squeeze(-1) != 0)
