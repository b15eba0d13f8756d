"""Projections, ascent and the way back to items, against brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from robust.log import SequenceBatch
from robust.perturbation import (
    ascend,
    ascent_direction,
    chunk_rows,
    neighbour_distance,
    padding_mask,
    project,
    project_onto_items,
    radius,
    random_in_ball,
    random_on_sphere,
)
from robust.threat import Norm

NORMS: list[Norm] = ["l2", "linf"]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", NORMS)
def test_projection_is_the_nearest_point_of_the_ball(norm: Norm) -> None:
    deltas = noise(4, 5, 3) * 2
    projected = project(deltas, 0.7, norm)
    assert float(radius(projected, norm).max()) <= 0.7 * (1 + 1e-6)
    inside = radius(deltas, norm) <= 0.7
    assert torch.equal(projected[inside], deltas[inside])
    # no other point of the ball is nearer
    others = random_in_ball(deltas.repeat(200, 1, 1), 0.7, norm, torch.Generator().manual_seed(1))
    far = (others.reshape(200, 4, 5, 3) - deltas).norm(dim=-1).amin(dim=0)
    assert bool(((deltas - projected).norm(dim=-1) <= far + 1e-6).all())


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_direction_gains_most_among_steps_of_its_size(norm: Norm) -> None:
    gradient = noise(1, 6, 4)
    best = (ascent_direction(gradient, norm) * gradient).sum(dim=-1)
    others = random_on_sphere(gradient.repeat(500, 1, 1), 1.0, norm, torch.Generator().manual_seed(2))
    assert bool(((others * gradient).sum(dim=-1) <= best + 1e-5).all())


@pytest.mark.parametrize("norm", NORMS)
def test_no_gradient_no_direction_and_tiny_gradients_keep_theirs(norm: Norm) -> None:
    assert torch.equal(ascent_direction(torch.zeros(1, 1, 3), norm), torch.zeros(1, 1, 3))
    gradient = noise(1, 4, 3)
    torch.testing.assert_close(ascent_direction(gradient * 1e-30, norm), ascent_direction(gradient, norm))


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_fill_the_ball_and_noise_lies_on_its_surface(norm: Norm) -> None:
    like = torch.empty(300, 20, 3)
    inside = radius(random_in_ball(like, 2.0, norm, torch.Generator().manual_seed(0)), norm).flatten()
    # uniform in three dimensions: the share within r of R is (r/R)³
    assert float((inside < 1.0).float().mean()) == pytest.approx(0.125, abs=0.02)
    surface = radius(random_on_sphere(like, 2.0, norm, torch.Generator().manual_seed(0)), norm)
    torch.testing.assert_close(surface, torch.full_like(surface, 2.0))


@pytest.mark.parametrize("norm", NORMS)
def test_ascent_of_a_linear_objective_reaches_its_maximum(norm: Norm) -> None:
    slope, embeddings, mask = noise(3, 4, 5), noise(3, 4, 5, seed=1), torch.ones(3, 4, 1)
    mask[0, :2] = 0
    deltas = ascend(
        lambda e: (e * slope).sum(dim=(1, 2)), embeddings, mask, epsilon=0.5, norm=norm, steps=5, step_size=0.25
    )
    # the maximum of g·δ over the ball is ε times the dual norm of g
    dual = slope.norm(dim=-1) if norm == "l2" else slope.abs().sum(dim=-1)
    torch.testing.assert_close((deltas * slope).sum(dim=-1), 0.5 * dual * mask.squeeze(-1))
    assert bool((deltas[0, :2] == 0).all())


def test_ascent_leaves_its_inputs_and_parameters_without_gradient() -> None:
    weight = torch.ones(3, requires_grad=True)
    embeddings = noise(2, 2, 3).requires_grad_(True)
    deltas = ascend(
        lambda e: (e * weight).sum(), embeddings, torch.ones(2, 2, 1), epsilon=1.0, norm="l2", steps=2, step_size=1.0
    )
    assert weight.grad is None
    assert embeddings.grad is None
    assert not deltas.requires_grad


def test_neighbour_distance_is_the_median_of_nearest_distances() -> None:
    table = noise(201, 6)
    distances = cdist(table[1:].double(), table[1:].double())
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(distances.min(axis=1))
    expected = nearest[(len(nearest) - 1) // 2]  # torch takes the lower of two medians
    assert neighbour_distance(table) == pytest.approx(expected, rel=1e-6)
    assert neighbour_distance(table, chunk=7) == pytest.approx(expected, rel=1e-6)
    some = torch.tensor([3, 9, 77])
    assert neighbour_distance(table, of=some) == pytest.approx(np.median(distances.min(axis=1)[some - 1]), rel=1e-6)


def test_items_with_one_embedding_are_not_neighbours() -> None:
    table = torch.tensor([[0.0], [1.0], [1.0], [1.0], [4.0]])
    assert neighbour_distance(table) == 3.0
    assert neighbour_distance(torch.ones(9, 2)) == 0.0
    assert neighbour_distance(torch.zeros(1, 2)) == 0.0


def test_projection_onto_items_finds_the_nearest_by_brute_force() -> None:
    table, points = noise(40, 5), noise(3, 7, 5, seed=3)
    mask = torch.ones(3, 7, 1)
    mask[1, :3] = 0
    expected = cdist(points.reshape(-1, 5), table[1:]).argmin(axis=1).reshape(3, 7) + 1
    expected[1, :3] = 0
    assert project_onto_items(points, mask, table, chunk=4).tolist() == expected.tolist()


def test_masks_and_chunks() -> None:
    assert padding_mask(SequenceBatch([[0, 3], [1, 2]])).squeeze(-1).tolist() == [[0, 1], [1, 1]]
    assert chunk_rows(50, 64, 3416) >= 64
    assert chunk_rows(200, 64, 10**7) == 1
