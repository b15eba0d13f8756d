"""Projections, ascent and the way back to items, against brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from robust.log import SequenceBatch
from robust.perturbation import Ball, ascend, chunk_rows, neighbour_distance, padding_mask, project_onto_items

BALLS = [Ball(0.7, "l2"), Ball(0.7, "linf"), Ball(0.7, "l2", "sequence"), Ball(0.7, "linf", "sequence")]
every_ball = pytest.mark.parametrize("ball", BALLS, ids=lambda ball: f"{ball.norm}-{ball.per}")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def everywhere(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like[..., :1])


def vectors(deltas: torch.Tensor, ball: Ball) -> torch.Tensor:
    """[vectors, entries], what ε bounds, laid out by hand."""
    return deltas.reshape(-1, deltas.shape[-1]) if ball.per == "position" else deltas.flatten(1)


@every_ball
def test_size_is_the_norm_of_what_the_radius_bounds(ball: Ball) -> None:
    deltas = noise(4, 5, 3)
    rows = vectors(deltas, ball).numpy()
    expected = np.linalg.norm(rows, ord=2 if ball.norm == "l2" else np.inf, axis=1)
    np.testing.assert_allclose(ball.size(deltas).flatten().numpy(), expected, rtol=1e-6)


@every_ball
def test_projection_is_the_nearest_point_of_the_ball(ball: Ball) -> None:
    deltas = noise(4, 5, 3) * (1.0 if ball.norm == "linf" else 0.4)
    projected = ball.project(deltas)
    assert float(ball.size(projected).max()) <= 0.7 * (1 + 1e-6)
    inside = ball.size(deltas) <= 0.7
    assert torch.equal(projected[inside], deltas[inside])
    assert not bool(inside.all())
    assert bool(inside.any()) or ball.per == "sequence"
    # no other point of the ball is nearer
    near = vectors(deltas - projected, ball).norm(dim=1)
    for seed in range(100):
        other = ball.random_inside(deltas, everywhere(deltas), generator(seed))
        assert bool((vectors(deltas - other, ball).norm(dim=1) >= near - 1e-6).all())
        # nor is one on the way from the projection to it: the ball is convex
        other = projected + 0.01 * (other - projected)
        assert bool((vectors(deltas - other, ball).norm(dim=1) >= near - 1e-6).all())


@every_ball
def test_steepest_direction_gains_most_among_steps_of_its_size(ball: Ball) -> None:
    gradient = noise(1, 6, 4)
    unit = Ball(1.0, ball.norm, ball.per)
    best = vectors(unit.steepest(gradient) * gradient, ball).sum(dim=1)
    for seed in range(300):
        other = unit.random_on_surface(gradient, everywhere(gradient), generator(seed))
        assert bool((vectors(other * gradient, ball).sum(dim=1) <= best + 1e-5).all())
    # the dual norm, by Hölder's inequality
    rows = vectors(gradient, ball)
    torch.testing.assert_close(best, rows.norm(dim=1) if ball.norm == "l2" else rows.abs().sum(dim=1))


@every_ball
def test_no_gradient_no_direction_and_tiny_gradients_keep_theirs(ball: Ball) -> None:
    assert torch.equal(ball.steepest(torch.zeros(1, 1, 3)), torch.zeros(1, 1, 3))
    gradient = noise(1, 4, 3)
    torch.testing.assert_close(ball.steepest(gradient * 1e-30), ball.steepest(gradient))


@every_ball
def test_random_starts_fill_the_ball_and_noise_lies_on_its_surface(ball: Ball) -> None:
    like = torch.empty((6000, 1, 3) if ball.per == "sequence" else (300, 20, 3))
    inside = ball.size(ball.random_inside(like, everywhere(like), generator())).flatten()
    # uniform in three dimensions: the share within r of R is (r/R)³
    assert float((inside < 0.35).float().mean()) == pytest.approx(0.125, abs=0.02)
    surface = ball.size(ball.random_on_surface(like, everywhere(like), generator()))
    torch.testing.assert_close(surface, torch.full_like(surface, 0.7))


def test_padding_neither_counts_nor_moves() -> None:
    """A sequence of two items has the radius, and the dimensions, of two items, however long its padding."""
    like, mask = torch.empty(4000, 6, 2), torch.zeros(4000, 6, 1)
    mask[:, -2:] = 1
    for ball in BALLS:
        for draw in (ball.random_inside, ball.random_on_surface):
            assert not bool(draw(like, mask, generator())[:, :-2].any())
    ball = Ball(1.0, "l2", "sequence")
    surface = ball.random_on_surface(like, mask, generator())
    torch.testing.assert_close(surface.flatten(1).norm(dim=1), torch.ones(4000))
    # four dimensions: the share within half the radius is 1/16
    inside = ball.size(ball.random_inside(like, mask, generator()))
    assert float((inside < 0.5).float().mean()) == pytest.approx(1 / 16, abs=0.015)


@every_ball
def test_ascent_of_a_linear_objective_reaches_its_maximum(ball: Ball) -> None:
    slope, embeddings, mask = noise(3, 4, 5), noise(3, 4, 5, seed=1), torch.ones(3, 4, 1)
    mask[0, :2] = 0
    deltas = ascend(lambda e: (e * slope).sum(dim=(1, 2)), embeddings, mask, ball, steps=5, step_size=0.35)
    # the maximum of g·δ over the ball is ε times the dual norm of g, padding apart
    rows = vectors(slope * mask, ball)
    dual = rows.norm(dim=1) if ball.norm == "l2" else rows.abs().sum(dim=1)
    torch.testing.assert_close(vectors(deltas * slope, ball).sum(dim=1), 0.7 * dual)
    assert bool((deltas[0, :2] == 0).all())


def test_ascent_leaves_its_inputs_and_parameters_without_gradient() -> None:
    weight = torch.ones(3, requires_grad=True)
    embeddings = noise(2, 2, 3).requires_grad_(True)
    deltas = ascend(lambda e: (e * weight).sum(), embeddings, torch.ones(2, 2, 1), Ball(1.0), steps=2, step_size=1.0)
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
