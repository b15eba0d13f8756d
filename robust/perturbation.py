"""Perturbing embedded sequences: the ball of allowed deltas, projected gradient ascent, and the way back to items.

Attacks and a training defence (`adversarial-embeddings`) share this ball and this ascent. Embeddings and deltas have
shape [B, L, D]; a budget is a radius ε in l2 or linf, per position or per sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.log import SequenceBatch
from robust.threat import Budget, Norm, Per

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


@dataclass(frozen=True)
class Ball:
    """Where deltas [B, L, D] may lie: within ε of 0, per position or per sequence. Padding neither counts nor moves.

    Attributes:
        epsilon: the radius, in the units of the embedding space. norm: `l2` or `linf`.
        per: what the radius bounds: each `position`, or a `sequence`'s delta as one vector. In linf they are the same.
    """

    epsilon: float
    norm: Norm = "l2"
    per: Per = "position"

    @classmethod
    def of(cls, budget: Budget) -> Ball:
        """What a budget of an absolute ε allows; only the origin where it allows none."""
        return cls(budget.epsilon or 0.0, budget.norm, budget.per)

    @property
    def _axes(self) -> tuple[int, ...]:
        """The axes over which one vector extends."""
        return (-1,) if self.per == "position" or self.norm == "linf" else (-2, -1)

    def size(self, deltas: Tensor) -> Tensor:
        """[B, L], the size of each position's delta, or [B] per sequence (in linf, the largest entry)."""
        axes = (-1,) if self.per == "position" else (-2, -1)
        size: Tensor = torch.linalg.vector_norm(deltas, ord=2 if self.norm == "l2" else torch.inf, dim=axes)
        return size

    def project(self, deltas: Tensor) -> Tensor:
        """The nearest deltas inside."""
        if self.norm == "linf":
            return deltas.clamp(-self.epsilon, self.epsilon)
        size: Tensor = torch.linalg.vector_norm(deltas, dim=self._axes, keepdim=True)
        return deltas * (self.epsilon / size.clamp_min(TINY)).clamp(max=1.0)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The steepest step of size 1: g/‖g‖₂ for l2, sign(g) for linf; 0 where the gradient is 0."""
        if self.norm == "linf":
            return gradient.sign()
        # by the largest entry first: squares of a saturated model's gradient would underflow
        largest = gradient.abs().amax(dim=self._axes, keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
        scaled = gradient / largest
        size: Tensor = torch.linalg.vector_norm(scaled, dim=self._axes, keepdim=True)
        return scaled / size.clamp_min(TINY)

    def random_inside(self, like: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the ball, independently per position or sequence.

        Args:
            like: [B, L, D], for shape, type and device. mask: [B, L, 1], 0 at padding, where the draw is 0.
        """
        if self.norm == "linf":
            drawn = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
            return (drawn * 2 - 1) * self.epsilon * mask
        single = [1 if axis - like.ndim in self._axes else length for axis, length in enumerate(like.shape)]
        share = torch.rand(single, generator=generator, dtype=like.dtype, device=like.device)
        dimensions: Tensor | int = like.shape[-1]
        if self.per == "sequence":
            dimensions = dimensions * mask.sum(dim=-2, keepdim=True).clamp_min(1)
        return self.random_on_surface(like, mask, generator) * share ** (1 / dimensions)

    def random_on_surface(self, like: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """A random direction of size exactly ε: uniform on the sphere (l2), a random corner (linf)."""
        if self.norm == "linf":
            corner = torch.randint(0, 2, like.shape, generator=generator, device=like.device)
            return (corner.to(like.dtype) * 2 - 1) * self.epsilon * mask
        direction = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.steepest(direction * mask) * self.epsilon * mask


def ascend(
    objective: Callable[[Tensor], Tensor],
    embeddings: Tensor,
    mask: Tensor,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    start: Tensor | None = None,
) -> Tensor:
    """Projected gradient ascent (Madry et al., ICLR 2018), each step normalised and projected as the ball says.

    Args:
        objective: what to raise, from embeddings [B, L, D]; a value per row [B], or one for all of them.
        embeddings: [B, L, D], held constant. mask: [B, L, 1], 0 at padding, which is never moved.
        step_size: size of one step, in the units of the ball.
        start: deltas to begin with (inside); None begins at 0.

    Returns:
        Deltas [B, L, D], detached: the last iterate.
    """
    fixed = embeddings.detach()
    delta = torch.zeros_like(fixed) if start is None else start.detach() * mask
    for _ in range(steps):
        moved = delta.requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(fixed + moved).sum(), moved)
        delta = ball.project(delta.detach() + step_size * ball.steepest(gradient * mask)) * mask
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
