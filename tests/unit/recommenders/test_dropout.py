"""Dropout from random bytes: its rate, its expectation, its gradient, and that nothing global is touched."""

from __future__ import annotations

import pytest
import torch

from robust.recommenders.dropout import OFF, Dropout


def test_rate_and_rescale_are_exact() -> None:
    values = torch.ones(1000, 1000)
    dropped = Dropout(0.2, torch.Generator().manual_seed(1))(values)
    kept = 205 / 256  # 0.2 is rounded to 51 of 256
    assert set(dropped.flatten().tolist()) == {0.0, torch.tensor(1 / kept).item()}
    assert float((dropped != 0).float().mean()) == pytest.approx(kept, abs=4 * (kept * (1 - kept) / 1e6) ** 0.5)


def test_every_byte_of_a_word_drops_alike() -> None:
    """The sign bit of a random word must not favour every eighth element."""
    dropped = Dropout(0.75, torch.Generator().manual_seed(2))(torch.ones(100_000, 8))
    share = (dropped != 0).double().mean(dim=0)
    assert torch.allclose(share, torch.full((8,), 0.25, dtype=torch.float64), atol=4 * (0.1875 / 1e5) ** 0.5)


def test_gradient_flows_through_kept_elements_only() -> None:
    values = torch.ones(64, 7, requires_grad=True)
    dropped = Dropout(0.5, torch.Generator().manual_seed(3))(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert torch.equal(gradient, dropped.detach())


def test_off_is_the_identity() -> None:
    values = torch.randn(3, generator=torch.Generator().manual_seed(0))
    assert OFF(values) is values


def test_same_generator_state_same_mask_and_global_state_untouched() -> None:
    before = torch.random.get_rng_state()
    first = Dropout(0.3, torch.Generator().manual_seed(9))(torch.ones(999))
    second = Dropout(0.3, torch.Generator().manual_seed(9))(torch.ones(999))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())
