"""Means over seeds and users, their two variance components, and the half-width that they give.

The mean of S seeds × n users varies with the seeds drawn and with the users drawn. With A = var(seed means)/S and
B = var(user means)/n, the half-width at one-sided α is sqrt(t²_{S−1}·A + t²_{n−1}·B): seeds are few, so they get
their own t quantile. Simulated in docs/statistics.md; Satterthwaite's single t undercovers at 2 and 3 seeds.

Where a user is missing in some seeds (targets are redrawn per seed, and who holds them all has no exposure), the mean
is the mean over seeds of the mean over the users present, and B is the variance of its linearisation: user u moves the
mean by Σ_s (y_su − M_s)/(S·n_s) over the seeds s where u is present. With nobody missing this is var(user means)/n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, NotApplicable

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of V variables measured on the same users under the same seeds.

    Attributes:
        mean: [V]. seeds: [V, V], the covariance A of the mean that seeds cause (0 with one seed).
        users: [V, V], the covariance B of the mean that users cause. n_seeds, n_users: how many of each.
        seed_degrees: of freedom, of what seeds cause; n_seeds − 1 where none are given.
    """

    mean: Float
    seeds: Float
    users: Float
    n_seeds: int
    n_users: int
    seed_degrees: float | None = None

    def project(self, weights: Float) -> tuple[float, float, float]:
        """Mean, A and B of the linear combination Σ_v weights_v · variable_v."""
        return (
            float(weights @ self.mean),
            max(float(weights @ self.seeds @ weights), 0.0),
            max(float(weights @ self.users @ weights), 0.0),
        )

    def half_width(self, seeds: float, users: float, alpha: float) -> float:
        """sqrt(t²·A + t²·B) at one-sided `alpha`; negative for alpha above .5, where both quantiles are."""
        sign = 1.0 if alpha <= 0.5 else -1.0
        tail = min(alpha, 1.0 - alpha)
        total = quantile(tail, self.n_users - 1) ** 2 * users
        if self.n_seeds > 1:
            degrees = self.n_seeds - 1 if self.seed_degrees is None else self.seed_degrees
            total += quantile(tail, degrees) ** 2 * seeds
        return sign * float(np.sqrt(total))


def quantile(alpha: float, degrees: float) -> float:
    """The upper `alpha` quantile of Student's t."""
    from scipy.special import stdtrit

    return -float(stdtrit(degrees, alpha))


def moments(variables: Float) -> Moments:
    """Moments of float [V, S, n]; NaN marks a user missing under a seed, in all V variables alike.

    Raises:
        InputError: a wrong shape, or an alien NaN.
        NotApplicable: under some seed nobody is left to measure.
    """
    _check(variables)
    missing = np.isnan(variables)
    if missing.any():
        variables = variables[:, :, ~missing[0].all(axis=0)]
    _, n_seeds, n_users = variables.shape
    if n_users == 1:
        raise NotApplicable("there is one user to measure, and an interval over users needs two")
    seed_means, influence = _parts(variables)
    users = influence @ influence.T * (n_users / (n_users - 1))
    return Moments(seed_means.mean(axis=1), _seed_covariance(seed_means), users, n_seeds, n_users)


