"""The attacker's own model: stated by a threat, or taken out of a victim that gives less than an attack needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from robust.attack import EmbeddingAttack
from robust.extraction import Extraction
from robust.runner.ground import Ground, Victim
from robust.runner.scenario import NO_SURROGATE, AttackSpec, SurrogateSpec, Threat
from robust.runner.step import OTHER_SEED, Step

COPY_QUERIES = 5_000
"""Lists that are asked for to copy a victim that gives no gradients, where the scenario does not say how many."""


@dataclass(frozen=True)
class Surrogate:
    """The attacker's own model: trained on the train rows, or on what the deployed victim answers.

    Attributes:
        extract: how it is taken out of the victim; None where it is trained on the log.
    """

    model: Victim
    extract: Extraction | None = None

    def within(self, queries: int | None) -> Surrogate:
        """The same, taken out with at most so many lists, if that pays for a single history."""
        how = self.extract
        if how is None or queries is None or not how.length <= queries < how.spent:
            return self
        fewer = how.model_copy(update={"queries": queries})
        spec = self.model.spec.model_copy(update={"extract": fewer})
        return Surrogate(replace(self.model, spec=spec), fewer)

    def fit(
        self, victim: Victim, measured: Step | None, guard: dict[str, Any] | None, ground: Ground, seed: int
    ) -> Step:
        """The step that makes it; `measured` is the victim's own fit, None for a fixed one."""
        if self.extract is None:
            # on the clean rows, which the attacker's knowledge grants
            params = {"victim": self.model.params, "seed": seed + OTHER_SEED, "defense": None}
            return Step("fit", params, {"split": ground.split})
        params = {
            "victim": victim.params,
            "guard": guard,
            "surrogate": self.model.params,
            "extract": self.extract.model_dump(mode="json"),
            "context": victim.context,
            "seed": seed,
        }
        return Step("extract", params, {"split": ground.split} | ({"model": measured} if measured else {}))


def needs_copy(threat: Threat, victim: Victim, attack: AttackSpec) -> bool:
    """Whether an attack needs of a victim what it does not give, so that it is planned on a copy of it instead.

    Who may look inside may also ask for lists. Deltas of embeddings do not transfer, and a threat that states a
    surrogate of its own, or none, is left as it is.
    """
    built = attack.build()
    if "surrogate" in threat.plan or threat.surrogate.name == NO_SURROGATE or isinstance(built, EmbeddingAttack):
        return False
    return built.model_access not in {"none", "lists"} and built.model_access not in victim.capabilities


def surrogate_of(threat: Threat) -> SurrogateSpec:
    """The attacker's own model of a threat; one that nobody asked for is taken out of the victim's lists."""
    stated = threat.surrogate
    if "surrogate" in threat.plan or stated.extract is not None:
        return stated
    return stated.model_copy(update={"extract": Extraction(queries=COPY_QUERIES)})
