"""From a scenario to cells, and from a cell and a seed to steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from robust.attack import Attack, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.datasets.filters import is_positional
from robust.defense import Defense, Sanitizer, ServingDefense, Stage
from robust.errors import NotApplicable
from robust.extraction import Extraction
from robust.log import InteractionLog
from robust.metrics.registry import parse_metric
from robust.recommenders.protocols import Recommender
from robust.runner.scenario import AttackSpec, DefenseSpec, Planned, Scenario, Threat, VictimSpec, WarmStart
from robust.runner.steps import OTHER_SEED, Step, context_of, generator, offers, plugin_params
from robust.threat import Budget, BudgetSpec, Degrade, Demote, Promote

PlannedOn = Literal["plain", "protected", "surrogate", "none"]
LIST_LENGTH = 10
LACKS = {
    "lists": "that recommends",
    "scores": "that gives scores",
    "fit": "that can be retrained",
    "resume": "that can be trained further",
    "update": "that can be updated",
    "gradients": "that gives gradients",
    "loss": "whose objective can be changed",
}
"""What a recommender would have to be, by the capability that a defence misses."""


@dataclass(frozen=True)
class Victim:
    """A victim as the plan knows it: never fitted here.

    Attributes:
        fixed: handed over fitted, so that no seed of ours changes it. baseline: one of ours that has no training loop.
    """

    spec: VictimSpec
    fingerprint: str
    fixed: bool
    capabilities: frozenset[str]
    context: int
    trained_by_us: bool

    @property
    def params(self) -> dict[str, Any]:
        """As a step's parameter."""
        return {"name": self.spec.name, "settings": self.spec.settings, "fingerprint": self.fingerprint}


def describe_victim(spec: VictimSpec, model: Recommender, fingerprint: str, fixed: bool) -> Victim:
    """What the plan needs to know of a resolved recommender."""
    able = offers(model)
    return Victim(spec, fingerprint, fixed, able, context_of(model), not fixed and "loss" in able)


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


def surrogate_fit(surrogate: Victim, ground: Ground, seed: int) -> Step:
    """The attacker's own model, trained on the clean train rows, which its knowledge grants."""
    params = {"victim": surrogate.params, "seed": seed + OTHER_SEED, "defense": None}
    return Step("fit", params, {"split": ground.split})


def extraction(
    surrogate: Victim,
    how: Extraction,
    victim: Victim,
    fit: Step | None,
    guard: dict[str, Any] | None,
    ground: Ground,
    seed: int,
) -> Step:
    """The attacker's own model, trained on what the deployed victim answers; `fit` is None for a fixed one."""
    params = {
        "victim": victim.params,
        "guard": guard,
        "surrogate": surrogate.params,
        "extract": how.model_dump(mode="json"),
        "context": victim.context,
        "seed": seed,
    }
    return Step("extract", params, {"split": ground.split} | ({"model": fit} if fit else {}))


def rank_params(victim: Victim, seed: int, guard: dict[str, Any] | None = None) -> dict[str, Any]:
    """What all rankings of a victim share."""
    return {"victim": victim.params, "seed": seed, "context": victim.context, "k": LIST_LENGTH, "guard": guard}


