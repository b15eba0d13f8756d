"""A cell of a review, and the steps of which it is made under one seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from robust.attack import Attack, EvasionAttack, PoisoningAttack
from robust.defense import Defense, Sanitizer, Stage
from robust.runner.ground import Ground, Victim, base_fit, rank_params
from robust.runner.scenario import AttackSpec, DefenseSpec, Threat
from robust.runner.step import Step, generator, plugin_params
from robust.runner.surrogate import Surrogate
from robust.threat import Budget, BudgetSpec, Degrade, Demote, Promote

PlannedOn = Literal["plain", "protected", "surrogate", "none"]


@dataclass(frozen=True)
class SeedSteps:
    """The ranked outcomes that one seed of one cell needs; `targets` are its own, `previous` the seed's before.

    Attributes:
        plain: the clean outcome without the cell's defence, refitted alike: what the defence's price is measured
            against. None without a defence.
    """

    clean: Step
    attacked: Step
    control: Step | None
    planning: Step
    targets: tuple[int, ...]
    previous: tuple[int, ...]
    plain: Step | None = None

    @property
    def steps(self) -> list[Step]:
        """All of them."""
        return [s for s in (self.clean, self.attacked, self.control, self.plain) if s is not None]


@dataclass(frozen=True)
class Cell:
    """One attack, at one budget, on one victim behind one defence, planned on one of them or on a surrogate."""

    threat: Threat
    victim: Victim
    attack_spec: AttackSpec
    budget_spec: BudgetSpec
    defense_spec: DefenseSpec
    planned_on: PlannedOn
    ground: Ground = field(repr=False)
    surrogate: Surrogate | None = None

    @cached_property
    def attack(self) -> Attack:
        """The attack itself."""
        return self.attack_spec.build()

    @cached_property
    def defense(self) -> Defense | None:
        """The defence itself."""
        return self.defense_spec.build()

    @property
    def measured_on(self) -> Literal["plain", "protected"]:
        """Whether a defence stands before what is measured."""
        return "plain" if self.defense is None else "protected"

    @cached_property
    def id(self) -> str:
        """Stable, readable, unique in a scenario."""
        parts = [self.threat.id, self.victim.spec.label, self.attack_spec.label, self.budget_spec.label]
        parts += [self.defense_spec.label, f"planned-{self.planned_on}"]
        return "/".join(_slug(part) for part in parts)

    @property
    def chain(self) -> tuple[str, ...]:
        """The attack × victim pair to which multiplicity is corrected; budgets are tested within it."""
        return (
            self.threat.id,
            self.victim.spec.label,
            self.attack_spec.label,
            self.defense_spec.label,
            self.planned_on,
        )

    @cached_property
    def budget(self) -> Budget:
        """In whole units on these train rows."""
        return self.budget_spec.resolve(self.ground.log)

    @property
    def retrains(self) -> bool:
        """Whether the attack is measured on a victim fitted for it."""
        return isinstance(self.attack, PoisoningAttack) or self.acts_in("log", "training")

    def acts_in(self, *stages: Stage) -> bool:
        """Whether there is a defence, and it acts in one of these."""
        return self.defense is not None and self.defense.stage in stages

    @property
    def fixed(self) -> bool:
        """Whether the model is one fixed model, which needs no seeds; a surrogate is drawn anew under each."""
        return self.victim.fixed and not self.retrains and self.planned_on != "surrogate"

    @property
    def retrain(self) -> Literal["warm", "scratch", "none"]:
        """How the measured victim is refitted."""
        if not self.retrains:
            return "none"
        warm = self.ground.retrain != "scratch" and "resume" in self.victim.capabilities and not self.victim.fixed
        return "warm" if warm else "scratch"

    def goal(self, seed: int) -> Promote | Demote | Degrade:
        """Targets drawn for this seed."""
        return self.threat.goal.resolve(self.ground.log, generator(seed, f"targets {self.threat.goal.label}"))

    def _previous(self, seed: int) -> tuple[int, ...]:
        return self.goal(seed - 1).items if seed > self.ground.first_seed else ()

    def _fit(self, seed: int, poison: Step | None, defense: dict[str, Any] | None) -> Step | None:
        """The fit whose model is measured; None for a fixed model."""
        base = base_fit(self.victim, self.ground, seed)
        if not self.retrains:
            return base
        params = {"victim": self.victim.params, "seed": seed, "defense": defense}
        inputs = {"split": self.ground.split} | ({"poison": poison} if poison else {})
        if self.retrain == "scratch" or base is None or self.ground.retrain == "scratch":
            return Step("fit", params, inputs)
        return Step("fit", {**params, "share": self.ground.retrain.warm}, {**inputs, "base": base})

    def _planned_fit(self, seed: int, measured: Step | None) -> Step | None:
        """The fit whose model the attacker plans on; `measured` is the one that the attack is measured on."""
        if self.surrogate is not None:
            guard = self._defense_params() if self.acts_in("input", "serving") else None
            return self.surrogate.fit(self.victim, measured, guard, self.ground, seed)
        on_plain = self.planned_on == "plain" and self.defense is not None
        return base_fit(self.victim, self.ground, seed) if on_plain else measured

    def _defense_params(self) -> dict[str, Any] | None:
        if self.defense is None:
            return None
        return plugin_params("defenses", self.defense_spec.name, self.defense_spec.parameters)

    def steps(self, seed: int) -> SeedSteps:
        """The steps of this cell under this seed."""
        goal, previous = self.goal(seed), self._previous(seed)
        defense = self._defense_params()
        in_fit = defense if self.acts_in("log", "training") else None
        guard = defense if self.acts_in("input", "serving") else None
        common = rank_params(self.victim, seed, guard)
        watch = {"targets": list(goal.items), "demoted": goal.kind == "demote"}
        with_previous = {**watch, "targets": [*goal.items, *previous]}

        def on(fit: Step | None, **more: Step) -> dict[str, Step]:
            return {"split": self.ground.split} | ({"model": fit} if fit else {}) | more

        clean_fit = self._fit(seed, None, in_fit)
        clean = Step("rank", {**common, **with_previous}, on(clean_fit))
        control = self._control()
        planned_fit = self._planned_fit(seed, clean_fit)

        def attacked(name: str, parameters: Mapping[str, Any]) -> tuple[Step, Step]:
            """The ranked outcome, and the step that says what the attack took."""
            planning = {
                **common,
                "attack": plugin_params("attacks", name, parameters),
                "goal": goal.model_dump(mode="json"),
                "budget": self.budget.model_dump(mode="json"),
                "knowledge": self.threat.knowledge.model_dump(mode="json"),
            }
            if self.surrogate is not None:
                planning |= {"victim": self.surrogate.model.params, "surrogate": True}
                if self.surrogate.extract is not None:
                    planning["extracted"] = self.surrogate.extract.spent
            if isinstance(self.attack, PoisoningAttack):
                return self._poisoned(seed, planning, in_fit, {**common, **watch})
            if isinstance(self.attack, EvasionAttack):
                adaptive = self.planned_on == "protected"
                plan = {**planning, "adaptive": adaptive, "guard": guard if adaptive else None}
                evade = Step("evade", plan, on(planned_fit))
                return Step("rank", {**common, **watch}, on(clean_fit, sequences=evade)), evade
            extra = {"planned": planned_fit} if planned_fit and planned_fit != clean_fit else {}
            step = Step("perturb", planning, on(clean_fit, **extra))
            return step, step

        main, planning = attacked(self.attack_spec.name, self.attack_spec.parameters)
        beside = attacked(*control)[0] if control else None
        return SeedSteps(clean, main, beside, planning, goal.items, previous, self._plain(seed))

    def _plain(self, seed: int) -> Step | None:
        if self.defense is None:
            return None
        fit = self._fit(seed, None, None)
        inputs = {"split": self.ground.split} | ({"model": fit} if fit else {})
        return Step("rank", {**rank_params(self.victim, seed), "targets": [], "demoted": False}, inputs)

    def _poisoned(
        self, seed: int, planning: dict[str, Any], in_fit: dict[str, Any] | None, watch: dict[str, Any]
    ) -> tuple[Step, Step]:
        inputs = {"split": self.ground.split}
        # a model-blind edit is the same for every victim, so its key names none
        wanted = ["seed", "attack", "goal", "budget", "knowledge"]
        if self.attack.model_access != "none":
            wanted += ["victim", "surrogate", "extracted"]
            if planned := self._planned_fit(seed, base_fit(self.victim, self.ground, seed)):
                inputs["model"] = planned
        own = {key: planning[key] for key in wanted if key in planning}
        adaptive = self.planned_on == "protected" and isinstance(self.defense, Sanitizer)
        poison = Step("poison", {**own, "defense": in_fit if adaptive else None}, inputs)
        fit = self._fit(seed, poison, in_fit)
        model = {"model": fit} if fit else {}
        # a guard calibrates on the poisoned rows, and an edit of histories is read at inference too
        return Step("rank", watch, {"split": self.ground.split, **model, "poison": poison}), poison

    def _control(self) -> tuple[str, dict[str, Any]] | None:
        """The random control; for poisoning only on the plain victim, where a fit is not spent on it twice."""
        if isinstance(self.attack, PoisoningAttack) and self.defense is not None:
            return None
        return self.attack.control_attack(self.budget)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.=%]+", "-", text.lower().replace("ε = ", "epsilon=")).strip("-")
