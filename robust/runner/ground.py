"""What all cells stand on: victims as the plan knows them, the split, and the steps that need no attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robust.log import InteractionLog
from robust.recommenders.protocols import Recommender, capabilities, lacks
from robust.runner.scenario import VictimSpec, WarmStart
from robust.runner.step import Step
from robust.runner.workshop import context_of

LIST_LENGTH = 10


@dataclass(frozen=True)
class Victim:
    """A victim as the plan knows it: never fitted here.

    Attributes:
        lacks: why it has not what it has not, by capability, where that is known.
        fixed: handed over fitted, so that no seed of ours changes it. baseline: one of ours that has no training loop.
    """

    spec: VictimSpec
    fingerprint: str
    fixed: bool
    capabilities: frozenset[str]
    context: int
    trained_by_us: bool
    lacks: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def params(self) -> dict[str, Any]:
        """As a step's parameter."""
        return {"name": self.spec.name, "settings": self.spec.settings, "fingerprint": self.fingerprint}


def describe_victim(spec: VictimSpec, model: Recommender, fingerprint: str, fixed: bool) -> Victim:
    """What the plan needs to know of a resolved recommender."""
    able = frozenset(capabilities(model))
    return Victim(spec, fingerprint, fixed, able, context_of(model), not fixed and "loss" in able, lacks(model))


@dataclass(frozen=True)
class Ground:
    """What all cells stand on: the split artifact, and the train rows for resolving goals and budgets."""

    split: Step
    log: InteractionLog
    retrain: WarmStart | Literal["scratch"]
    first_seed: int


def base_fit(victim: Victim, ground: Ground, seed: int) -> Step | None:
    """The victim fitted to the clean train rows; None for a fixed model."""
    if victim.fixed:
        return None
    return Step("fit", {"victim": victim.params, "seed": seed, "defense": None}, {"split": ground.split})


def rank_params(victim: Victim, seed: int, guard: dict[str, Any] | None = None) -> dict[str, Any]:
    """What all rankings of a victim share."""
    return {"victim": victim.params, "seed": seed, "context": victim.context, "k": LIST_LENGTH, "guard": guard}


def clean_rank(victim: Victim, ground: Ground, seed: int) -> Step:
    """A victim ranked on clean sequences, watching no targets."""
    fit = base_fit(victim, ground, seed)
    inputs = {"split": ground.split} | ({"model": fit} if fit else {})
    return Step("rank", {**rank_params(victim, seed), "targets": [], "demoted": False}, inputs)
