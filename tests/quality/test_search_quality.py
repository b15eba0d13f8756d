"""Searches of edits, measured by the gap to the exact optimum on tiny trained victims, and by their random controls.

A tiny victim has 6 items and reads 4 of them, so that all sequences within two edits can be asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robust import plugins
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.append import Append
from robust.attacks.evasion.beam import Beam
from robust.attacks.evasion.exhaustive import Exhaustive
from robust.attacks.evasion.first_order import FirstOrder
from robust.attacks.evasion.greedy import Greedy
from robust.attacks.evasion.universal_suffix import UniversalSuffix
from robust.attacks.objective import objective_for
from robust.datasets import leave_last_out
from robust.datasets.flights import load as flights
from robust.log import SequenceBatch
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.recurrent import GRU4Rec
from robust.recommenders.sasrec import SASRec
from robust.threat import Budget, Degrade, Demote, Promote
from tests.toys import chain_log, view

ITEMS, LENGTH, USERS = 6, 4, 3
EVERY = 10_000
"""More candidates than there are edits."""
SINGLE = LENGTH * (ITEMS - 1) + (LENGTH + 1) * ITEMS + LENGTH
TINY: dict[str, Any] = {
    "context": LENGTH,
    "dimension": 8,
    "max_steps": 40,
    "min_steps": 40,
    "batch_size": 16,
    "learning_rate": 2e-2,
    "validation_share": 0.0,
}


@dataclass(frozen=True)
class Gains:
    """float [models, users], by how much each search raises the loss; recurrent: bool [models]."""

    of: dict[str, NDArray[np.float64]]
    recurrent: NDArray[np.bool_]

    def share(self, search: str, optimum: str, only: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Of the optimum's gain, where that is above 0; over all models, or `only` some."""
        chosen = np.ones(len(self.recurrent), bool) if only is None else only
        found, best = self.of[search][chosen], self.of[optimum][chosen]
        return np.asarray(found[best > 1e-6] / best[best > 1e-6])


def tiny(seed: int) -> tuple[NeuralRecommender, SequenceBatch, AnyGoal]:
    """A trained victim, GRU4Rec or SASRec in turn, some sequences, and each goal in turn."""
    rng = np.random.default_rng(seed)
    kind = (GRU4Rec, SASRec)[seed % 2]
    model = kind(**TINY).fit(chain_log(users=30, n_items=ITEMS, length=8, noise=0.3, seed=seed), seed=seed)
    sequences = SequenceBatch(rng.integers(1, ITEMS + 1, size=(USERS, LENGTH)), np.arange(USERS))
    target = (int(rng.integers(1, ITEMS + 1)),)
    goals: list[AnyGoal] = [Degrade(), Promote(items=target), Demote(items=target)]
    return model, sequences, goals[seed // 2 % 3]


@cache
def gains(models: int) -> Gains:
    """Of all searches on so many victims."""
    searches: dict[str, tuple[EvasionAttack, int]] = {
        "exhaustive, 1": (Exhaustive(feedback="scores"), 1),
        "exhaustive, 2": (Exhaustive(feedback="scores"), 2),
        "greedy": (Greedy(feedback="scores", candidates=EVERY), 2),
        "beam": (Beam(feedback="scores", candidates=EVERY), 2),
        "first-order, all": (FirstOrder(candidates=EVERY), 1),
        "first-order, half": (FirstOrder(candidates=SINGLE // 2), 1),
    }
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in searches}
    for seed in range(models):
        model, sequences, goal = tiny(seed)
        objective = objective_for(view(model), sequences, goal)
        clean = objective(torch.from_numpy(model.score(sequences)))
        for name, (attack, edits) in searches.items():
            edited = attack(view(model), sequences, goal, Budget(edits=edits), np.random.default_rng(seed)).sequences
            reached = objective(torch.from_numpy(model.score(edited.truncate(LENGTH))))
            found[name].append((reached - clean).numpy().astype(float))
    return Gains({name: np.stack(each) for name, each in found.items()}, np.arange(models) % 2 == 0)


MODELS = pytest.mark.parametrize("models", [30, pytest.param(200, marks=pytest.mark.slow)])


@MODELS
def test_greedy_and_beam_come_close_to_the_optimum_of_two_edits(models: int) -> None:
    found = gains(models)
    greedy, beam = found.share("greedy", "exhaustive, 2"), found.share("beam", "exhaustive, 2")
    assert len(greedy) > 0.9 * models * USERS, "nearly everywhere there is something to gain"
    assert max(greedy.max(), beam.max()) <= 1 + 1e-5, "nothing is beyond the optimum"
    assert greedy.mean() >= 0.90
    assert beam.mean() >= 0.97
    assert greedy.mean() < beam.mean() <= 1


@MODELS
def test_first_order_at_full_width_is_exhaustive(models: int) -> None:
    assert gains(models).share("first-order, all", "exhaustive, 1") == pytest.approx(1.0, abs=1e-4)


@MODELS
def test_half_of_the_edits_in_first_order_hold_the_optimum(models: int) -> None:
    """In nine of ten on a recurrent victim. SASRec normalises each embedding before it does anything else, so that an
    exchange of items of 8 dimensions is no small step: the floor of 90% is missed there, and this says by how much."""
    found = gains(models)
    kept = {
        recurrent: (found.share("first-order, half", "exhaustive, 1", found.recurrent == recurrent) > 1 - 1e-4).mean()
        for recurrent in (True, False)
    }
    assert kept[True] >= 0.90
    assert 0.60 <= kept[False] < 0.90


# --- on a real log


@cache
def real() -> tuple[GRU4Rec, SequenceBatch, Any]:
    log = leave_last_out(flights()).train
    model = GRU4Rec(context=20, dimension=32, max_steps=250, min_steps=250, validation_share=0.0).fit(log, seed=0)
    users = np.random.default_rng(0).choice(np.flatnonzero(log.lengths > 0), size=200, replace=False)
    return model, log.sequences(20, np.sort(users)), log


GOALS: list[AnyGoal] = [Promote(items=(300,)), Demote(items=(3,)), Degrade()]
OPTIMISED = [
    Greedy(feedback="scores", candidates=40),
    Beam(feedback="scores", candidates=40, width=5),
    FirstOrder(),
    Append(),
    UniversalSuffix(users=60, rounds=5, candidates=8),
]


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.kind)
@pytest.mark.parametrize("attack", OPTIMISED, ids=lambda attack: attack.name)
def test_an_optimised_attack_beats_its_control_at_equal_queries(attack: EvasionAttack, goal: AnyGoal) -> None:
    model, sequences, log = real()
    # with two appended items the targets are first in nearly every list, whoever chose them: nothing is left to win
    budget = Budget(edits=1 if (attack.name, goal.kind) == ("append", "promote") else 2)
    control = attack.control_attack(budget)
    assert control is not None
    objective = objective_for(view(model), sequences, goal)
    reached, asked = [], []
    for each in (attack, plugins.build("attacks", *control)):
        outcome = each(view(model, log=log), sequences, goal, budget, np.random.default_rng(0))
        reached.append(objective(torch.from_numpy(model.score(outcome.sequences.truncate(20)))).numpy().astype(float))
        asked.append(outcome.queries)
    assert asked[0] <= asked[1] + 3 * len(sequences), "a clean list or label more, at most"
    lead = reached[0] - reached[1]
    error = float(lead.std(ddof=1)) / len(lead) ** 0.5
    assert lead.mean() > 2 * error, f"{lead.mean():.3f} ± {error:.3f}"
