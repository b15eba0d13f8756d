"""From a scenario to its cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from robust.attack import Attack, PoisoningAttack
from robust.defense import Defense, Sanitizer
from robust.runner.cell import Cell, PlannedOn
from robust.runner.ground import Ground, Victim
from robust.runner.scenario import Planned, Scenario
from robust.runner.surrogate import Surrogate, needs_copy


def cells(
    scenario: Scenario, victims: list[Victim], ground: Ground, surrogates: Mapping[str, Surrogate]
) -> Iterator[Cell]:
    """All cells, in the scenario's order; those that cannot be measured are among them (see `Cell.obstacle`).

    Args:
        surrogates: by the id of the threat whose attacks are planned on it (see `surrogate_of`).
    """
    for threat in scenario.threats:
        for victim in victims:
            for attack in threat.attacks:
                copied = needs_copy(threat, victim, attack)
                for defense in threat.defenses:
                    if defense.against is not None and attack.name not in defense.against:
                        continue
                    stages = _planned_on(attack.build(), defense.build(), threat.plan)
                    for planned_on in [*stages, "surrogate"] if copied else stages:
                        for budget in threat.budgets:
                            surrogate = surrogates[threat.id] if planned_on == "surrogate" else None
                            if surrogate is not None and copied:
                                surrogate = surrogate.within(budget.queries)
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
