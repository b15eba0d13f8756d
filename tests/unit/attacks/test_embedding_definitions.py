"""Attacks on embeddings against their papers' definitions: closed forms, finite differences, a schedule by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robust.attacks.embedding.adaptive import checkpoints, climb
from robust.attacks.embedding.apgd import APGD
from robust.attacks.embedding.fgsm import FGSM
from robust.attacks.embedding.item_table import ItemTable
from robust.attacks.embedding.noise import Noise
from robust.attacks.embedding.pgd import PGD
from robust.attacks.embedding.universal import Universal
from robust.attacks.objective import Loss, Objective, objective_for
from robust.errors import NotApplicable
from robust.perturbation import Ball
from robust.threat import Budget, Degrade, Demote, Promote
from tests.toys import LinearBag, random_sequences, view

MODEL = LinearBag()
SEQUENCES = random_sequences(16, 8, 30, seed=4)
BUDGETS = [
    Budget(epsilon=0.3, unit="absolute"),
    Budget(epsilon=0.3, unit="absolute", norm="linf"),
    Budget(epsilon=0.3, unit="absolute", per="sequence"),
]
every_budget = pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.norm}-{b.per}")
LOSSES: list[Loss] = ["ce", "dlr", "margin"]


def slopes(target: int) -> NDArray[np.float64]:
    """float [B, D], the gradient of −log softmax of a target by Σ_j w_j e_j, by hand."""
    scores = MODEL.score(SEQUENCES)[:, 1:].astype(np.float64)
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    share[:, target - 1] -= 1
    return np.asarray(share @ MODEL.output[1:].double().numpy())


def weights() -> NDArray[np.float64]:
    """float [B, L, 1], w_j at items, 0 at padding."""
    return np.asarray((MODEL.weights.double().numpy() * (SEQUENCES.items != 0))[:, :, None])


@every_budget
def test_fgsm_is_its_closed_form(budget: Budget) -> None:
    gradient = weights() * slopes(5)[:, None]
    if budget.norm == "linf":
        expected = np.sign(gradient)
    else:
        axes = (1, 2) if budget.per == "sequence" else 2
        expected = gradient / np.maximum(np.sqrt((gradient**2).sum(axis=axes, keepdims=True)), 1e-300)
    outcome = FGSM()(view(MODEL), SEQUENCES, Demote(items=(5,)), budget, np.random.default_rng(0))
    np.testing.assert_allclose(outcome.deltas.numpy(), 0.3 * expected, atol=2e-6)
    assert outcome.queries == len(SEQUENCES)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_one_step_on_the_table_is_adversarial_personalised_ranking(norm: Any) -> None:
    """Δ_i = ε Γ_i/‖Γ_i‖: a row's gradient is the sum over all places where the item stands."""
    gradient = np.zeros(MODEL.table.shape)
    np.add.at(gradient, SEQUENCES.items, weights() * slopes(5)[:, None])
    gradient[0] = 0
    size = np.sqrt((gradient**2).sum(axis=1, keepdims=True))
    expected = np.sign(gradient) if norm == "linf" else gradient / np.maximum(size, 1e-300)
    budget = Budget(epsilon=0.3, unit="absolute", norm=norm)
    outcome = ItemTable(steps=1)(view(MODEL), SEQUENCES, Demote(items=(5,)), budget, np.random.default_rng(0))
    assert outcome.table is not None
    np.testing.assert_allclose(outcome.table.numpy(), 0.3 * expected, atol=2e-6)
    assert torch.equal(outcome.deltas, outcome.table[torch.from_numpy(SEQUENCES.items.astype(np.int64))])
    assert outcome.queries == 2 * len(SEQUENCES), "one gradient, and one look at what it reached"


def test_losses_by_hand() -> None:
    scores = torch.tensor([[-torch.inf, 4.0, 1.0, 2.0, 0.5], [-torch.inf, 0.0, 3.0, 1.0, 2.0]])
    labels = torch.tensor([[2, 4], [2, 0]])
    # row 1: the best that is neither 2 nor 4 has 4; row 2: its only label is first, the next has 2
    margin = torch.tensor([((4 - 1) + (4 - 0.5)) / 2, 2.0 - 3.0])
    torch.testing.assert_close(Objective(labels, 1, "margin")(scores), margin)
    torch.testing.assert_close(Objective(labels, -1, "margin")(scores), -margin)
    # from the first to the third: 4 − 1, and 3 − 1
    torch.testing.assert_close(Objective(labels, 1, "dlr")(scores), margin / torch.tensor([3.0, 2.0]))
    two = Objective(torch.tensor([[1]]), 1, "dlr")(torch.tensor([[-torch.inf, 1.0, 5.0]]))
    assert float(two) == pytest.approx(1.0), "of two items, the second stands for the third"


