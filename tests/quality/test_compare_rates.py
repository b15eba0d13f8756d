"""How often `robust compare` is wrong, and how often it finds a planted loss, by simulation of the real decision.

Hierarchical worlds: what a user is like (SD .3) is the same for both models, for half of the users, and drawn anew for
the rest; every seed shifts a model's attacked level (SD .01 of .3), in part alike in all its cells. `-m slow` runs
4,000 replicates, whose rates stand in docs/comparing.md.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.compare.decide import adjusted, outcome
from robust.statistics import judge
from robust.statistics.differences import difference

Float = NDArray[np.float64]
Note = Callable[[str, object], None]
LEVEL, USER_SD, SEED_SD = 0.3, 0.3, 0.01
MARGIN, ALPHA = 0.10, 0.05
TOLERATED = 0.06
REPLICATES = 4_000


@dataclass(frozen=True)
class World:
    """Two models whose attacked levels differ by a relative `loss` in the first `planted` of `cells` cells.

    Attributes:
        sparse: hits of .28 of the users rather than dense values. same_seeds: half of a seed's effect is shared by
            both models. seeds: 1 is two fixed models. wild: how many times as far the candidate's seeds spread.
        alike: the share of users who get the same from both models, but for the loss.
    """

    users: int
    seeds: int = 5
    cells: int = 4
    loss: float = 0.0
    planted: int = 4
    same_seeds: bool = False
    sparse: bool = False
    wild: float = 1.0
    alike: float = 0.5

    def draw(self, rng: np.random.Generator) -> list[tuple[Float, Float]]:
        """Attacked values [S, n] of base and candidate, per cell."""
        found = []
        total = LEVEL * (1 - LEVEL) / USER_SD**2 - 1
        spread = SEED_SD / LEVEL if self.seeds > 1 else 0.0
        common = [rng.standard_normal((self.seeds, 1)) for _ in range(3)]  # of each model, and of the seeds themselves
        for cell in range(self.cells):
            alike = rng.beta(LEVEL * total, (1 - LEVEL) * total, self.users)
            redrawn = rng.beta(LEVEL * total, (1 - LEVEL) * total, self.users)
            other = np.where(rng.random(self.users) < self.alike, alike, redrawn)
            arms = []
            for model, values in enumerate((alike, other)):
                weights = (0.5, 0.5, 0.0) if not self.same_seeds else (0.25, 0.25, 0.5)
                effects = (common[model], rng.standard_normal((self.seeds, 1)), common[2])
                shift = sum(np.sqrt(weight) * effect for weight, effect in zip(weights, effects, strict=True))
                factor = (1 - self.loss if model and cell < self.planted else 1.0) * (
                    1 + (self.wild if model else 1.0) * spread * shift
                )
                if self.sparse:
                    draws = rng.random((self.seeds, self.users))
                    arms.append((draws < values * factor * 0.28 / LEVEL).astype(float))
                else:
                    arms.append(np.minimum(values * factor, 1.0))
            found.append((arms[0], arms[1]))
        return found

    def outcomes(self, rng: np.random.Generator) -> list[str]:
        """What the comparison says of each cell."""
        found = {
            str(cell): difference((base, base), (new, new), kind="drop", alpha=ALPHA, same_seeds=self.same_seeds)
            for cell, (base, new) in enumerate(self.draw(rng))
        }
        p_worse, p_better = (
            adjusted({n: getattr(d, side) for n, d in found.items()}) for side in ("p_worse", "p_better")
        )
        return [outcome(d, p_worse[name], p_better[name], MARGIN, ALPHA) for name, d in found.items()]

    def rates(self, replicates: int) -> dict[str, float]:
        """Share of replicates with any cell so called (`any worse`), and share of cells (`worse`)."""
        rng = np.random.default_rng([self.users, self.seeds, self.cells, int(1_000 * self.loss), self.sparse, 4])
        rates: dict[str, float] = defaultdict(float)
        for _ in range(replicates):
            said = self.outcomes(rng)
            for word in set(said):
                rates[f"any {word}"] += 1 / replicates
            for word in said:
                rates[word] += 1 / replicates / self.cells
        return rates


def note(record_property: Note, world: World, rates: dict[str, float]) -> None:
    """For the table in docs/comparing.md: into the test report, and shown with -s."""
    told = {word: round(rate, 4) for word, rate in sorted(rates.items())}
    record_property(str(world), str(told))
    sys.stdout.write(f"{world}: {told}\n")


NULLS = [
    World(500, seeds=3),
    World(500, seeds=5, same_seeds=True),
    World(1_000, seeds=5, sparse=True),
    World(500, seeds=1, cells=12, sparse=True),
    World(500, seeds=10, cells=1),
    World(2_000, seeds=3, wild=3.0),
]


@pytest.mark.parametrize("world", NULLS, ids=str)
def test_one_model_under_other_seeds_is_called_worse_at_most_at_the_nominal_rate(
    world: World, record_property: Note
) -> None:
    rates = world.rates(200)
    note(record_property, world, rates)
    assert rates["any worse"] <= TOLERATED + 0.02  # of 200 replicates at .05, one series in forty has more
    assert rates["any better"] <= TOLERATED + 0.02


POWERS = [
    World(5_000, loss=0.10),
    World(5_000, loss=0.10, same_seeds=True),
    World(5_000, loss=0.10, planted=1),
    World(5_000, loss=0.10, cells=1),
    World(5_000, loss=0.10, cells=12, planted=12),
]


def test_a_planted_loss_of_a_tenth_is_found_with_5_seeds_and_5000_users(record_property: Note) -> None:
    world = POWERS[0]
    rates = world.rates(200)
    note(record_property, world, rates)
    assert rates["any worse"] >= 0.8
    assert rates["worse"] >= 0.8
    assert rates["not worse"] + rates["better"] <= TOLERATED + 0.02  # the loss is the margin itself


def test_an_unchanged_model_is_shown_to_be_no_worse(record_property: Note) -> None:
    """Or "always can't be told" would pass the test of false alarms."""
    world = World(5_000, cells=2)
    rates = world.rates(100)
    note(record_property, world, rates)
    assert rates["not worse"] + rates["better"] >= 0.8


def test_what_users_are_like_cancels(record_property: Note) -> None:
    """Of users who differ by .3 in what they get, 500 tell a tenth only if they are paired; else .5 of the time."""
    world = World(500, seeds=1, cells=1, loss=0.10, alike=1.0)
    rates = world.rates(200)
    note(record_property, world, rates)
    assert rates["worse"] >= 0.95


def test_more_seeds_until_it_decides_does_no_harm(record_property: Note) -> None:
    """Each run stops at 3, 5 or 10 seeds, when its own bound, which lies near its true level, is decided."""
    rng, replicates, alarms = np.random.default_rng(11), 250, 0
    world = World(400, seeds=10, cells=1)
    used: Counter[int] = Counter()
    for _ in range(replicates):
        ((base, new),) = world.draw(rng)
        stops = [judge(arm, arm, kind="level", limit=LEVEL + 0.03).seeds_used for arm in (base, new)]
        used.update(stops)
        found = difference(
            *((arm[:stop],) * 2 for arm, stop in zip((base, new), stops, strict=True)),
            kind="drop",
            alpha=ALPHA,
            same_seeds=False,
        )
        alarms += outcome(found, found.p_worse, found.p_better, MARGIN, ALPHA) == "worse"
    rate = alarms / replicates
    record_property("stopping", f"{rate:.4f}, seeds {dict(used)}")
    sys.stdout.write(f"stopping: worse {rate:.4f}, seeds {dict(used)}\n")
    assert rate <= TOLERATED + 0.02


def test_the_simulation_can_fail() -> None:
    """Seeds taken for users' noise, and no correction for the number of cells: false alarms in most worlds."""
    rng, alarms = np.random.default_rng(12), 0
    for _ in range(100):
        for base, new in World(5_000, seeds=3).draw(rng):
            arms = [arm.mean(axis=0, keepdims=True) for arm in (base, new)]
            found = difference((arms[0], arms[0]), (arms[1], arms[1]), kind="drop", alpha=ALPHA, same_seeds=False)
            if found.p_worse <= ALPHA:
                alarms += 1
                break
    assert alarms / 100 > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("world", NULLS, ids=str)
def test_false_alarms_in_full(world: World, record_property: Note) -> None:
    rates = world.rates(REPLICATES)
    note(record_property, world, rates)
    assert rates["any worse"] <= TOLERATED
    assert rates["any better"] <= TOLERATED


@pytest.mark.slow
@pytest.mark.parametrize("world", POWERS, ids=str)
def test_power_in_full(world: World, record_property: Note) -> None:
    rates = world.rates(REPLICATES // 8)
    note(record_property, world, rates)
    assert rates["any worse"] >= 0.8
    assert rates["not worse"] + rates["better"] <= TOLERATED or world.planted < world.cells
