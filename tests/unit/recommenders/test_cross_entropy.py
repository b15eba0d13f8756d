"""The chunked and the sampled softmax against torch's own cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.recommenders import cross_entropy as module
from robust.recommenders.cross_entropy import Negatives, cross_entropy, sampled_cross_entropy


def tensors(positions: int, items: int, dimension: int = 5, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    hidden = torch.randn(positions, dimension, generator=generator, dtype=torch.float64) * scale
    table = torch.randn(items, dimension, generator=generator, dtype=torch.float64)
    targets = torch.randint(items, (positions,), generator=generator)
    return hidden.requires_grad_(), table.requires_grad_(), targets


@pytest.mark.parametrize("positions", [1, 16, 100])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_value_and_gradients_are_those_of_torch(positions: int, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CPU_CHUNK", 17 * 16)  # several chunks, the last one ragged
    hidden, table, targets = tensors(positions, 17, scale=scale)
    ours, theirs = cross_entropy(hidden, table, targets), F.cross_entropy(hidden @ table.T, targets)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    for a, b in zip(
        torch.autograd.grad(3 * ours, (hidden, table)), torch.autograd.grad(3 * theirs, (hidden, table)), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-12, rtol=1e-9)


def test_gradient_agrees_with_finite_differences() -> None:
    hidden, table, targets = tensors(6, 4, dimension=3)
    assert torch.autograd.gradcheck(lambda h, t: cross_entropy(h, t, targets), (hidden, table))


def test_gradient_of_the_hidden_states_alone() -> None:
    """What an attack on a fitted model needs: its table asks for no gradient."""
    hidden, table, targets = tensors(9, 5)
    (ours,) = torch.autograd.grad(cross_entropy(hidden, table.detach(), targets), hidden)
    (theirs,) = torch.autograd.grad(F.cross_entropy(hidden @ table.T, targets), hidden)
    assert torch.allclose(ours, theirs)


def plain_sampled(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Negatives) -> Tensor:
    """The same estimate, written with [positions, negatives] in memory."""
    positive = (hidden * table[targets]).sum(dim=1, keepdim=True)
    others = hidden @ table[negatives.items].T + negatives.correction
    others = others.masked_fill(targets.unsqueeze(1) == negatives.items, -torch.inf)
    return (torch.logsumexp(torch.cat([positive, others], dim=1), dim=1) - positive.squeeze(1)).mean()


def skewed(items: int, draws: int) -> Negatives:
    weights = torch.arange(1, items + 1, dtype=torch.float64) ** 0.75
    return Negatives.draw(weights, draws, torch.Generator().manual_seed(1))


def test_sampled_softmax_estimates_the_full_one() -> None:
    """With very many negatives from a skewed proposal, log-Q makes the estimate agree with the full softmax."""
    hidden, table, targets = tensors(50, 30)
    estimate = sampled_cross_entropy(hidden, table, targets, skewed(30, 200_000))
    assert estimate.item() == pytest.approx(cross_entropy(hidden, table, targets).item(), rel=0.01)


def test_sampled_value_and_gradients_are_those_of_the_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CPU_CHUNK", 1)  # the smallest chunks
    hidden, table, targets = tensors(50, 30)
    negatives = skewed(30, 12)
    assert 0 < int((negatives.column[targets] >= 0).sum()) < 50  # some targets are among the negatives
    ours = sampled_cross_entropy(hidden, table, targets, negatives)
    theirs = plain_sampled(hidden, table, targets, negatives)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    for a, b in zip(
        torch.autograd.grad(3 * ours, (hidden, table)), torch.autograd.grad(3 * theirs, (hidden, table)), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-12, rtol=1e-9)


def test_negatives_are_distinct_and_know_their_places() -> None:
    negatives = skewed(30, 40)
    assert len(negatives.items.unique()) == len(negatives.items) < 30  # type: ignore[no-untyped-call]
    assert torch.equal(negatives.column[negatives.items], torch.arange(len(negatives.items)))
    assert int((negatives.column >= 0).sum()) == len(negatives.items)


def test_a_negative_that_is_the_target_is_left_out() -> None:
    hidden, table, _ = tensors(3, 4)
    only = Negatives(torch.tensor([2]), torch.zeros(1), torch.tensor([-1, -1, 0, -1]))
    loss = sampled_cross_entropy(hidden, table, torch.tensor([2, 2, 2]), only)
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
