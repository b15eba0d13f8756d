"""Training on mixtures of items: neighbours against two loops, simplices, gradients against finite differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.defenses.training.dirichlet import Dirichlet, Sampled, due
from robust.defenses.training.mixed import MixedRepresentations, climbed
from robust.defenses.training.neighbours import Neighbours
from robust.defenses.training.positions import some_positions
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.sasrec import SASRec
from tests.unit.defenses.steps import a_step, step_of, watched


def brute_neighbours(table: np.ndarray[Any, Any], cosine: float, fewest: int) -> tuple[list[set[int]], list[set[int]]]:
    """By two loops: all neighbours of every item, and theirs."""
    first: list[set[int]] = [set()]
    for item in range(1, len(table)):
        similar = {
            other: float(table[item] @ table[other] / np.linalg.norm(table[item]) / np.linalg.norm(table[other]))
            for other in range(1, len(table))
            if other != item
        }
        near = {other for other, value in similar.items() if value >= cosine}
        first.append(near if len(near) >= fewest else set(sorted(similar, key=lambda o: -similar[o])[:fewest]))
    second = [
        set().union(*(first[other] for other in first[item])) - first[item] - {item} for item in range(len(table))
    ]
    return first, second


@pytest.mark.parametrize(("dimension", "cosine", "fewest"), [(3, 0.5, 2), (8, 0.5, 3), (8, 0.99, 2), (2, -1.0, 1)])
def test_neighbours_are_those_of_two_loops(dimension: int, cosine: float, fewest: int) -> None:
    generator = torch.Generator().manual_seed(dimension)
    table = torch.randn(31, dimension, generator=generator)
    table[0] = 0
    found = Neighbours.of(table, cosine=cosine, fewest=fewest, most=30, generator=generator)
    first, second = brute_neighbours(table.double().numpy(), cosine, fewest)
    for item in range(31):
        assert set(found.first[item].tolist()) - {0} == first[item]
        assert set(found.second[item].tolist()) - {0} == second[item]
        for row in (found.first[item], found.second[item]):
            there = row[row > 0]
            assert len(there) == len(set(there.tolist())), "each once"


def test_of_many_neighbours_a_random_few_are_taken() -> None:
    table = torch.randn(61, 3, generator=torch.Generator().manual_seed(0)).abs()  # all similar
    drawn = [
        Neighbours.of(table, cosine=0.2, fewest=2, most=5, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0].first, drawn[1].first)
    assert torch.equal(drawn[0].second, drawn[1].second)
    assert not torch.equal(drawn[0].first, drawn[2].first)
    every, _ = brute_neighbours(table.double().numpy(), 0.2, 2)
    for found in drawn:
        for item in range(1, 61):
            near = set(found.first[item].tolist()) - {0}
            assert len(near) == min(5, len(every[item]))
            assert near <= every[item]
            beyond = set().union(*(set(found.first[n].tolist()) for n in near)) - near - {item, 0}
            far = set(found.second[item].tolist()) - {0}
            assert far <= beyond
            assert len(far) == min(5, len(beyond))


@pytest.mark.parametrize("n_items", [1, 2, 3])
def test_tiny_catalogues_have_the_neighbours_that_there_are(n_items: int) -> None:
    table = F.pad(torch.eye(n_items), (0, 0, 1, 0))
    found = Neighbours.of(table, cosine=0.5, fewest=2, most=25, generator=torch.Generator())
    assert int((found.first > 0).sum()) == n_items * min(n_items - 1, 2)


def test_mixtures_follow_the_dirichlet_distribution() -> None:
    near = Neighbours(torch.tensor([[0, 0]] * 6), torch.tensor([[0, 0]] * 6))
    near.first[1], near.second[1] = torch.tensor([2, 3]), torch.tensor([4, 0])
    draws = Sampled(Dirichlet(alpha=2.0, decay=0.25))
    items, weights = draws.mixtures(near, torch.full((40_000,), 1), torch.Generator().manual_seed(0))
    assert items[0].tolist() == [2, 3, 4, 0]
    assert weights.sum(dim=1).numpy() == pytest.approx(1.0, abs=1e-6)
    assert bool((weights[:, 3] == 0).all())
    # E w = α / Σα and Var w = m (1 − m) / (Σα + 1), with α = 2, 2, ½
    mean = np.asarray([2, 2, 0.5, 0]) / 4.5
    assert weights.mean(dim=0).numpy() == pytest.approx(mean, abs=0.006)
    assert weights.var(dim=0).numpy() == pytest.approx(mean * (1 - mean) / 5.5, abs=0.003)
    alone, one = draws.mixtures(near, torch.tensor([5]), torch.Generator())
    assert (alone[0, 0].item(), one[0].tolist()) == (5, [1.0, 0, 0, 0]), "without neighbours an item stands for itself"


def test_dirichlet_training_reads_mixtures_of_neighbours_at_half_of_the_positions() -> None:
    _, step = a_step(SASRec)
    step, seen = watched(step)
    objective = Sampled(Dirichlet(most=4))
    loss = objective(step)
    assert loss.item() == pytest.approx(step.loss(seen[0]).item(), rel=1e-6)
    changed = (seen[0] != step.embeddings).any(dim=2)
    lengths = step.mask.sum(dim=1)
    assert changed.sum(dim=1).tolist() == [max(1, int(length) // 2) for length in lengths]
    assert objective.neighbours is not None
    table = step.table.detach()
    for row, column in changed.nonzero().tolist():
        item = int(step.items[row, column])
        near = torch.cat([objective.neighbours.first[item], objective.neighbours.second[item]])
        hull = table[near[near > 0]]
        # in the hull: the nearest mixture, by least squares with a penalty on a sum other than 1, is itself
        stacked = torch.cat([hull.T, 100 * torch.ones(1, len(hull))])
        wanted = torch.cat([seen[0][row, column], torch.tensor([100.0])])
        left = stacked @ torch.linalg.lstsq(stacked, wanted[:, None], driver="gelsd").solution[:, 0] - wanted
        assert float(left.norm()) < 1e-3
    before = objective.neighbours
    objective(replace(step, number=1, of=100))
    assert objective.neighbours is before
    objective(replace(step, number=5, of=100))
    assert objective.neighbours is not before


def test_neighbours_are_found_anew_at_even_spaces() -> None:
    assert [step for step in range(100) if due(step, 100, 4)] == [0, 25, 50, 75]
    assert [step for step in range(3) if due(step, 3, 20)] == [0, 1, 2]
    assert sum(due(step, 997, 20) for step in range(997)) == 20


def test_positions_are_a_uniform_choice_of_those_with_an_item() -> None:
    _, step = a_step(BERT4Rec)
    times = torch.zeros(step.mask.shape)
    for _ in range(600):
        row, column = some_positions(step, 0.5)
        assert bool(step.mask[row, column].all())
        drawn = torch.zeros_like(times)
        drawn[row, column] = 1
        assert drawn.sum(dim=1).tolist() == [max(1, int(n) // 2) if n else 0 for n in step.mask.sum(dim=1)]
        times += drawn
    expected = (drawn.sum(dim=1) / step.mask.sum(dim=1).clamp_min(1))[:, None].expand_as(times)
    assert torch.allclose((times / 600)[step.mask], expected[step.mask], atol=0.1)


def test_a_row_climbs_and_stays_on_the_simplex() -> None:
    rng = np.random.default_rng(0)
    rows, gradient = rng.dirichlet(np.ones(7), size=5), rng.normal(size=(5, 7))
    gradient[4] = 0
    got = climbed(torch.from_numpy(rows), torch.from_numpy(gradient), 1.0).numpy()
    for before, slope, after in zip(rows, gradient, got, strict=True):
        length = np.sqrt((slope**2).sum())
        moved = [max(b + (s / length if length else 0.0), 0.0) for b, s in zip(before, slope, strict=True)]
        assert after == pytest.approx(np.asarray(moved) / sum(moved))
    gone = climbed(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]]), 1.0)
    assert gone.tolist() == [[1.0, 0.0]], "a row that would vanish stays"


@pytest.mark.parametrize("items", [5000, 6])
def test_mixtures_lie_on_the_simplex_and_hurt(items: int) -> None:
    _, step = a_step(SASRec, replay=1)
    defense = MixedRepresentations(items=items)
    row, column = some_positions(step, 0.5)
    spanning, own = defense.spanning(step, step.items[row, column])
    assert torch.equal(spanning[own], step.items[row, column])
    assert len(spanning) == 15 if items > 15 else len(spanning) < 15
    rows = defense.worst(step, row, column, spanning, own)
    assert rows.shape == (len(row), len(spanning))
    assert bool((rows >= 0).all())
    assert rows.sum(dim=1).numpy() == pytest.approx(1.0, abs=1e-5)
    with torch.no_grad():
        mixed = step.embeddings.index_put((row, column), rows @ step.table[spanning])
        assert float(step.loss(mixed)) > float(step.loss(step.embeddings))


def test_the_gradient_of_a_row_is_that_of_finite_differences() -> None:
    _, step = a_step(SASRec, replay=1)
    defense = MixedRepresentations(steps=1, step_size=1e-4)
    row, column = torch.tensor([2]), torch.tensor([1])
    spanning, own = defense.spanning(step, step.items[row, column])
    rows = defense.worst(step, row, column, spanning, own)[0]
    table, embeddings = step.table.detach(), step.embeddings.detach()

    def loss(weights: Tensor) -> float:
        return float(step.loss(embeddings.index_put((row, column), (weights @ table[1:])[None])).detach())

    one = F.one_hot(own[0], 15).float()
    slopes = np.asarray([loss(one + 0.2 * e) - loss(one - 0.2 * e) for e in torch.eye(15)])
    others = np.arange(15) != int(own[0])
    raised = rows.numpy()[others]
    assert np.all((raised > 0) == (slopes[others] > 0)) or np.abs(slopes[others]).min() < 1e-3
    up = raised > 0
    assert raised[up] / raised[up].sum() == pytest.approx(slopes[others][up] / slopes[others][up].sum(), abs=0.03)


def test_mixed_training_is_clean_first_and_then_adversarial() -> None:
    model, step = a_step(SASRec)
    clean = MixedRepresentations().objective(step)
    assert clean.item() == step.loss(step.embeddings).item()
    again, seen = watched(step_of(model, replay=1))
    loss = MixedRepresentations().objective(again)
    assert loss.item() > clean.item()
    changed = (seen[-1] != again.embeddings).any(dim=2)
    assert changed.sum(dim=1).tolist() == [max(1, int(n) // 2) for n in again.mask.sum(dim=1)]
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = model.encoder.table.grad
    assert gradient is not None
    assert bool((gradient[1:].norm(dim=1) > 0).all()), "every item of a mixture learns"
