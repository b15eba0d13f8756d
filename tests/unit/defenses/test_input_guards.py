"""Cosine, schema and smoothing guards: by hand, what they drop, and what stands behind them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robust.access import AccessView
from robust.defense import Attacked, GuardedRecommender
from robust.defense.noise import keyed_uniform, keyed_uniform_of
from robust.defenses.guards.neighbour_cosine import NeighbourCosine
from robust.defenses.guards.schema import Schema
from robust.defenses.guards.smoothing import SequenceSmoothing, Smoothed
from robust.errors import NotApplicable, RobustError
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.protocols import capabilities
from robust.threat import Knowledge
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences, taste_log

MODEL = LinearBag()
LOG = chain_log(users=60, n_items=30, noise=0.3)


class Clustered(LinearBag):
    """Items of one taste of `taste_log` lie close together."""

    def __init__(self) -> None:
        super().__init__(n_items=80, dimension=8)
        spread = torch.randn(81, 8, generator=torch.Generator().manual_seed(1)) * 0.3
        centres = torch.eye(8)[:4] * 2
        self.table = spread + centres[(torch.arange(81) - 1).clamp_min(0) // 20]
        self.table[0] = 0


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_cosine_by_hand() -> None:
    guard = NeighbourCosine(window=2).looking_at(MODEL)
    e = MODEL.table.numpy().astype(float)
    found = guard.cosines(np.array([[0, 4, 7, 9, 2], [0, 0, 0, 0, 5]], dtype=np.int32))
    assert found[0, 1] == pytest.approx(cosine(e[4], e[7] + e[9]), abs=1e-5)
    assert found[0, 2] == pytest.approx(cosine(e[7], e[4] + e[9] + e[2]), abs=1e-5)
    assert found[0, 4] == pytest.approx(cosine(e[2], e[9] + e[7]), abs=1e-5)
    assert np.isposinf(found[0, 0]), "padding"
    assert np.isposinf(found[1]).all(), "an item without neighbours is like none"


def test_the_cosines_of_the_log_are_those_of_its_users_histories() -> None:
    """However the log is cut into pieces, and with no neighbour across two users."""
    log = chain_log(users=1500, n_items=30, noise=0.3)
    guard = NeighbourCosine(window=2).looking_at(MODEL)
    own = guard._own_cosines(log)
    whole = guard.cosines(log.sequences(15).items)
    assert len(log) > 16_384
    np.testing.assert_allclose(own, whole[np.isfinite(whole)], atol=1e-6)


def test_the_threshold_is_the_clean_quantile_of_fresh_users() -> None:
    guard = NeighbourCosine(rate=0.05).looking_at(Clustered()).calibrate(taste_log(seed=1), 0)
    fresh = guard.cosines(taste_log(seed=2).sequences(24).items)
    assert np.mean(fresh[np.isfinite(fresh)] < guard.threshold) == pytest.approx(0.05, abs=0.015)


def test_a_strange_item_is_dropped_and_its_neighbours_stay() -> None:
    log = taste_log()
    # one item in ten is another taste's, and half of the log's positions have such a neighbour
    guard = NeighbourCosine(rate=0.1).looking_at(Clustered()).calibrate(log, 0)
    home = SequenceBatch(np.random.default_rng(0).integers(1, 21, size=(50, 9)))
    assert (guard.guard(home) == 0).mean() < 0.02
    items = home.items.copy()
    items[:, 4] = 70
    dropped = guard.guard(SequenceBatch(items)) == 0
    assert dropped[:, 4].mean() > 0.9
    assert np.delete(dropped, 4, axis=1).mean() < 0.02


def test_the_cosine_guard_needs_embeddings() -> None:
    with pytest.raises(NotApplicable, match="needs gradients of a recommender"):
        NeighbourCosine().protect(ListsOnly(MODEL), log=LOG, seed=0)
    with pytest.raises(RobustError, match="knows no item embeddings"):
        NeighbourCosine().calibrate(LOG, 0)
    for wrong in ({"rate": 1.0}, {"rate": 0.0}, {"most": 1.0}, {"window": 0}):
        with pytest.raises(ValidationError):
            NeighbourCosine(**wrong)


def test_one_item_twice_as_long_changes_no_cosine_but_its_own_weight() -> None:
    """The scale of the whole table plays no part."""
    larger = LinearBag()
    larger.table = larger.table * 1e6
    sequences = random_sequences(20, 8, 30)
    small, large = (NeighbourCosine().looking_at(m).cosines(sequences.items) for m in (MODEL, larger))
    np.testing.assert_allclose(small, large, atol=1e-5)


SCHEMA = Schema().calibrate(LOG, 0)


def test_unknown_ids_and_inner_padding_never_reach_the_recommender() -> None:
    guarded = Schema().protect(MODEL, log=LOG, seed=0)
    assert isinstance(guarded, GuardedRecommender)
    broken = SequenceBatch([[1, 31, 2, 0, 3], [-5, 0, 0, 4, 99], [31, 31, 31, -1, 99], [0, 0, 7, 0, 0]])
    clean = SequenceBatch([[0, 0, 1, 2, 3], [0, 0, 0, 0, 4], [0, 0, 0, 0, 0], [0, 0, 0, 0, 7]])
    assert np.array_equal(guarded.score(broken), MODEL.score(clean))
    assert np.array_equal(guarded.recommend(broken, 7), MODEL.recommend(clean, 7))
    embedded = guarded.embed(broken).requires_grad_(True)
    scores = guarded.score_embeddings(embedded, broken)
    assert np.array_equal(scores.detach().numpy(), MODEL.score(clean))
    (gradient,) = torch.autograd.grad(scores[:, 1:].sum(), embedded)
    assert bool((gradient[0, 1] == 0).all()), "an unknown id has no gradient"
    assert bool((gradient[0, 4] != 0).any())


def longest_in_order(times: list[int]) -> int:
    """By trying every subsequence."""
    best = 0
    for chosen in product([False, True], repeat=len(times)):
        kept = [t for t, keep in zip(times, chosen, strict=True) if keep]
        if kept == sorted(kept):
            best = max(best, len(kept))
    return best


def test_the_fewest_items_go_where_times_go_backwards() -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(1, 12, size=(60, 8))
    lenient = Schema().calibrate(InteractionLog.from_columns([0] * 30, range(1, 31), [5] * 30), 0)
    batch = SequenceBatch(np.tile(np.arange(1, 9), (60, 1)), timestamps=times)
    kept = lenient.guard(batch) != 0
    for row, own in zip(kept, times, strict=True):
        assert list(own[row]) == sorted(own[row])
        assert int(row.sum()) == longest_in_order(own.tolist())


def test_who_does_too_much_at_once_keeps_the_newest_of_it() -> None:
    users, items = [0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 30]
    guard = Schema().calibrate(InteractionLog.from_columns(users, items, [1, 1, 2, 3, 4, 5]), 0)
    assert guard.at_once == 2
    batch = SequenceBatch([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]], timestamps=[[0, 1, 7, 7, 7, 9], [0, 1, 2, 2, 3, 3]])
    three = Schema(longest=6).calibrate(InteractionLog.from_columns(users, items, [1, 1, 2, 3, 4, 5]), 0)
    assert three.guard(batch).tolist() == [[0, 1, 0, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert three.guard(SequenceBatch(batch.items)).tolist() == batch.items.tolist(), "no times, no judgement"


def test_only_the_newest_of_a_history_that_is_too_long() -> None:
    guard = Schema(longest=3).calibrate(LOG, 0)
    assert guard.guard(SequenceBatch([[1, 2, 0, 31, 4, 5], [0, 0, 0, 0, 1, 2]])).tolist() == [
        [0, 2, 0, 0, 4, 5],
        [0, 0, 0, 0, 1, 2],
    ]
    assert (SCHEMA.guard(SequenceBatch(np.ones((1, 40), int))) != 0).sum() == 15, "as long as any of the log"
    with pytest.raises(ValidationError):
        Schema(longest=0)
    with pytest.raises(RobustError, match="has not seen a log"):
        Schema().guard(SequenceBatch([[1]]))


def test_the_schema_leaves_every_genuine_history_alone() -> None:
    for log in (LOG, taste_log()):
        histories = log.sequences(int(log.lengths.max()))
        assert np.array_equal(Schema().calibrate(log, 0).guard(histories), histories.items)


def smoothed(seed: int = 0, **parameters: Any) -> Smoothed:
    protected = SequenceSmoothing(**parameters).protect(MODEL, seed=seed)
    assert isinstance(protected, Smoothed)
    return protected


BATCH = random_sequences(40, 8, 30, seed=3)


@pytest.mark.parametrize("noise", ["delete", "substitute"])
def test_the_same_question_has_the_same_answer_however_it_is_asked(noise: Any) -> None:
    model = smoothed(noise=noise, samples=3)
    whole = model.score(BATCH)
    alone = np.concatenate([model.score(BATCH[row : row + 1]) for row in range(len(BATCH))])
    nameless = SequenceBatch(BATCH.items)
    np.testing.assert_allclose(whole, alone, rtol=1e-5, atol=1e-5)
    assert np.array_equal(whole, model.score(nameless)), "users play no part"
    for draw in range(3):
        padded = SequenceBatch(np.pad(BATCH.items, ((0, 0), (4, 0))))
        assert np.array_equal(model.noisy(padded, draw)[0].items[:, 4:], model.noisy(BATCH, draw)[0].items)
    assert not np.array_equal(whole, smoothed(1, noise=noise, samples=3).score(BATCH)), "another secret, another answer"


@pytest.mark.parametrize("noise", ["delete", "substitute"])
def test_noise_hits_its_share_of_the_positions(noise: Any) -> None:
    model = smoothed(noise=noise, share=0.3, samples=60)
    full = SequenceBatch(np.random.default_rng(0).integers(1, 31, size=(40, 8)))
    hit = []
    for draw in range(60):
        copy, place, same = model.noisy(full, draw)
        survived = np.zeros(full.items.shape, dtype=bool)
        np.put_along_axis(survived, np.asarray(place), np.asarray(same), axis=1)
        hit.append(~survived)
        assert np.array_equal(np.take_along_axis(full.items, place, axis=1)[same], copy.items[same])
        if noise == "delete":
            assert np.array_equal(np.sort(copy.items[0])[-survived[0].sum() :], np.sort(full.items[0][survived[0]]))
    by_position = np.mean(hit, axis=(0, 1))
    assert by_position == pytest.approx(np.full(8, 0.3), abs=0.05)


def test_noise_never_empties_a_sequence() -> None:
    model = smoothed(share=0.99, samples=5)
    for draw in range(5):
        copy = model.noisy(BATCH, draw)[0]
        assert (copy.lengths >= 1).all()
        alone = copy.lengths == 1
        assert (copy.items[alone, -1] == BATCH.items[alone, -1]).mean() > 0.9, "nearly always the newest"


def test_the_mean_by_hand() -> None:
    model = smoothed(samples=4)
    copies = [model.noisy(BATCH, draw)[0] for draw in range(4)]
    expected = np.mean([MODEL.score(copy)[:, 1:] for copy in copies], axis=0)
    np.testing.assert_allclose(model.score(BATCH)[:, 1:], expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(model.recommend(BATCH, 30), np.argsort(-model.score(BATCH)[:, 1:], kind="stable") + 1)


@pytest.mark.parametrize("noise", ["delete", "substitute"])
def test_the_gradient_is_that_of_the_mean(noise: Any) -> None:
    """Against finite differences, one coordinate of a linear model moved by 1."""
    held = smoothed(noise=noise, samples=3).as_attacker(7)
    assert isinstance(held, Attacked)
    model: Any = held.with_weights()
    batch = BATCH[:3]
    weights = torch.randn(3, 30, generator=torch.Generator().manual_seed(0))
    at = model.embed(batch).requires_grad_(True)
    (gradient,) = torch.autograd.grad((model.score_embeddings(at, batch)[:, 1:] * weights).sum(), at)
    with torch.no_grad():
        before = model.score_embeddings(model.embed(batch), batch)[:, 1:]
        for row, position in np.argwhere(batch.items != 0).tolist():
            moved = model.embed(batch)
            moved[row, position, 2] += 1.0
            change = ((model.score_embeddings(moved, batch)[:, 1:] - before) * weights).sum()
            assert float(gradient[row, position, 2]) == pytest.approx(float(change), abs=1e-3)
    np.testing.assert_allclose(model.score(batch)[:, 1:], before.numpy(), rtol=1e-4, atol=1e-5)


def test_who_asks_meets_what_is_served_and_who_holds_the_weights_their_own_mean() -> None:
    served = smoothed(samples=4)
    seen = served.as_attacker(9)

    def view(model: Any) -> Any:
        knowledge = Knowledge(model=model)
        return AccessView(attack="toy", knowledge=knowledge, n_items=30, recommender=seen).model

    assert np.array_equal(view("scores").score(BATCH), served.score(BATCH))
    own = view("gradients").score(BATCH)
    assert not np.array_equal(own, served.score(BATCH))
    other: Any = smoothed(123, samples=4).as_attacker(9)
    assert np.array_equal(own, other.with_weights().score(BATCH)), "nothing of the served seed"
    exact = np.mean([smoothed(seed, samples=8).score(BATCH)[:, 1:] for seed in range(200)], axis=0)
    few = smoothed(5, samples=16).score(BATCH)[:, 1:]
    assert np.abs(own[:, 1:] - exact).mean() < np.abs(few - exact).mean(), "nearer to the mean than as many free draws"


def test_smoothing_offers_what_it_can_smooth() -> None:
    assert capabilities(smoothed()) == {"lists", "scores", "gradients"}
    with pytest.raises(NotApplicable, match="averages scores"):
        SequenceSmoothing().protect(ListsOnly(MODEL), seed=0)
    for wrong in ({"share": 1.0}, {"share": 0.0}, {"samples": 0}):
        with pytest.raises(ValidationError):
            SequenceSmoothing(**wrong)


def test_keyed_draws_are_uniform_and_independent_of_one_another() -> None:
    items = random_sequences(400, 6, 50).items
    draws = keyed_uniform(3, items, 50)
    assert draws.mean() == pytest.approx(0.5, abs=0.01)
    assert draws.var() == pytest.approx(1 / 12, abs=0.003)
    distinct = np.unique(items, axis=0, return_index=True)[1]
    correlations = np.asarray(np.corrcoef(draws[distinct].T))[np.triu_indices(50, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(len(distinct))
    numbers = np.tile([[7, 1, 50]], (400, 1))
    assert np.array_equal(keyed_uniform_of(3, items, numbers), draws[:, [6, 0, 49]])
    assert not np.array_equal(keyed_uniform(3, items, 50, stream=1), draws)
