"""Changed rows hurt as the literature says: the end carries a sequence, and times reach models that read none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from robust import plugins
from robust.attack import PoisoningAttack
from robust.datasets.splits import leave_last_out
from robust.datasets.synthetic import load as synthetic
from robust.log import InteractionLog
from robust.metrics.stability import frbo, rank_list_sensitivity
from robust.ranking import Ranking, per_user
from robust.recommenders.baselines import Markov
from robust.recommenders.recurrent import GRU4Rec
from robust.situation import Situation
from robust.threat import BudgetSpec, Degrade
from tests.toys import chain_log, view

CIRCLE = chain_log(users=150, n_items=40, length=12, noise=0.05)


def gru() -> GRU4Rec:
    """Small, and good enough to learn the circle."""
    settings: dict[str, Any] = {"context": 12, "dimension": 16, "max_steps": 60, "batch_size": 32}
    return GRU4Rec(**settings, learning_rate=2e-2, validation_share=0.0, dropout=0.1)


LOGS: dict[str, Callable[[], InteractionLog]] = {"circle": lambda: CIRCLE, "synthetic": synthetic}
VICTIMS: dict[str, Callable[[], Any]] = {"markov": Markov, "gru": gru}


def ranked(log: str, victim: str, name: str | None, rows: str = "100%", seed: int = 0, **parameters: Any) -> Ranking:
    """Lists of a victim that is fitted to the changed train rows and tested from them; unchanged without a name."""
    split = leave_last_out(LOGS[log]())
    attack = plugins.build("attacks", name or "random-tampering", parameters)
    assert isinstance(attack, PoisoningAttack)
    budget = BudgetSpec(rows=rows if name else 0).resolve(split.train)
    edit = attack(view(log=split.train), Degrade(), budget, np.random.default_rng(seed)).edit
    assert edit.touched_rows <= (budget.rows or 0)
    edited = edit.apply(split.train)
    read = edited if edit.scope == "history" else split.train
    situation = Situation(read.sequences(12, split.users), split.targets, split.train)
    return situation.rank(VICTIMS[victim]().fit(edited, seed=0), situation.sequences, (), False)


@cache
def clean(log: str, victim: str) -> Ranking:
    return ranked(log, victim, None)


def lost(log: str, victim: str, name: str, rows: str = "100%", **parameters: Any) -> float:
    """Relative drop of NDCG@10."""
    before = per_user("ndcg@10", clean(log, victim)).mean()
    return float(1 - per_user("ndcg@10", ranked(log, victim, name, rows, **parameters)).mean() / before)


@pytest.mark.parametrize(("log", "victim"), [("circle", "markov"), ("circle", "gru"), ("synthetic", "markov")])
def test_the_end_carries_a_sequence_and_its_beginning_does_not(log: str, victim: str) -> None:
    removed = {where: lost(log, victim, "position-removal", where=where, n=4) for where in ("beginning", "end")}
    assert removed["beginning"] < 0.05
    assert removed["end"] > 0.5
    name, parameters = plugins.build("attacks", "position-removal", {"n": 4}).control_attack(BudgetSpec(rows=1))
    beside = lost(log, victim, name, **parameters)
    assert removed["beginning"] < beside < removed["end"], "as many rows anywhere lie between"


def test_lists_change_where_quality_does_not() -> None:
    """FRBO in the order of the paper: the end first, the beginning and the middle far behind."""
    before = clean("synthetic", "markov").lists

    def alike_without(where: str) -> float:
        after = ranked("synthetic", "markov", "position-removal", where=where, n=4)
        return rank_list_sensitivity(before, after.lists, 10)

    alike = {where: alike_without(where) for where in ("beginning", "middle", "end")}
    assert alike["end"] < 0.5 < 0.9 < min(alike["middle"], alike["beginning"]) < 1
    assert np.all(frbo(before, before, 10) == pytest.approx(1))


def test_weights_forget_less_than_inputs() -> None:
    """Of what the end costs, little is what the weights lack."""
    kept = lost("circle", "markov", "position-removal", where="end", n=4, scope="train")
    assert kept < 0.05


def test_more_wrong_times_hurt_more_and_ties_are_a_part_of_the_model() -> None:
    few, many = (lost("synthetic", "markov", "timestamps", rows=rows, kind="burst") for rows in ("5%", "30%"))
    assert 0.02 < few < many
    rounded = {
        ties: lost("synthetic", "markov", "timestamps", kind="quantise", ties=ties) for ties in ("arrival", "shuffled")
    }
    assert rounded["arrival"] == 0, "all times rounded, none reordered"
    assert rounded["shuffled"] > 0.05
