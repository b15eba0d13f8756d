"""The embedded log really has order in it: what docs/data.md says of it, measured here in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from robust.datasets import Split, default_seen, leave_last_out, load_dataset
from robust.log import InteractionLog


def hit_ratio(scores: np.ndarray, targets: np.ndarray, k: int = 10) -> float:
    """HR@k over all items, the true item losing every tie."""
    true = np.take_along_axis(scores, targets[:, None].astype(np.int64), axis=1)
    return float(((scores[:, 1:] >= true).sum(axis=1) <= k).mean())


def popularity_and_markov(split: Split, counted: InteractionLog) -> tuple[float, float]:
    """HR@10 of both, counted on some rows; popularity decides among items that never followed."""
    popularity = counted.popularity / len(counted)
    transitions = np.zeros((counted.n_items + 1, counted.n_items + 1))
    follows = counted.user[1:] == counted.user[:-1]
    np.add.at(transitions, (counted.item[:-1][follows], counted.item[1:][follows]), 1.0)
    newest = split.histories(1).items[:, 0]
    everyone = np.tile(popularity, (len(newest), 1))
    return hit_ratio(everyone, split.targets), hit_ratio(transitions[newest] + everyone, split.targets)


def test_order_matters_far_more_than_popularity() -> None:
    split = leave_last_out(load_dataset("flights"))
    assert popularity_and_markov(split, split.train) == pytest.approx((0.150, 0.799), abs=0.002)
    # a model that keeps each user's newest train row for validation counts the others only
    counted = leave_last_out(split.train).train
    assert popularity_and_markov(split, counted) == pytest.approx((0.134, 0.792), abs=0.002)


def test_aircraft_come_back_to_their_routes() -> None:
    split = leave_last_out(load_dataset("flights"))
    assert default_seen(split.train) == "keep"
    assert split.unseen_target_share < 0.001
