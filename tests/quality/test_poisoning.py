"""Fake users do to a refitted victim what their docstrings say, and more than their controls do."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np
import pytest
from scipy.special import log_softmax

from robust import plugins
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.poisoning.template import Template
from robust.datasets.flights import load as flights
from robust.datasets.synthetic import generate
from robust.datasets.synthetic import load as synthetic
from robust.log import InteractionLog
from robust.recommenders.baselines import Markov
from robust.recommenders.recurrent import GRU4Rec
from robust.threat import Budget, BudgetSpec, GoalSpec
from tests.toys import view

SEEDS = range(3)


@cache
def clean(load: Any) -> Markov:
    return Markov().fit(load(), seed=0)


def exposure(load: Any, goal: str, name: str, **parameters: Any) -> tuple[float, float]:
    """Target HR@10 of a Markov chain before and after 3% fake users, mean over seeds; holders count if it demotes."""
    log, before, after = load(), [], []
    for seed in SEEDS:
        kind, targets = goal.split(" ")
        resolved = GoalSpec.model_validate({kind: targets}).resolve(log, np.random.default_rng(seed))
        attack = plugins.build("attacks", name, parameters)
        assert isinstance(attack, PoisoningAttack)
        access = view(clean(load), log=log)
        edit = attack(access, resolved, BudgetSpec(users="3%").resolve(log), np.random.default_rng(seed)).edit
        before.append(_shown(clean(load), log, resolved))
        after.append(_shown(Markov().fit(edit.apply(log), seed=0), log, resolved))
    return float(np.mean(before)), float(np.mean(after))


def _shown(model: Markov, log: InteractionLog, goal: AnyGoal) -> float:
    lists = model.recommend(log.sequences(1), 10)
    shown = (lists[:, :, None] == np.asarray(goal.items)).any(axis=1)
    holds = np.zeros((log.n_users, log.n_items + 1), dtype=bool)
    holds[log.user, log.item] = goal.kind == "promote"
    return float(shown[~holds[:, list(goal.items)]].mean())


@pytest.mark.parametrize("name", ["random", "bandwagon", "average", "segment", "probe", "obfuscated"])
def test_interleaved_templates_raise_the_exposure_of_cold_items(name: str) -> None:
    before, after = exposure(flights, "promote cold*5", name, order="interleave")
    assert before < 0.005
    assert after > before + 0.02


def test_the_arrangement_matters_more_than_the_choice_of_items() -> None:
    reached = {
        order: exposure(flights, "promote cold*5", "random", order=order)[1]
        for order in ("target_last", "shuffle", "interleave", "alternate")
    }
    assert reached["target_last"] < reached["shuffle"] < reached["interleave"] < reached["alternate"]


def test_what_is_as_popular_as_genuine_items_reaches_more_users_than_random_filler() -> None:
    for order in ("interleave", "alternate"):
        random, average = (exposure(flights, "promote cold*5", n, order=order)[1] for n in ("random", "average"))
        assert average > 1.1 * random


def test_copies_of_power_users_reach_others_where_they_differ() -> None:
    """On flights the busiest aircraft fly the same few routes, and hardly anybody else is reached."""
    before, after = exposure(synthetic, "promote cold*5", "power-user", order="interleave")
    assert after > before + 0.001
    assert exposure(flights, "promote cold*5", "power-user")[1] < 0.5 * exposure(flights, "promote cold*5", "random")[1]


@pytest.mark.parametrize("load", [flights, synthetic])
def test_a_profile_without_the_target_demotes_it_and_one_with_it_does_not(load: Any) -> None:
    before, after = exposure(load, "demote popular*5", "reverse-bandwagon")
    _, tied = exposure(load, "demote popular*5", "reverse-bandwagon", form="tie", selected=0.5)
    assert after < 0.97 * before
    assert tied > 1.2 * before, "the original promotes where a row is a vote"


def test_popular_filler_demotes_more_than_uniform_filler() -> None:
    """On flights the two are equal."""
    before, after = exposure(synthetic, "demote popular*5", "reverse-bandwagon")
    _, beside = exposure(synthetic, "demote popular*5", "reverse-bandwagon", selected=0.0)
    assert before - after > 1.5 * (before - beside)


def test_every_template_is_tried_here() -> None:
    tried = {"random", "bandwagon", "average", "segment", "probe", "obfuscated", "power-user", "reverse-bandwagon"}
    assert tried == {name for name, kind in plugins.load_all("attacks").items() if issubclass(kind, Template)}


# --- by gradient

SETTINGS: dict[str, Any] = {
    "context": 12,
    "dimension": 16,
    "max_steps": 120,
    "min_steps": 120,
    "batch_size": 32,
    "learning_rate": 1e-2,
    "validation_share": 0.0,
    "dropout": 0.1,
}


def test_alternating_poison_beats_its_control_after_a_refit() -> None:
    """By the mean log probability of the targets, which moves long before exposure does at this size."""
    rng = np.random.default_rng(0)
    log = generate(users=300, items=60, length=14, rng=rng, popularity=0.8, concentration=0.5).log
    budget, sequences = Budget(users=12, profile_length=13), log.sequences(12)

    def wanted(model: GRU4Rec, goal: AnyGoal) -> float:
        return float(log_softmax(model.score(sequences)[:, 1:], axis=1)[:, np.asarray(goal.items) - 1].mean())

    gains = []
    for seed in (1, 3):
        goal = GoalSpec(promote="cold*5").resolve(log, np.random.default_rng(seed))
        victim = GRU4Rec(**SETTINGS).fit(log, seed=seed)
        attack = cast(PoisoningAttack, plugins.build("attacks", "alternating", {}))
        control = cast(PoisoningAttack, plugins.build("attacks", *cast(Any, attack.control_attack(budget))))
        edits = [a(view(victim, log=log), goal, budget, np.random.default_rng(seed)).edit for a in (attack, control)]
        reached = [wanted(GRU4Rec(**SETTINGS).fit(edit.apply(log), seed=seed), goal) for edit in edits]
        assert min(reached) > wanted(victim, goal)
        gains.append(reached[0] - reached[1])
    assert np.mean(gains) > 0.1
