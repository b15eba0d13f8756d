"""What an attack used of what its scenario grants. Granting more than an attack looks at makes it no harder to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from robust.access import ACCESS, Access
from robust.attack import PoisoningAttack
from robust.defense import Sanitizer, ServingDefense
from robust.runner.cell import Cell

LogAccess = Literal["none", "popularity", "full"]


def access_used(cell: Cell, notes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`model`: the most of the victim that was looked at under any seed. `log`: what of the log the attack needs.

    Args:
        notes: what the steps noted, per seed; `sees` counts what an attack really asked for.
    """
    return {"model": _model(cell, notes), "log": _log(cell)}


def _model(cell: Cell, notes: Sequence[Mapping[str, Any]]) -> Access:
    granted = cell.threat.knowledge.model
    if cell.planned_on == "surrogate":  # a model of one's own is looked at; of the victim's, the lists it was made from
        return "none" if cell.surrogate is None or cell.surrogate.extract is None else "lists"
    if cell.planned_on == "protected" and isinstance(cell.defense, ServingDefense) and granted == "gradients":
        return granted  # who holds the weights goes around the service
    return max((note.get("sees", cell.attack.model_access) for note in notes), key=ACCESS.index, default=granted)


def _log(cell: Cell) -> LogAccess:
    granted = cell.threat.knowledge.log
    own_model = cell.surrogate is not None and cell.surrogate.extract is None  # is trained on the log
    adapts = cell.planned_on == "protected" and isinstance(cell.defense, Sanitizer)
    if own_model or cell.attack.runs():  # which of the attacks that it runs used what is not noted
        return granted
    # to see how suspicious fake users look takes the rows that they stand among
    return "full" if adapts and isinstance(cell.attack, PoisoningAttack) else cell.attack.needs_log