def clean_rank(victim: Victim, ground: Ground, seed: int) -> Step:
    """A victim ranked on clean sequences, watching no targets."""
    fit = base_fit(victim, ground, seed)
    inputs = {"split": ground.split} | ({"model": fit} if fit else {})
    return Step("rank", {**rank_params(victim, seed), "targets": [], "demoted": False}, inputs)


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
    surrogate: Victim | None = None

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
        return isinstance(self.attack, PoisoningAttack) or self._acts_in("log", "training")

    def _acts_in(self, *stages: Stage) -> bool:
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

    def obstacle(self) -> str | None:
        """Why this cell is NOT_APPLICABLE, before anything runs; None if nothing is known against it."""
        able = self.victim.capabilities
        served = able & (self.defense.offers | {"lists"}) if isinstance(self.defense, ServingDefense) else able
        if self.retrains and "fit" not in able:
            return "needs a recommender that can be retrained: this one has no fit(log, *, seed)"
        if self.defense is not None and (missing := self.defense.needs - able):
            return f"the defence needs a recommender {' and '.join(LACKS[name] for name in sorted(missing))}"
        if self._acts_in("input") and isinstance(self.attack, EmbeddingAttack):
            return "deltas in the embedding space do not meet a guard that works on item ids"
        if self._acts_in("serving") and isinstance(self.attack, EmbeddingAttack):
            return "deltas in the embedding space do not pass through a service, which is asked with item ids"
        if self.surrogate is not None and isinstance(self.attack, EmbeddingAttack):
            return "deltas in a surrogate's embedding space mean nothing in the victim's"
        access = self.attack.model_access
        asked = able if self.surrogate is None else self.surrogate.capabilities
        if self.planned_on == "protected" and self.threat.knowledge.model != "gradients":
            asked = served  # who holds the weights need not ask the service
        if access != "none" and access not in asked:
            whose = "this recommender" if self.surrogate is None else f"the surrogate '{self.surrogate.spec.label}'"
            return f"needs {access}, which {whose} does not offer"
        if self.attack.needs_times and is_positional(self.ground.log):
            return f"needs times, but {self.ground.log.name} has positions within each user instead"
        if isinstance(self.attack, PoisoningAttack):
            if self.budget.users == 0 and self.budget.rows is None:
                share = self.budget_spec.label
                return f"{share} of {int((self.ground.log.lengths > 0).sum())} users is less than one fake user"
            if self.budget.rows == 0 and not self.budget.users:
                return f"{self.budget_spec.label} of {len(self.ground.log)} rows is less than one row"
        k = parse_metric(self.threat.bound.metric).k or LIST_LENGTH
        if k > LIST_LENGTH and "scores" not in served:
            return f"its bound looks at place {k}, but this recommender gives no scores, only lists of {LIST_LENGTH}"
        return None

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
            how = self.threat.surrogate.extract
            if how is None:
                return surrogate_fit(self.surrogate, self.ground, seed)
            guard = self._defense_params() if self._acts_in("input", "serving") else None
            return extraction(self.surrogate, how, self.victim, measured, guard, self.ground, seed)
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
        in_fit = defense if self._acts_in("log", "training") else None
        guard = defense if self._acts_in("input", "serving") else None
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
                planning |= {"victim": self.surrogate.params, "surrogate": True}
                if (how := self.threat.surrogate.extract) is not None:
                    planning["extracted"] = how.spent
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


def cells(
    scenario: Scenario, victims: list[Victim], ground: Ground, surrogates: Mapping[str, Victim]
) -> Iterator[Cell]:
    """All cells, in the scenario's order; those that cannot be measured are among them (see `Cell.obstacle`).

    Args:
        surrogates: by the id of the threat whose attacks are planned on it.
    """
    for threat in scenario.threats:
        for victim in victims:
            for attack in threat.attacks:
                for defense in threat.defenses:
                    if defense.against is not None and attack.name not in defense.against:
                        continue
                    for planned_on in _planned_on(attack.build(), defense.build(), threat.plan):
                        surrogate = surrogates[threat.id] if planned_on == "surrogate" else None
                        for budget in threat.budgets:
                            yield Cell(threat, victim, attack, budget, defense, planned_on, ground, surrogate)


def _planned_on(attack: Attack, defense: Defense | None, plan: tuple[Planned, ...]) -> list[PlannedOn]:
    """On what an attack is planned: a model-blind one on nothing, unless it searches under a sanitiser's suspicion."""
    direct = [stage for stage in plan if stage != "surrogate"]
    if attack.model_access == "none":
        if isinstance(attack, PoisoningAttack) and isinstance(defense, Sanitizer):
            stages: list[PlannedOn] = ["none" if stage == "plain" else "protected" for stage in direct]
            return stages or ["none"]
        return ["none"]
    planned: list[PlannedOn] = [*direct]
    if defense is None and direct:
        planned = ["plain"]
    return [*planned, "surrogate"] if "surrogate" in plan else planned


def resolvable(cell: Cell, seed: int) -> str | None:
    """Why this cell's goal cannot be resolved on this log, or None."""
    try:
        cell.goal(seed)
    except NotApplicable as error:
        return str(error)
    return None
