"""What an attack at inference may be and may spend, checked where a person states it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robust import plugins
from robust.attack import Attack, EmbeddingAttack, EvasionAttack
from robust.errors import InputError
from robust.recommenders.settings import parse
from robust.threat import BudgetSpec


def inference_budget(budget: BudgetSpec | Mapping[str, Any] | None) -> BudgetSpec:
    """What an attack at inference may spend, `{"edits": 1}` by default.

    Raises:
        InputError: an unknown field, or anything else than edits or epsilon.
    """
    if isinstance(budget, BudgetSpec):
        return _checked(budget)
    given = {"edits": 1} if budget is None else dict(budget)
    spec = parse(BudgetSpec, "the budget", given)
    return _checked(spec)


def _checked(spec: BudgetSpec) -> BudgetSpec:
    spends = [name for name in ("users", "rows", "edits", "epsilon") if getattr(spec, name) is not None]
    if spends not in (["edits"], ["epsilon"]):
        raise InputError(
            f"The budget spends {' and '.join(spends)}: an attack at inference spends edits or epsilon, one of them, "
            "as in {'edits': 1}."
        )
    return spec


def inference_attack(attack: str | Attack) -> EvasionAttack | EmbeddingAttack:
    """An attack by name or as it is.

    Raises:
        InputError: unknown, no attack, or one that changes the log that a model is trained on.
    """
    built = plugins.load("attacks", attack)() if isinstance(attack, str) else attack
    if not isinstance(built, Attack):
        raise InputError(f"attack={attack!r}: expected an attack's name, an instance of one, or a list of them.")
    if not isinstance(built, (EvasionAttack, EmbeddingAttack)):
        raise InputError(
            f"'{built.name}' changes the log that a model is trained on; this assertion judges attacks at inference. "
            "Use a scenario (robust review) for poisoning."
        )
    return built