@pytest.mark.parametrize("loss", LOSSES)
def test_slopes_of_losses_are_finite_differences(loss: Loss) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 9, generator=generator, dtype=torch.float64).requires_grad_(True)
    objective = Objective(torch.randint(1, 9, (5, 2), generator=generator), 1, loss)
    (slope,) = torch.autograd.grad(objective(scores).sum(), scores)
    assert not bool(slope[:, 0].any())
    for column in range(9):
        step = torch.zeros_like(scores)
        step[:, column] = 1e-6
        found = (objective(scores + step) - objective(scores - step)).detach() / 2e-6
        torch.testing.assert_close(slope[:, column], found, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("loss", ["dlr", "margin"])
def test_dlr_ignores_scale_and_both_ignore_offset(loss: Loss) -> None:
    scores = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    objective = Objective(torch.full((6, 1), 3), 1, loss)
    torch.testing.assert_close(objective(scores + 5), objective(scores), atol=1e-5, rtol=1e-5)
    scale = 1.0 if loss == "dlr" else 7.0
    torch.testing.assert_close(objective(scores * 7), objective(scores) * scale)


def test_a_margin_needs_a_rival() -> None:
    everything = Promote(items=tuple(range(1, 31)))
    with pytest.raises(NotApplicable, match="needs an item that is no label"):
        objective_for(view(MODEL), SEQUENCES, everything, "margin")
    assert objective_for(view(MODEL), SEQUENCES, everything).sign == -1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("goal", [Promote(items=(5, 9)), Demote(items=(5,)), Degrade()], ids=lambda g: g.kind)
def test_apgd_raises_the_loss_that_it_is_told(loss: Loss, goal: Any) -> None:
    def reached(attack: Any) -> float:
        deltas = attack(view(MODEL), SEQUENCES, goal, BUDGETS[0], np.random.default_rng(0)).deltas
        scores = MODEL.score_embeddings(MODEL.embed(SEQUENCES) + deltas, SEQUENCES)
        return float(objective_for(view(MODEL), SEQUENCES, goal, loss)(scores).mean())

    assert reached(APGD(loss=loss, steps=20)) > reached(Noise(tries=21)) + 0.1


def test_checkpoints_of_the_paper() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [3, 5, 6, 7, 8, 9, 10]
    assert checkpoints(1) == [1]


def climbed(objective: Any, start: torch.Tensor, ball: Ball, steps: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The best point, and all that were evaluated."""
    visited = []

    def evaluate(deltas: torch.Tensor, gradient: bool) -> tuple[torch.Tensor, torch.Tensor]:
        visited.append(deltas.clone())
        moved = deltas.clone().requires_grad_(True)
        values = objective(moved)
        return values.detach(), torch.autograd.grad(values.sum(), moved)[0] * gradient

    return climb(evaluate, start, torch.ones_like(start), ball, steps=steps)[0], visited


def test_the_schedule_by_hand() -> None:
    """f(x) = −(x − .3)² in [−1, 1] from 0, looked at after every step: η = 2, back, 1, back, ½, on."""
    start = torch.zeros(1, 1, 1)
    best, visited = climbed(lambda x: -((x - 0.3) ** 2).sum(dim=(1, 2)), start, Ball(1.0, "linf"), steps=4)
    # 0 + 2 is clipped to 1 and falls: η = 1, back to 0. There .75 · 1 = .75 falls: η = .5, back to 0. Then .75 · .5
    # rises and stays; from there .375 + .75 (−.5) + .25 (.375 − 0), since the slope has turned
    assert [float(x) for x in visited] == pytest.approx([0, 1, 0.75, 0.375, 0.09375])
    assert float(best) == pytest.approx(0.375)


def reference(objective: Any, start: float, steps: int) -> tuple[list[float], float]:
    """The paper's Algorithm 1 in one dimension, ε = 1, as it is written, with lists of all x_k and f_k."""

    def clip(x: float) -> float:
        return min(max(x, -1.0), 1.0)

    def slope(x: float) -> float:
        return float(np.sign(objective(x + 1e-6) - objective(x - 1e-6)))

    looks = [0, *checkpoints(steps)]
    x, rate = [start, clip(start + 2 * slope(start))], 2.0
    rate_at: dict[int, float] = {}
    f = [objective(x[0]), objective(x[1])]
    visited, best = list(x), list(np.maximum.accumulate(f))
    arg = x[int(np.argmax(f))]
    rises = [f[1] > f[0]]
    for k in range(1, steps + 1):
        if k in looks:
            last = looks[looks.index(k) - 1]
            few = sum(rises[last:k]) < 0.75 * (k - last)
            stalled = rate_at.get(last, rate) == rate and best[k] == best[last]
            rate_at[k] = rate
            if few or stalled:
                rate /= 2
                x[k], f[k] = arg, best[k]
        if k == steps:
            break
        z = clip(x[k] + rate * slope(x[k]))
        x.append(clip(x[k] + 0.75 * (z - x[k]) + 0.25 * (x[k] - x[k - 1])))
        visited.append(x[-1])
        f.append(objective(x[-1]))
        rises.append(f[-1] > f[-2])
        if f[-1] > best[-1]:
            arg = x[-1]
        best.append(max(best[-1], f[-1]))
    return visited, arg


@pytest.mark.parametrize("steps", [5, 10, 30])
def test_many_rows_at_once_climb_as_the_paper_says(steps: int) -> None:
    frequency = np.linspace(0.5, 9, 40)
    start = np.random.default_rng(0).uniform(-1, 1, 40)

    def objective(x: torch.Tensor) -> torch.Tensor:
        at = x.flatten()
        return torch.sin(at * torch.from_numpy(frequency)) - 0.3 * (at - 0.2) ** 2

    best, visited = climbed(objective, torch.from_numpy(start).view(-1, 1, 1), Ball(1.0, "linf"), steps)
    for row, (begin, w) in enumerate(zip(start, frequency, strict=True)):
        points, arg = reference(lambda x, w=w: np.sin(x * w) - 0.3 * (x - 0.2) ** 2, float(begin), steps)
        assert [float(v[row]) for v in visited] == pytest.approx(points, abs=1e-5)
        assert float(best[row]) == pytest.approx(arg, abs=1e-5)


def waves(x: torch.Tensor) -> torch.Tensor:
    """An objective with many maxima."""
    slope = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(2))
    return torch.sin(9 * (x * slope).sum(dim=(1, 2)))


def test_a_climb_keeps_the_best_point_and_stays_inside() -> None:
    for ball in (Ball(0.4), Ball(0.4, "linf"), Ball(0.4, "l2", "sequence")):
        best, visited = climbed(waves, torch.zeros(6, 3, 2), ball, steps=12)
        values = torch.stack([waves(v) for v in visited])
        torch.testing.assert_close(waves(best), values.amax(dim=0))
        assert max(float(ball.size(v).max()) for v in visited) <= 0.4 * (1 + 1e-6)


def test_apgd_asks_one_query_a_step_and_one_for_the_last_point() -> None:
    outcome = APGD(steps=7, restarts=2)(
        view(MODEL), SEQUENCES, Demote(items=(1,)), BUDGETS[0], np.random.default_rng(0)
    )
    assert outcome.queries == 16 * 2 * (7 + 1)
    assert APGD(steps=7, restarts=2).control_attack(BUDGETS[0]) == ("noise", {"tries": 16})


@pytest.mark.parametrize("attack", [PGD(), APGD(), FGSM(), Noise(), Noise(tries=3), Universal(positions=3)], ids=str)
def test_a_radius_per_sequence_bounds_the_whole_and_is_used_up(attack: Any) -> None:
    for norm in ("l2", "linf"):
        budget = Budget(epsilon=0.3, unit="absolute", norm=norm, per="sequence")
        deltas = attack(view(MODEL), SEQUENCES, Demote(items=(5,)), budget, np.random.default_rng(0)).deltas
        size = torch.linalg.vector_norm(deltas.flatten(1), ord=2 if norm == "l2" else torch.inf, dim=1)
        assert float(size.max()) == pytest.approx(0.3, rel=1e-5)
