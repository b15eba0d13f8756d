"""Guards: the surprise by hand, what is dropped, and how a recommender behaves behind one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robust.defense import GuardedRecommender, InputGuard, close_gaps
from robust.defenses.guards.surprise import Surprise
from robust.defenses.guards.transitions import Transitions
from robust.errors import NotApplicable, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import capabilities
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences


class Dropper(InputGuard):
    """Drops one item everywhere; or does what a guard must not, if told so."""

    name: ClassVar[str] = "dropper"
    source: ClassVar[str] = "test"
    item: int = 1
    into: int = 0

    def calibrate(self, log: InteractionLog, seed: int) -> Dropper:
        return self

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(sequences.items == self.item, np.int32(self.into), sequences.items)


LOG = chain_log(users=50)
MODEL = LinearBag()


def behind(guard: InputGuard, model: Any = MODEL) -> GuardedRecommender:
    protected = guard.protect(model, log=LOG, seed=0)
    assert isinstance(protected, GuardedRecommender)
    return protected


BATCH = SequenceBatch([[0, 0, 1, 2, 3], [4, 1, 5, 1, 6], [0, 0, 0, 1, 1], [2, 3, 4, 5, 6], [0, 0, 0, 0, 0]])
CLEANED = SequenceBatch([[0, 0, 0, 2, 3], [0, 0, 4, 5, 6], [0, 0, 0, 0, 1], [2, 3, 4, 5, 6], [0, 0, 0, 0, 0]])


def test_a_guarded_recommender_answers_as_for_the_cleaned_input() -> None:
    guarded = behind(Dropper())
    assert guarded.recommend(BATCH, 5).tolist() == MODEL.recommend(CLEANED, 5).tolist()
    assert np.array_equal(guarded.score(BATCH), MODEL.score(CLEANED))
    scores = guarded.score_embeddings(guarded.embed(BATCH), BATCH)
    torch.testing.assert_close(scores, MODEL.score_embeddings(MODEL.embed(CLEANED), CLEANED))


def test_times_move_with_their_items() -> None:
    seen: list[SequenceBatch] = []

    class Watch(LinearBag):
        def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
            seen.append(sequences)
            return super().recommend(sequences, k)

    timed = SequenceBatch([[4, 1, 5]], timestamps=[[10, 20, 30]])
    behind(Dropper(), Watch()).recommend(timed, 2)
    assert seen[0].items.tolist() == [[0, 4, 5]]
    assert seen[0].timestamps is not None
    assert seen[0].timestamps.tolist() == [[0, 10, 30]]


def test_gradients_of_kept_positions_are_true_and_of_dropped_ones_unguarded() -> None:
    guarded = behind(Dropper())
    embeddings = MODEL.embed(BATCH).requires_grad_(True)
    weights = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((guarded.score_embeddings(embeddings, BATCH)[:, 1:] * weights).sum(), embeddings)
    kept = torch.from_numpy(guarded.kept(BATCH))
    # kept: finite differences of the guarded scores, each coordinate of a linear model moved by 1
    for row, position in kept.nonzero().tolist():
        for axis in range(6):
            moved = MODEL.embed(BATCH)
            moved[row, position, axis] += 1.0
            change = guarded.score_embeddings(moved, BATCH) - guarded.score_embeddings(MODEL.embed(BATCH), BATCH)
            expected = float((change[:, 1:] * weights).sum())
            assert float(gradient[row, position, axis]) == pytest.approx(expected, abs=1e-3)
    # dropped: what the plain model has there
    plain = MODEL.embed(BATCH).requires_grad_(True)
    (open_,) = torch.autograd.grad((MODEL.score_embeddings(plain, BATCH)[:, 1:] * weights).sum(), plain)
    dropped = torch.from_numpy(BATCH.items == 1) & ~kept
    assert int(dropped.sum()) == 4
    torch.testing.assert_close(gradient[dropped], open_[dropped])
    assert bool((gradient[torch.from_numpy(BATCH.items == 0)] == 0).all())


def test_the_newest_item_survives_a_guard_that_drops_everything() -> None:
    assert behind(Dropper()).kept(SequenceBatch([[0, 1, 1]])).tolist() == [[False, False, True]]


def test_a_guard_may_only_drop() -> None:
    with pytest.raises(RobustError, match="may only drop items"):
        behind(Dropper(into=2)).recommend(BATCH, 3)


def test_only_capabilities_that_are_honoured_are_offered() -> None:
    assert capabilities(behind(Dropper())) == {"lists", "scores", "gradients"}
    assert capabilities(behind(Dropper(), ListsOnly(MODEL))) == {"lists"}
    with pytest.raises(NotApplicable, match="needs train rows"):
        Dropper().protect(MODEL, seed=0)


def test_surprise_by_hand() -> None:
    log = InteractionLog.from_columns([0, 0, 0, 1, 1], [1, 2, 3, 1, 2], range(5), n_items=3)
    seen = Transitions.count(log, smoothing=0.5)
    prior = np.array([0, 3, 3, 2]) / 8  # (rows of the item + 1) / (5 rows + 3 items)
    after_1 = (2 + 0.5 * prior[2]) / (2 + 0.5)  # 1 → 2 twice of twice
    before_2 = (2 + 0.5 * prior[1]) / (2 + 0.5)  # 2 entered twice, both from 1
    before_3 = (1 + 0.5 * prior[2]) / (1 + 0.5)
    surprise = seen.surprise(np.array([[0, 1, 2, 3], [0, 0, 0, 2]], dtype=np.int32))
    assert surprise[0, 1] == pytest.approx(-np.log(before_2))
    assert surprise[0, 2] == pytest.approx(-(np.log(after_1) + np.log(before_3)) / 2)
    assert np.isneginf(surprise[0, 0])
    assert np.isneginf(surprise[1]).all(), "no neighbour, no surprise"
    # its own pair left out, 2 → 3 was never seen: only the prior speaks
    own = seen.own_surprise(log)
    assert len(own) == 5
    assert own[2] == pytest.approx(-np.log(0.5 * prior[3] / 0.5))


def test_conditionals_sum_to_one() -> None:
    seen = Transitions.count(chain_log(noise=0.3), smoothing=1.0)
    items = np.array([[7, x] for x in range(1, 21)], dtype=np.int32)
    assert np.exp(-seen.surprise(items)[:, 1]).sum() == pytest.approx(1.0)
    assert np.exp(-seen.surprise(items[:, ::-1].copy())[:, 0]).sum() == pytest.approx(1.0)


def test_the_threshold_is_the_clean_quantile_out_of_sample() -> None:
    guard = Surprise(rate=0.05).calibrate(chain_log(users=400, noise=0.2, seed=1), 0)
    fresh = guard.surprise(chain_log(users=400, noise=0.2, seed=2).sequences(15))
    above = np.mean(fresh[np.isfinite(fresh)] > guard.threshold)
    assert above == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(("length", "most"), [(2, 0), (3, 1), (10, 1), (19, 1), (20, 2)])
def test_at_most_a_tenth_is_dropped_and_at_least_one_may_be(length: int, most: int) -> None:
    guard = Surprise().calibrate(chain_log(), 0)
    broken = np.random.default_rng(0).integers(1, 21, size=(40, length))
    dropped = (guard.guard(SequenceBatch(broken)) == 0).sum(axis=1)
    assert dropped.max() == most


def test_a_planted_substitute_is_dropped_and_its_neighbours_stay() -> None:
    guard = Surprise(rate=0.01).calibrate(chain_log(noise=0.02), 0)
    clean = chain_log(users=100, seed=5).sequences(10)
    items = clean.items.copy()
    items[:, 5] = (items[:, 5] + 9) % 20 + 1
    left = guard.guard(SequenceBatch(items))
    assert np.mean(left[:, 5] == 0) > 0.95
    assert np.mean(np.delete(left, 5, axis=1) == 0) < 0.01
    assert np.mean(guard.guard(clean) == 0) < 0.02


def test_an_uncalibrated_guard_says_so() -> None:
    with pytest.raises(RobustError, match="calibrate"):
        Surprise().guard(random_sequences(2, 5, 20))
    nothing = InteractionLog.from_columns([0], [1], [0], n_items=20)
    quiet = Surprise().calibrate(nothing, 0)
    assert np.array_equal(quiet.guard(BATCH), BATCH.items), "nothing learnt, nothing dropped"


def test_gaps_close_to_the_right_in_order() -> None:
    assert close_gaps(np.array([[3, 0, 1, 0], [0, 0, 0, 5]], dtype=np.int32)).tolist() == [[0, 0, 3, 1], [0, 0, 0, 5]]
