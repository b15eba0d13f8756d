"""The chunked and the sampled softmax against torch's own cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.recommenders import cross_entropy as module
from robust.recommenders.cross_entropy import (
    Negatives,
    candidate_logits,
    cross_entropy,
    position_losses,
    sampled_cross_entropy,
)


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


def sampled_losses(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Negatives) -> Tensor:
    """[N], as `plain_sampled`, without the mean."""
    return torch.stack(
        [plain_sampled(hidden[i : i + 1], table, targets[i : i + 1], negatives) for i in range(len(hidden))]
    )


def uneven(positions: int) -> Tensor:
    """Weights, some of them 0."""
    drawn = torch.rand(positions, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.where(drawn < 0.3, 0.0, drawn)


@pytest.mark.parametrize("sampled", [False, True])
def test_a_weighted_loss_and_its_gradients_are_those_of_the_formula(
    sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Σ w ℓ / Σ w, written out."""
    monkeypatch.setattr(module, "_CPU_CHUNK", 1)  # several chunks
    hidden, table, targets = tensors(50, 30)
    weights, negatives = uneven(50), skewed(30, 12)
    if sampled:
        ours = sampled_cross_entropy(hidden, table, targets, negatives, weights)
        losses = sampled_losses(hidden, table, targets, negatives)
    else:
        ours = cross_entropy(hidden, table, targets, weights)
        losses = F.cross_entropy(hidden @ table.T, targets, reduction="none")
    theirs = (losses * weights).sum() / weights.sum()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    for a, b in zip(
        torch.autograd.grad(3 * ours, (hidden, table)), torch.autograd.grad(3 * theirs, (hidden, table)), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("sampled", [False, True])
def test_equal_weights_change_nothing_and_none_leave_no_loss(sampled: bool) -> None:
    hidden, table, targets = tensors(20, 30)
    negatives = skewed(30, 12)

    def loss(weights: Tensor | None) -> Tensor:
        if sampled:
            return sampled_cross_entropy(hidden, table, targets, negatives, weights)
        return cross_entropy(hidden, table, targets, weights)

    sevens, nothing = torch.full((20,), 7.0, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    assert loss(sevens).item() == pytest.approx(loss(None).item(), rel=1e-9)
    assert loss(nothing).item() == 0
    assert all(torch.all(g == 0) for g in torch.autograd.grad(loss(nothing), (hidden, table)))


@pytest.mark.parametrize("sampled", [False, True])
def test_losses_by_position_and_of_logits_are_the_same_loss(sampled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CPU_CHUNK", 1)
    hidden, table, targets = tensors(50, 30)
    negatives = skewed(30, 12) if sampled else None
    logits = candidate_logits(hidden, table, targets, negatives)
    column = torch.zeros_like(targets) if sampled else targets
    of_logits = F.cross_entropy(logits, column, reduction="none")
    found = position_losses(hidden, table, targets, negatives)
    if negatives is None:
        loss, losses = (
            cross_entropy(hidden, table, targets),
            F.cross_entropy(hidden @ table.T, targets, reduction="none"),
        )
    else:
        loss = sampled_cross_entropy(hidden, table, targets, negatives)
        losses = sampled_losses(hidden, table, targets, negatives)
        hit = targets.unsqueeze(1) == negatives.items
        assert torch.equal(torch.isneginf(logits[:, 1:]), hit)
        assert int(hit.sum()) > 0
    assert torch.allclose(of_logits, losses)
    assert torch.allclose(found, losses)
    assert found.mean().item() == pytest.approx(loss.item(), rel=1e-9)
    assert not found.requires_grad
    theirs = torch.autograd.grad(of_logits.mean(), (hidden, table))
    for a, b in zip(torch.autograd.grad(loss, (hidden, table)), theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-12, rtol=1e-9)


def test_no_positions_have_no_losses() -> None:
    hidden, table, targets = tensors(1, 5)
    assert position_losses(hidden[:0], table, targets[:0], None).shape == (0,)