def two_samples(first: Float, second: Float, weights: Float) -> Moments:
    """Moments of the variables of two runs over the same users under seeds of their own, [V1 + V2] of them.

    What seeds cause is independent between the runs; what users cause is not, and is taken together. A run of one seed
    is one fixed model, which adds no spread of seeds. Their degrees of freedom are Welch's, for seeds alone.

    Args:
        first, second: float [V1, S1, n] and [V2, S2, n], the same users in the same order; NaN as for `moments`.
        weights: [V1 + V2], the combination of means that is judged, to which the degrees of freedom belong.

    Raises:
        InputError, NotApplicable: as `moments`; or other numbers of users.
    """
    for block in (first, second):
        _check(block)
    if first.shape[2] != second.shape[2]:
        raise InputError(f"The two runs must have the same users; got {first.shape[2]} and {second.shape[2]}.")
    present = ~(np.isnan(first[0]).all(axis=0) & np.isnan(second[0]).all(axis=0))
    n_users = int(present.sum())
    if n_users < 2:
        raise NotApplicable("there are fewer than two users to measure, and an interval over users needs two")
    means, influences = zip(*(_parts(block[:, :, present]) for block in (first, second)), strict=True)
    influence = np.concatenate(influences)
    blocks = [_seed_covariance(own) for own in means]
    parts = [float(w @ own @ w) for own, w in zip(blocks, np.split(weights, [len(first)]), strict=True)]
    seeds = np.zeros((len(influence), len(influence)))
    seeds[: len(first), : len(first)], seeds[len(first) :, len(first) :] = blocks
    counts = [first.shape[1], second.shape[1]]
    mean = np.concatenate([own.mean(axis=1) for own in means])
    users = influence @ influence.T * (n_users / (n_users - 1))
    varied = min((count for count in counts if count > 1), default=1)
    return Moments(mean, seeds, users, varied, n_users, _welch(parts, counts))


def _welch(variances: Sequence[float], counts: Sequence[int]) -> float | None:
    """Degrees of freedom of a sum of independent variances of means (Welch, 1947); None where nothing varies."""
    terms = [part**2 / (count - 1) for part, count in zip(variances, counts, strict=True) if count > 1]
    return sum(variances) ** 2 / sum(terms) if sum(terms) > 0 else None


def _check(variables: Float) -> None:
    if variables.ndim != 3 or 0 in variables.shape[:2]:
        raise InputError(f"Measurements have shape [S seeds, n users]; got {variables.shape[1:]}.")
    missing = np.isnan(variables)
    if missing.any() and (missing != missing[:1]).any():
        raise InputError("A user missing in one arm must be missing in the other.")


def _parts(variables: Float) -> tuple[Float, Float]:
    """Seed means [V, S], and how each user moves the grand mean [V, n] (0 where missing)."""
    _, n_seeds, n_users = variables.shape
    present = ~np.isnan(variables[0])  # [S, n]
    counts = present.sum(axis=1)
    if n_users < 2 or counts.min() < 1:
        raise NotApplicable(
            f"there is nobody to measure under seed {int(counts.argmin())}: every user holds all the targets"
            if n_users
            else "there is nobody to measure: no evaluated user is left"
        )
    filled = variables if present.all() else np.where(present, variables, 0.0)
    seed_means = filled.sum(axis=2) / counts  # [V, S]
    weights = 1.0 / (n_seeds * counts)
    influence: Float = np.einsum("vsn,s->vn", filled, weights) - (seed_means * weights) @ present  # [V, n]
    return seed_means, influence


def _seed_covariance(seed_means: Float) -> Float:
    """Covariance [V, V] of the grand mean that seeds cause; 0 with one seed."""
    n_variables, n_seeds = seed_means.shape
    around = seed_means - seed_means.mean(axis=1)[:, None]
    if n_seeds == 1:
        return np.zeros((n_variables, n_variables))
    covariance: Float = around @ around.T / (n_seeds * (n_seeds - 1))
    return covariance


def with_pseudo_users(variables: Float, values: tuple[float, ...]) -> Float:
    """Float [V, S, n + 2]: two more users that have these values, one per variable, under every seed."""
    extra = np.broadcast_to(np.asarray(values, dtype=np.float64)[:, None, None], (*variables.shape[:2], 2))
    return np.concatenate([variables, extra], axis=2)


def as_matrix(values: Any, what: str) -> Float:
    """Float64 [S, n] out of [S, n] or [n] (one seed)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.shape[0] == 0:
        raise InputError(f"{what}: expected numbers of shape [S seeds, n users], got {array.shape}.")
    return array
