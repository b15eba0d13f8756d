"""A fixed portfolio of attacks, of which the worst counts.

After AutoAttack (Croce and Hein, ICML 2020, section 5): whoever evaluates with one attack evaluates that attack; a
small fixed set of different ones, without parameters to tune, is harder to fool by accident.

AutoAttack keeps the worst outcome of each input. Here the member is chosen for one half of the users on the other
half, and so for both: what is reported of a user was not chosen on that user, so noise is not counted as strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robust import plugins
from robust.access import AccessView
from robust.attack import AnyGoal, Attack
from robust.errors import NotApplicable
from robust.frozen import Frozen

Kind = TypeVar("Kind", bound=Attack)


class Member(Frozen):
    """An attack of a portfolio by name, with the parameters that differ from its defaults."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        """`pgd`, `{name: pgd, steps: 20}` and `{name: pgd, parameters: {steps: 20}}` alike."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "parameters" not in value:
            return {"name": value.get("name"), "parameters": {k: v for k, v in value.items() if k != "name"}}
        return value

    def build(self) -> Attack:
        """The attack itself."""
        attack: Attack = plugins.build("attacks", self.name, self.parameters)
        return attack


def usable(attacks: Sequence[Kind], access: AccessView, goal: AnyGoal) -> list[Kind]:
    """Those that pursue this goal with what this attacker knows.

    Raises:
        NotApplicable: none does.
    """
    found = [
        attack
        for attack in attacks
        if goal.kind in attack.goals
        and access.knowledge.grants_model(attack.model_access)
        and (attack.needs_log != "full" or access.knowledge.log == "full")
    ]
    if not found:
        names = ", ".join(attack.name for attack in attacks)
        raise NotApplicable(f"none of {names} can {goal.kind} with what this attacker knows")
    return found


def chosen_on_the_other_half(harm: NDArray[np.floating[Any]], rng: np.random.Generator) -> NDArray[np.int64]:
    """int64 [B], for each row the member of largest mean harm over the half to which the row does not belong.

    Args:
        harm: float [members, B]. A single row is its own other half.
    """
    rows = harm.shape[1]
    first = np.zeros(rows, dtype=bool)
    first[rng.permutation(rows)[: rows // 2]] = True
    chosen = np.empty(rows, dtype=np.int64)
    for half in (first, ~first):
        seen = ~half if (~half).any() else half
        chosen[half] = int(np.argmax(harm[:, seen].mean(axis=1)))
    return chosen
