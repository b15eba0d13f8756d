"""What every attack promises: it is what it says, spends what it may, sees what it may, and is repeatable."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from robust.attack import Attack, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.errors import NotApplicable
from robust.testing.conformance import constraints, spending
from robust.testing.conformance.attacked import Attacked, as_bytes, own_copy, trial
from robust.testing.conformance.base import Check, Outcome, require, run_suite
from robust.testing.conformance.fitting import columns
from robust.testing.conformance.generators import untouched_generators


def _metadata(subject: Attacked) -> None:
    kind = type(subject.attack)
    require(getattr(kind, "name", ""), "It has no name.")
    require(len(getattr(kind, "source", "")) > 5, "It names no source (paper and section).")
    require(subject.goals, "It pursues none of promote, demote, degrade.")
    require(kind(**subject.attack.model_dump()) == subject.attack, "Its parameters do not survive being written down.")


def _repeatable(subject: Attacked) -> None:
    """To the byte, whatever it did in between: an attack keeps no memory."""
    first = {}
    for goal in subject.goals:
        with untouched_generators("while it runs"):
            first[goal.kind] = as_bytes(subject.run(goal, subject.budget(2))[0])
    for goal in subject.goals:
        subject.run(goal, subject.budget(1))
        again = as_bytes(subject.run(goal, subject.budget(2))[0])
        require(first[goal.kind] == again, f"The same seed gave other bytes ({goal.kind}).")


def _inputs(subject: Attacked) -> None:
    log, model = trial()
    arrays = model.state()[0]
    before, weights = columns(log), {name: array.tobytes() for name, array in arrays.items()}
    for goal in subject.goals:
        given = subject.sequences
        clean = own_copy(given)
        subject.run(goal, subject.budget(2), given)
        require(np.array_equal(clean.items, given.items), "The sequences have changed.")
        require(np.array_equal(clean.users, given.users), "The sequences' users have changed.")
    require(before == columns(log), "The log has changed.")
    after = {name: array.tobytes() for name, array in model.state()[0].items()}
    require(weights == after, "The victim has changed.")


def _knowledge(subject: Attacked) -> None:
    """What it does is the same for any value of what it does not know."""
    others = [(subject.with_next_items(3), subject.with_next_items(11), "the true next items")]
    if subject.attack.needs_log != "full":
        log = trial()[0]
        mixed = np.random.default_rng([subject.seed, 0x70]).permutation(log.item)
        others.append((subject, replace(subject, log=replace(log, item=mixed)), "the train rows"))
    for one, other, what in others:
        for goal in subject.goals:
            here, there = (as_bytes(case.run(goal, case.budget(2))[0]) for case in (one, other))
            require(here == there, f"It goes by {what}, which it is not granted ({goal.kind}).")


def _control(subject: Attacked) -> None:
    control = subject.attack.control_attack(subject.budget(2))
    if control is None:
        raise NotApplicable("has no control")
    from robust import plugins

    beside = plugins.build("attacks", *control)
    order: tuple[Literal["none", "lists", "scores", "gradients"], ...] = ("none", "lists", "scores", "gradients")
    more = order.index(beside.model_access) > order.index(subject.attack.model_access)
    require(not more, f"Its control '{control[0]}' sees more of the model than it does.")
    require(subject.attack.goals & beside.goals, f"Its control '{control[0]}' pursues other goals.")


CHECKS: tuple[Check[Attacked], ...] = (
    Check("metadata", "An attack says what it is, and has parameters that can be written down.", _metadata),
    Check("zero budget", "A budget of nothing is the identity.", spending.zero),
    Check(
        "budget",
        "It stays within its budget, to the unit, with exactly the knowledge that it declares.",
        spending.within,
    ),
    Check("effect", "With something to spend it does something.", spending.effect),
    Check("nested budgets", "A larger budget does no less harm than a smaller one.", spending.nested),
    Check("repeatable", "The same seed gives the same bytes, and global generators are left alone.", _repeatable),
    Check("inputs", "It leaves log, victim and sequences alone.", _inputs),
    Check("knowledge", "It goes by nothing that it does not declare to need.", _knowledge),
    Check("split", "Poison keeps within the train rows' span of time.", constraints.split),
    Check("similarity", "No substitute is less similar to what it replaces than τ says.", constraints.similarity),
    Check("queries", "It pays for each question, and never asks more than its query limit.", spending.queries),
    Check("control", "Its control can stand in its place.", _control),
)


def attack_checks() -> list[Check[Attacked]]:
    """All checks of an attack, to parametrise a test with; each takes `Attacked(attack)`."""
    return list(CHECKS)


def check_attack(attack: Attack, *, seed: int = 0, raises: bool = True) -> list[Outcome]:
    """Check all that an attack promises, on a small log and victim.

    Raises:
        NonConformity: with `raises`, if a promise is broken, naming all of them.
    """
    kinds = (PoisoningAttack, EvasionAttack, EmbeddingAttack)
    require(isinstance(attack, kinds), f"{attack!r} is neither a poisoning, an evasion nor an embedding attack.")
    return run_suite(CHECKS, Attacked(attack, seed), attack.name, raises=raises)
