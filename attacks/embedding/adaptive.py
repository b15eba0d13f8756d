"""Gradient ascent whose step size adapts to each row: the algorithm of APGD, over any evaluation.

Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks", ICML
2020 (arXiv 2003.01690), Algorithm 1 and section 3 (from memory). With η = 2ε at first and α = .75:

    z ← Π(x_k + η s(∇f(x_k))),   x_{k+1} ← Π(x_k + α (z − x_k) + (1 − α)(x_k − x_{k−1})),   x_1 without the momentum

and after w_j = ⌈p_j N⌉ steps (p_0 = 0, p_1 = .22, p_{j+1} = p_j + max(p_j − p_{j−1} − .03, .06)) a row whose objective
rose in fewer than 75% of the steps since w_{j−1}, or whose best has not moved since then at an unchanged η, halves its
η and goes on from its best point.

Known deviations: the released code (auto-attack, commit a392200) rounds checkpoints down, halves at 75% too, counts its
first interval against a row of zeros, and compares a row that went back to its best with the value that it left; here
as in the paper. ART 1.20.1 counts steps that beat the best instead of the step before, returns the last point instead
of the best, and leaves the random start where the label did not fall.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robust.perturbation import Ball

MOMENTUM, RISING = 0.75, 0.75
"""α, and the share ρ of steps that must improve."""

Evaluate = Callable[[Tensor, bool], tuple[Tensor, Tensor]]
"""From deltas [R, L, D], and whether the gradient is wanted, to values [R] and a gradient [R, L, D]."""


def checkpoints(steps: int) -> list[int]:
    """After which steps the step size is looked at: w_1, w_2, …, each once."""
    shares = [0, 22]  # in hundredths, which are exact
    while (following := shares[-1] + max(shares[-1] - shares[-2] - 3, 6)) <= 100:
        shares.append(following)
    return sorted({-(-share * steps // 100) for share in shares[1:]})


def climb(evaluate: Evaluate, start: Tensor, mask: Tensor, ball: Ball, *, steps: int) -> tuple[Tensor, Tensor]:
    """The best deltas [R, L, D] found, row by row, and their values [R].

    Args:
        start: deltas [R, L, D] inside the ball. mask: broadcasts to them, 0 where nothing moves.
        steps: gradients, each at one point; the last point is evaluated without one.
    """
    looks = checkpoints(steps)
    point = previous = start.detach() * mask
    value, gradient = evaluate(point, True)
    best, best_value, best_gradient = point, value, gradient
    step_size = torch.full((len(point), 1, 1), 2 * ball.epsilon, dtype=point.dtype, device=point.device)
    rises, last_look, best_then = torch.zeros_like(value), 0, value
    halved = torch.zeros_like(value, dtype=torch.bool)
    for step in range(1, steps + 1):
        ahead = ball.project(point + step_size * ball.steepest(gradient * mask)) * mask
        if step > 1:
            ahead = ball.project(point + MOMENTUM * (ahead - point) + (1 - MOMENTUM) * (point - previous)) * mask
        previous, point, before = point, ahead, value
        value, gradient = evaluate(point, step < steps)
        rises = rises + (value > before)
        better = value > best_value
        best, best_gradient = _either(better, point, best), _either(better, gradient, best_gradient)
        best_value = torch.where(better, value, best_value)
        if step in looks:
            stalls = ~halved & (best_value == best_then)
            halved = (rises < RISING * (step - last_look)) | stalls
            step_size = _either(halved, step_size / 2, step_size)
            point, gradient = _either(halved, best, point), _either(halved, best_gradient, gradient)
            value = torch.where(halved, best_value, value)
            rises, last_look, best_then = torch.zeros_like(value), step, best_value
    return best, best_value


def _either(chosen: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Row by row."""
    return torch.where(chosen[:, None, None], one, other)
