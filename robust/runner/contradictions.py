"""Settings that cannot all be meant: with each other, and with the log. Each is told before anything is trained.

A scenario states everything that its cells spend, aim at and judge by, so what makes no sense there is a mistake, and
never a cell that quietly measures nothing. In a program, a budget of 0 stays what it is: an attack that does nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from robust.attack import Attack
from robust.errors import InputError
from robust.log import InteractionLog
from robust.metrics.registry import parse_metric
from robust.seen import Seen
from robust.threat import BudgetSpec

if TYPE_CHECKING:
    from robust.runner.scenario import Scenario, Threat

SPENDABLE = ("users", "rows", "edits", "epsilon")


class Contradiction(ValueError):
    """Two settings that cannot both be meant; `where` leads from what is validated to the one to change."""

    def __init__(self, message: str, *where: str | int) -> None:
        super().__init__(message)
        self.where = where


def spent_in_vain(attack: Attack, name: str, budget: BudgetSpec) -> str | None:
    """Why this attack can make nothing of this budget, or not of all of it; None if it can."""
    stated = {kind for kind in SPENDABLE if getattr(budget, kind) is not None}
    if stated and stated <= attack.spends:
        return None
    return (
        f"'{name}' spends {_listed(attack.spends)}, but the budget '{budget.label}' states {_listed(stated, 'and')}. "
        f"State {_listed(attack.spends)} alone, or give each kind of attack a threat of its own."
    )


def spends_nothing(budget: BudgetSpec) -> str | None:
    """The part of a budget that is 0, so that an attack can do nothing; None if there is none."""
    return next((kind for kind in (*SPENDABLE, "queries") if getattr(budget, kind) == 0), None)


def beyond_catalogue(budget: BudgetSpec, log: InteractionLog) -> str | None:
    """Why no profile can be as long as this budget says; None if one can."""
    length = budget.profile_length
    if length == "median" or length <= log.n_items:
        return None
    return (
        f"profile_length = {length}, but {log.name} has {log.n_items} items, and a profile holds none of them twice. "
        f"Give at most {log.n_items}, or 'median'."
    )


def check_threat(threat: Threat) -> None:
    """What a threat says of itself.

    Raises:
        Contradiction: a budget that an attack cannot spend, or of nothing; a bound that the goal cannot break;
            something that stands twice.
    """
    for place, budget in enumerate(threat.budgets):
        if (kind := spends_nothing(budget)) is not None:
            message = f"{kind}: 0 lets the attack do nothing, so that nothing would be measured; state more than 0"
            raise Contradiction(message, "budgets", place, kind)
        if budget.users is None and budget.profile_length != "median":
            raise Contradiction("profile_length is that of fake users: state users, too", "budgets", place)
        if budget.epsilon is None and (budget.norm, budget.unit, budget.per) != ("l2", "neighbour", "position"):
            message = "norm, unit and per say how epsilon is measured: state epsilon, too"
            raise Contradiction(message, "budgets", place)
        copied = threat.surrogate.extract if "surrogate" in threat.plan else None
        if copied is not None and budget.queries is not None and copied.spent > budget.queries:
            message = f"the surrogate alone asks for {copied.spent} lists; allow as many, or lower extract.queries"
            raise Contradiction(message, "budgets", place, "queries")
        for spec in threat.attacks:
            if (vain := spent_in_vain(spec.build(), spec.name, budget)) is not None:
                raise Contradiction(vain, "budgets", place)
    _check_bound(threat)
    _once((f"{spec.name} {spec.build()!r}" for spec in threat.attacks), [a.label for a in threat.attacks], "attacks")
    _once(map(repr, threat.budgets), [budget.label for budget in threat.budgets], "budgets")
    _once(map(repr, threat.defenses), [defense.label for defense in threat.defenses], "defenses")
    _once(threat.plan, threat.plan, "plan")


def _check_bound(threat: Threat) -> None:
    goal, bound = threat.goal.kind, threat.bound
    exposure = parse_metric(bound.metric).name == "target_hr"
    if exposure and goal == "degrade":
        raise Contradiction("exposure needs target items: bound a drop of quality, or promote something", "bound")
    if exposure and goal == "promote" and bound.kind == "drop":
        raise Contradiction("a promotion raises the exposure of its targets, so a drop is no harm: kind: rise", "bound")
    if exposure and goal == "demote" and bound.kind != "drop":
        raise Contradiction(
            "a demotion lowers the exposure of its targets, so only a drop is harm: kind: drop", "bound", "kind"
        )
    if not exposure and bound.kind == "level":
        raise Contradiction(
            f"an attack lowers {bound.metric}, so 'at most {bound.limit:g}' cannot be broken: kind: drop",
            "bound",
            "kind",
        )


def check_scenario(scenario: Scenario) -> None:
    """What threats and victims say of each other.

    Raises:
        Contradiction: something that stands twice.
    """
    _once([threat.id for threat in scenario.threats], [threat.id for threat in scenario.threats], "threats")
    same = [repr(threat.model_copy(update={"id": "", "title": ""})) for threat in scenario.threats]
    _once(same, [threat.id for threat in scenario.threats], "threats", "says the same as an earlier threat")
    _once(map(repr, scenario.victims), [victim.label for victim in scenario.victims], "victims")


def check_log(scenario: Scenario, train: InteractionLog, holdings: Seen) -> None:
    """What a scenario says of the log that it is run on.

    Args:
        train: the train rows. holdings: what the evaluated users hold.

    Raises:
        InputError: a target that does not exist, or that everybody holds already; a list or a fake profile longer than
            the catalogue; a defence that can do nothing on these rows.
    """
    for threat in scenario.threats:
        for spec in threat.defenses:
            if (defense := spec.build()) is not None:
                defense.check_log(train)
        for said in _about_log(threat, train, holdings):
            raise InputError(f"Threat '{threat.id}': {said}")


def _about_log(threat: Threat, train: InteractionLog, holdings: Seen) -> Iterator[str]:
    catalogue = f"{train.name} has {train.n_items} items"
    k = parse_metric(threat.bound.metric).k or 1
    if threat.goal.kind != "degrade" and threat.goal.k >= train.n_items:
        yield f"goal.k = {threat.goal.k}, but {catalogue}, so that every list holds every item. Give a smaller k."
    if k >= train.n_items:
        yield f"bound.metric = {threat.bound.metric}, but {catalogue}, so that such a list holds all. Give a smaller K."
    yield from filter(None, (beyond_catalogue(budget, train) for budget in threat.budgets))
    if threat.goal.kind == "degrade" or threat.goal.redraws_targets:
        return
    try:
        targets = threat.goal.resolve(train, np.random.default_rng(0)).items  # listed, so that nothing is drawn
    except InputError as error:
        yield str(error)
        return
    held = holdings.holds(targets)
    if parse_metric(threat.bound.metric).name == "target_hr" and len(held):
        for place in np.flatnonzero(held.all(axis=0)):
            name = targets[place] if train.item_ids is None else train.item_ids[targets[place] - 1]
            yield (
                f"target '{name}' is held by all {len(held)} evaluated users, and exposure is measured on users who do "
                "not hold it yet. Choose another item, or let cold*5 draw some."
            )


def _once(values: Iterable[str], labels: Iterable[str], room: str, said: str = "stands twice") -> None:
    keys, names = list(values), list(labels)
    count = Counter(keys)
    for place, (key, name) in enumerate(zip(keys, names, strict=True)):
        if count[key] > 1 and keys.index(key) < place:
            raise Contradiction(f"'{name}' {said} in {room}", room, place)


def _listed(names: Iterable[str], link: str = "or") -> str:
    return f" {link} ".join(sorted(names)) or "nothing"
