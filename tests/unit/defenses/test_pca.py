"""PCA VarSelect against its definition by brute force, and what is done with the suspicion."""

from __future__ import annotations

import numpy as np
import pytest

from robust.defense import SanitizedRecommender
from robust.defenses.sanitizers.pca import PCAVarSelect
from robust.errors import NotApplicable, RobustError
from robust.log import InteractionLog
from tests.toys import LinearBag, taste_log


@pytest.mark.parametrize(("users", "items"), [(60, 40), (40, 60), (10, 30), (30, 8)])
def test_equal_to_the_eigenvectors_of_the_user_covariance(users: int, items: int) -> None:
    rng = np.random.default_rng(0)
    taste = rng.random((4, items))[rng.integers(0, 4, users)] ** 3
    held = rng.random((users, items)) < taste
    held[:, 0] |= ~held.any(axis=1)
    user, item = np.nonzero(np.repeat(held, 2, axis=1))  # every row twice: an implicit matrix counts once
    log = InteractionLog.from_columns(user, item // 2 + 1, np.arange(len(user)), n_users=users, n_items=items)
    rows = held.astype(float)
    scores = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(np.cov(scores, bias=True))
    expected = (vectors[:, -3:] ** 2).sum(axis=1)
    suspicion = PCAVarSelect().suspicion(log, np.random.default_rng(1))
    np.testing.assert_allclose(-suspicion, expected, atol=1e-6)


def test_the_start_of_the_iteration_makes_no_difference() -> None:
    log = taste_log()
    first, second = (PCAVarSelect().suspicion(log, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_exactly_the_assumed_share_of_active_users_is_removed() -> None:
    log = taste_log(users=100)
    log = log.without_users(np.arange(100) < 20)
    pca = PCAVarSelect(share=0.05)
    suspicion = pca.suspicion(log, np.random.default_rng(0))
    suspects = pca.suspects(suspicion, log)
    assert suspects.sum() == 4  # 5% of the 80 active
    assert not suspects[:20].any()
    assert suspicion[suspects].min() >= suspicion[~suspects & (log.lengths > 0)].max()
    cleaned = pca.clean(log, np.random.default_rng(0))
    assert (cleaned.n_users, cleaned.n_items) == (log.n_users, log.n_items), "vocabularies stay"
    assert np.array_equal(cleaned.lengths == 0, suspects | (log.lengths == 0))


def test_only_what_can_be_fitted_can_be_sanitised() -> None:
    with pytest.raises(NotApplicable, match="can be fitted"):
        PCAVarSelect().protect(LinearBag(), seed=0)


class Fits(LinearBag):
    """Remembers what it was fitted to."""

    fitted_to: InteractionLog | None = None

    def fit(self, log: InteractionLog, *, seed: int) -> Fits:
        new = Fits()
        new.fitted_to = log
        return new


def test_a_sanitised_recommender_fits_the_plain_one_to_what_is_left() -> None:
    log = taste_log(users=100)
    protected = PCAVarSelect(share=0.1).protect(Fits(), seed=3)
    assert isinstance(protected, SanitizedRecommender)
    fitted = protected.fit(log, seed=0)
    assert isinstance(fitted, Fits)
    assert fitted.fitted_to is not None
    assert (fitted.fitted_to.lengths == 0).sum() == 10
    assert protected.capabilities == {"lists", "fit"}


def test_a_broken_sanitiser_is_an_error() -> None:
    class Broken(PCAVarSelect):
        def suspicion(
            self, log: InteractionLog, rng: np.random.Generator
        ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            return np.full(log.n_users, np.nan)

    class Greedy(PCAVarSelect):
        def suspects(self, suspicion: object, log: InteractionLog) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            return np.ones(log.n_users, dtype=bool)

    with pytest.raises(RobustError, match="300 NaN"):
        Broken().clean(taste_log(), np.random.default_rng(0))
    with pytest.raises(RobustError, match="would remove every user"):
        Greedy().clean(taste_log(), np.random.default_rng(0))
