"""User-wise weights in the loss, by how likely each user is to be genuine, updated while training.

After LoRec: Zhang et al., "LoRec: Combating Poisons with Large Language Model for Robust Sequential Recommendation",
SIGIR 2024: a calibrator reads each user's sequence in the recommender's own item embeddings, and what a language model
says of it, and lowers the weight of users that it takes for fraudsters in the recommender's loss.

Known deviations: of the paper, only the weights by user that follow the recommender's training are left. Its calibrator
is a classifier, trained on simulated fraudsters with labels; here **no label exists**, and nothing is simulated. Ours
is the likelihood: a user's features are

    the mean loss of their windows, against the median of the batch        how its loss varies over positions
    the mean and the spread of log popularity over their items             their number of rows, as a logarithm
    coherence: the mean cosine of consecutive items in the current item table (the plain encoder that takes the place
    of the language model)

each as a robust z-score, (x − median) / (1.4826 MAD) over all users, and with d² their mean square the weight is
Cauchy's, w = 1 / (1 + d² / c²) (Holland and Welsch, "Robust Regression Using Iteratively Reweighted Least-Squares",
Communications in Statistics 1977). Both tails count: fakes may be easy or hard to fit. A feature that is the same for
half of the users says nothing. Weights are 1 until `warm_up` is over, then renewed twenty times in a fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robust.defense import TrainingDefense
from robust.defenses.training.loop import train_by
from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from robust.recommenders.objective import Step

RENEWALS = 20
REMEMBERED = 0.5
"""What is left of a user's older losses when a window of theirs is seen again."""


class Reweighting(TrainingDefense):
    """Trains with less weight on users who are unlike the others.

    Attributes:
        scale: c, the distance at which a weight is one half; 2.385 is 95% efficient where all users are alike.
        warm_up: share of the fit's steps for which all weights are 1.
    """

    name: ClassVar[str] = "reweighting"
    source: ClassVar[str] = "after Zhang et al., SIGIR 2024 (arXiv 2401.17723); weights: Holland and Welsch, 1977"
    weaknesses: ClassVar[str] = (
        "Takes what is unusual for what is fake: fakes that copy genuine profiles in length, popularity and coherence "
        "keep their weight, and genuine users of unusual taste lose some of theirs, attacked or not. Who knows the "
        "features can stay in their middle. Much weaker than a calibrator that knows attacks."
    )
    assumptions: ClassVar[str] = "Fake users are a minority that stands out by its losses or its profiles."

    scale: float = Field(default=2.385, gt=0)
    warm_up: float = Field(default=0.3, ge=0, le=1)

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` by its own loop, with weights that follow it.

        Raises:
            NotApplicable: its training loop does not take an objective.
        """
        weights = Weights(log, self.scale, self.warm_up)
        return train_by(self.name, recommender, log, seed=seed, share=share, objective=weights.objective)


class Weights:
    """The weights of one fit.

    Attributes:
        now: float32 [n_users].
    """

    def __init__(self, log: InteractionLog, scale: float, warm_up: float) -> None:
        self.log, self.scale, self.warm_up = log, scale, warm_up
        self.now = np.ones(log.n_users, np.float32)
        self._losses = np.full((2, log.n_users), np.nan)  # mean and spread; NaN until a user is seen
        popularity = np.log(np.maximum(log.popularity[log.item], 1))
        mean = _per_user(log.user, popularity, log.n_users)
        spread = np.sqrt(np.maximum(_per_user(log.user, popularity**2, log.n_users) - mean**2, 0))
        length = np.where(log.lengths > 0, np.log(np.maximum(log.lengths, 1)), np.nan)
        self._profile = np.stack([mean, spread, length])

    def objective(self, step: Step) -> Tensor:
        """The weighted mean loss of a batch, whose losses are noted."""
        users = step.users.cpu().numpy()
        self._note(users, step.losses(step.embeddings.detach()), step.rows, len(users))
        start, every = self.warm_up * step.of, max(step.of // RENEWALS, 1)
        if step.number < start:
            return step.loss(step.embeddings)
        if (step.number - int(np.ceil(start))) % every == 0:
            self._renew(step.table.detach().cpu().numpy())
        weights = torch.from_numpy(self.now[users]).to(step.embeddings.device)
        return step.loss(step.embeddings, weights[step.rows])

    def _note(self, users: NDArray[np.int64], losses: Tensor, rows: Tensor, count: int) -> None:
        found, row = losses.double().cpu().numpy(), rows.cpu().numpy()
        mean = _per_user(row, found, count)
        spread = np.sqrt(np.maximum(_per_user(row, found**2, count) - mean**2, 0))
        new = np.stack([mean - np.nanmedian(mean), spread])
        old = self._losses[:, users]
        # of two windows of one user in a batch the later counts
        self._losses[:, users] = np.where(np.isnan(old), new, REMEMBERED * old + (1 - REMEMBERED) * new)

    def _renew(self, table: NDArray[np.float32]) -> None:
        features = np.stack([*self._losses, *self._profile, coherence(self.log, table)])
        self.now = cauchy(robust_z(features), self.scale).astype(np.float32)


def coherence(log: InteractionLog, table: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 [n_users], the mean cosine of consecutive items; NaN for users of fewer than two rows."""
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    pairs = np.flatnonzero(log.user[1:] == log.user[:-1])
    cosine = np.einsum("nd,nd->n", unit[log.item[pairs]], unit[log.item[pairs + 1]])
    return _per_user(log.user[pairs], cosine, log.n_users)


def robust_z(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [features, n_users], (x − median) / (1.4826 MAD); 0 where unknown, or where half of all x are equal."""
    known = ~np.isnan(features)
    z = np.zeros(features.shape)
    for row, (feature, there) in enumerate(zip(features, known, strict=True)):
        if there.any():
            apart = feature[there] - np.median(feature[there])
            spread = 1.4826 * float(np.median(np.abs(apart)))
            z[row, there] = apart / spread if spread > 1e-9 else 0.0
    return z


def cauchy(z: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """float64 [n_users], 1 / (1 + d² / c²), d² the mean square of z [features, n_users]."""
    return np.asarray(1 / (1 + (z**2).mean(axis=0) / scale**2))


def _per_user(user: NDArray[Any], values: NDArray[Any], n_users: int) -> NDArray[np.float64]:
    """float64 [n_users], the mean of each user's values; NaN where there are none."""
    count = np.bincount(user, minlength=n_users)
    total = np.bincount(user, weights=values, minlength=n_users)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
