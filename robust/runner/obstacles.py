"""Why a cell is NOT_APPLICABLE, before anything runs."""

from __future__ import annotations

from collections.abc import Callable

from robust.attack import EmbeddingAttack, PoisoningAttack
from robust.datasets.filters import is_positional
from robust.defense import ServingDefense
from robust.errors import NotApplicable
from robust.extraction import SHORTEST
from robust.metrics.registry import parse_metric
from robust.runner.cell import Cell
from robust.runner.ground import LIST_LENGTH
from robust.runner.surrogate import needs_copy, surrogate_of

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


def obstacle(cell: Cell) -> str | None:
    """Why this cell cannot be measured; None if nothing is known against it."""
    return next((found for check in CHECKS if (found := check(cell)) is not None), None)


def resolvable(cell: Cell, seed: int) -> str | None:
    """Why this cell's goal cannot be resolved on this log, or None."""
    try:
        cell.goal(seed)
    except NotApplicable as error:
        return str(error)
    return None


def _of_the_victim(cell: Cell) -> str | None:
    able = cell.victim.capabilities
    if cell.retrains and "fit" not in able:
        why = cell.victim.lacks.get("fit", "this one has no fit(log, *, seed)")
        return f"needs a recommender that can be retrained: {why}"
    if cell.defense is not None and (missing := cell.defense.needs - able):
        return f"the defence needs a recommender {' and '.join(LACKS[name] for name in sorted(missing))}"
    return None


def _of_deltas(cell: Cell) -> str | None:
    if not isinstance(cell.attack, EmbeddingAttack):
        return None
    if cell.acts_in("input"):
        return "deltas in the embedding space do not meet a guard that works on item ids"
    if cell.acts_in("serving"):
        return "deltas in the embedding space do not pass through a service, which is asked with item ids"
    if cell.surrogate is not None:
        return "deltas in a surrogate's embedding space mean nothing in the victim's"
    return None


def _of_access(cell: Cell) -> str | None:
    access = cell.attack.model_access
    asked = cell.victim.capabilities if cell.surrogate is None else cell.surrogate.model.capabilities
    if cell.planned_on == "protected" and cell.threat.knowledge.model != "gradients":
        asked = _served(cell)  # who holds the weights need not ask the service
    if access == "none" or access in asked:
        return None
    if cell.surrogate is not None:
        return f"needs {access}, which the surrogate '{cell.surrogate.model.spec.label}' does not offer"
    why = cell.victim.lacks.get(access)
    said = f"needs {access}, which this recommender does not offer" + (f" ({why})" if why else "")
    return f"{said}; planned on a copy made from its lists instead" if _copied(cell) else said


def _copied(cell: Cell) -> bool:
    """Whether the same is planned on a copy of the victim, of which the budget pays for a single history at least."""
    how, most = surrogate_of(cell.threat).extract, cell.budget.queries
    wanted = needs_copy(cell.threat, cell.victim, cell.attack_spec)
    return wanted and how is not None and (most is None or how.length <= most)


def _served(cell: Cell) -> frozenset[str]:
    """What can be had of the victim as it is deployed."""
    able = cell.victim.capabilities
    return able & (cell.defense.offers | {"lists"}) if isinstance(cell.defense, ServingDefense) else able


def _of_queries(cell: Cell) -> str | None:
    how, most = cell.surrogate.extract if cell.surrogate else None, cell.budget.queries
    if how is None or most is None or how.spent <= most:
        return None
    said = f"its surrogate asks for {how.spent:,} lists, but the budget allows {most:,} queries"
    if most < SHORTEST:
        return f"{said}, and no copy can be made of fewer than {SHORTEST}"
    shorter = f", length: {most}" if most < how.length else ""
    return (
        f"{said}: state fewer, as surrogate: "
        f"{{name: {cell.threat.surrogate.name}, extract: {{queries: {most}{shorter}}}}}"
    )


def _of_times(cell: Cell) -> str | None:
    if cell.attack.needs_times and is_positional(cell.ground.log):
        return f"needs times, but {cell.ground.log.name} has positions within each user instead"
    return None


def _of_poison(cell: Cell) -> str | None:
    if not isinstance(cell.attack, PoisoningAttack):
        return None
    log = cell.ground.log
    if cell.budget.users == 0 and cell.budget.rows is None:
        return f"{cell.budget_spec.label} of {int((log.lengths > 0).sum())} users is less than one fake user"
    if cell.budget.rows == 0 and not cell.budget.users:
        return f"{cell.budget_spec.label} of {len(log)} rows is less than one row"
    return None


def _of_place(cell: Cell) -> str | None:
    k = parse_metric(cell.threat.bound.metric).k or LIST_LENGTH
    if k > LIST_LENGTH and "scores" not in _served(cell):
        return f"its bound looks at place {k}, but this recommender gives no scores, only lists of {LIST_LENGTH}"
    return None


CHECKS: tuple[Callable[[Cell], str | None], ...] = (
    _of_the_victim,
    _of_deltas,
    _of_access,
    _of_queries,
    _of_times,
    _of_poison,
    _of_place,
)
