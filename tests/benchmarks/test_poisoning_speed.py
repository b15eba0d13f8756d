"""Any poisoning template writes 1% fake users into a million rows in under a second."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from robust import plugins
from robust.access import AccessView
from robust.attack import PoisoningAttack
from robust.attacks.poisoning.orders import Order
from robust.attacks.poisoning.template import Template
from robust.attacks.poisoning.times import Times
from robust.datasets.synthetic import generate
from robust.recommenders.baselines import Popularity
from robust.threat import BudgetSpec, GoalSpec, Knowledge

FLOOR = 1.0  # seconds of one core
LOG = generate(
    users=6_000, items=3_500, length=167, rng=np.random.default_rng(0), popularity=0.8, concentration=0.2
).log
TEMPLATES = [name for name, kind in plugins.load_all("attacks").items() if issubclass(kind, Template)]
SLOWEST: list[tuple[Order, Times]] = [("markov", "recent"), ("cluster_then_target", "uniform"), ("alternate", "burst")]


def write(attack: PoisoningAttack) -> int:
    """The rows that are added."""
    goal = GoalSpec(demote="popular*5") if "demote" in attack.goals else GoalSpec(promote="cold*5")
    access = AccessView(
        attack=attack.name,
        knowledge=Knowledge(log="full", model="lists"),
        n_items=LOG.n_items,
        log=LOG,
        recommender=Popularity().fit(LOG, seed=0),
    )
    budget = BudgetSpec(users=0.01).resolve(LOG)
    return attack(access, goal.resolve(LOG, np.random.default_rng(0)), budget, np.random.default_rng(1)).edit.add.size


def measured(benchmark: BenchmarkFixture, attack: PoisoningAttack) -> None:
    write(attack)  # what a log caches about itself is paid once
    assert benchmark(write, attack) == 60 * 167
    assert benchmark.stats is not None
    assert benchmark.stats.stats.median < FLOOR


@pytest.mark.benchmark(timer=time.process_time)  # a busy machine takes longer on the wall, and works no more
@pytest.mark.parametrize("name", TEMPLATES)
def test_one_percent_of_a_million_rows(benchmark: BenchmarkFixture, name: str) -> None:
    attack: Any = plugins.build("attacks", name, {})
    measured(benchmark, attack)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(("order", "times"), SLOWEST)
def test_in_the_orders_that_cost_most(benchmark: BenchmarkFixture, order: Order, times: Times) -> None:
    attack: Any = plugins.build("attacks", "average", {"order": order, "times": times})
    measured(benchmark, attack)
