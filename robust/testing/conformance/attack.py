"""What every attack promises: it is what it says, spends what it may, sees what it may, and is repeatable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np

from robust.access import AccessView
from robust.attack import AnyGoal, Attack, EmbeddingAttack, Evaded, EvasionAttack, Poisoned, PoisoningAttack
from robust.checks import edit_distance
from robust.datasets.synthetic import load as synthetic
from robust.errors import BudgetExceeded, NotApplicable
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.protocols import Recommender
from robust.recommenders.recurrent import GRU4Rec
from robust.testing.conformance.base import Check, Outcome, require, run_suite
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote

CONTEXT = 8
AMOUNTS = (1, 2, 3)


@cache
def trial() -> tuple[InteractionLog, Recommender]:
    """A small log with structure, and a small recurrent victim of it that offers everything."""
    whole = synthetic()
    some = whole.user < 80
    columns = whole.user[some], whole.item[some], whole.timestamp[some]
    rows = InteractionLog.from_columns(*columns, n_users=80, n_items=whole.n_items, name="synthetic, 80 users")
    model = GRU4Rec(context=CONTEXT, dimension=8, max_steps=30, min_steps=30, batch_size=32).fit(rows, seed=0)
    return rows, model


def histories(log: InteractionLog, rows: int | None = None) -> SequenceBatch:
    """Histories of the first users, the newest 1 to `CONTEXT` items of each, so that some have padding."""
    whole = log.sequences(CONTEXT, np.arange(log.n_users if rows is None else min(rows, log.n_users)))
    kept = 1 + np.arange(len(whole)) * 5 % CONTEXT
    items = np.where(np.arange(CONTEXT) >= CONTEXT - kept[:, None], whole.items, 0)
    return SequenceBatch(items, whole.users)


@dataclass(frozen=True)
class Attacked:
    """An attack under test, on the trial log and victim. seed: of its draws."""

    attack: Attack
    seed: int = 0

    @property
    def sequences(self) -> SequenceBatch:
        """What it edits or perturbs: 12 histories."""
        return histories(trial()[0], 12)

    @property
    def goals(self) -> list[AnyGoal]:
        """One of each kind that it pursues."""
        every: list[AnyGoal] = [Promote(items=(3, 7)), Demote(items=(1, 2)), Degrade()]
        return [goal for goal in every if goal.kind in self.attack.goals]

    def budget(self, amount: int, queries: int | None = None) -> Budget:
        """So many units of what it spends."""
        if isinstance(self.attack, PoisoningAttack):
            return Budget(users=amount, profile_length=5, rows=0, queries=queries)
        if isinstance(self.attack, EvasionAttack):
            return Budget(edits=amount, queries=queries)
        return Budget(epsilon=0.25 * amount, queries=queries)

    def run(self, goal: AnyGoal, budget: Budget, seed: int | None = None) -> Any:
        """Its outcome, with exactly the knowledge that it declares."""
        log, model = trial()
        access = AccessView(
            attack=self.attack.name,
            knowledge=Knowledge(log=self.attack.log_access, model=self.attack.model_access),
            n_items=log.n_items,
            log=log,
            recommender=None if self.attack.model_access == "none" else model,
            queries=budget.queries,
        )
        rng = np.random.default_rng(self.seed if seed is None else seed)
        if isinstance(self.attack, PoisoningAttack):
            return self.attack(access, goal, budget, rng)
        return cast(Any, self.attack)(access, self.sequences, goal, budget, rng)


def as_bytes(outcome: Any) -> bytes:
    """All that an attack hands back."""
    if isinstance(outcome, Poisoned):
        edit = outcome.edit
        arrays: list[Any] = [
            edit.add,
            edit.remove,
            edit.replace_rows,
            edit.replace_items,
            edit.move_rows,
            edit.move_times,
        ]
        arrays += [edit.move_rows, edit.move_times, edit.insert_users, edit.insert_items, edit.insert_times]
        arrays += [] if edit.times is None else [edit.times]
        return b"".join(array.tobytes() for array in arrays)
    if isinstance(outcome, Evaded):
        return outcome.sequences.items.tobytes()
    return bytes(outcome.deltas.numpy().tobytes())


def _metadata(subject: Attacked) -> None:
    kind = type(subject.attack)
    require(getattr(kind, "name", ""), "It has no name.")
    require(len(getattr(kind, "source", "")) > 5, "It names no source (paper and section).")
    require(subject.goals, "It pursues none of promote, demote, degrade.")
    require(kind(**subject.attack.model_dump()) == subject.attack, "Its parameters do not survive being written down.")


def _zero(subject: Attacked) -> None:
    for goal in subject.goals:
        outcome = subject.run(goal, subject.budget(0))
        if isinstance(outcome, Poisoned):
            edited, log = outcome.edit.apply(trial()[0]), trial()[0]
            same = edited.item.tobytes() == log.item.tobytes() and edited.n_users == log.n_users
            require(same, f"With nothing to spend it changed the log ({goal.kind}).")
        elif isinstance(outcome, Evaded):
            unchanged = np.array_equal(outcome.sequences.items, subject.sequences.items)
            require(unchanged, f"With nothing to spend it edited sequences ({goal.kind}).")
        else:
            require(not bool(outcome.deltas.any()), f"With nothing to spend it perturbed embeddings ({goal.kind}).")


def _budget(subject: Attacked) -> None:
    for goal in subject.goals:
        for amount in AMOUNTS:
            budget = subject.budget(amount)
            outcome = subject.run(goal, budget)  # the base checks too, and raises BudgetExceeded
            if isinstance(outcome, Poisoned):
                longest = int((outcome.edit.add != 0).sum(axis=1).max(initial=0))
                require(outcome.edit.fake_users <= amount, f"{outcome.edit.fake_users} fake users of {amount}.")
                require(longest <= 5, f"A profile of {longest} items of 5.")
            elif isinstance(outcome, Evaded):
                distance = int(edit_distance(subject.sequences, outcome.sequences).max(initial=0))
                require(distance <= amount, f"{distance} edits of {amount}.")
            else:
                largest = float(outcome.deltas.norm(dim=-1).max())
                require(largest <= outcome.epsilon * 1.0001, f"‖δ‖ = {largest:.5g} of ε = {outcome.epsilon:.5g}.")


def _spends(subject: Attacked) -> None:
    changed = False
    for goal in subject.goals:
        outcome = subject.run(goal, subject.budget(2))
        if isinstance(outcome, Poisoned):
            changed |= outcome.edit.fake_users + outcome.edit.touched_rows > 0
        elif isinstance(outcome, Evaded):
            changed |= not np.array_equal(outcome.sequences.items, subject.sequences.items)
        else:
            changed |= bool(outcome.deltas.any())
    require(changed, "With something to spend it changed nothing, whatever the goal.")


def _repeatable(subject: Attacked) -> None:
    import torch

    goal, budget = subject.goals[0], subject.budget(2)
    state, drawn = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - whether it draws from them
    first = as_bytes(subject.run(goal, budget))
    require(np.array_equal(state[1], np.random.get_state()[1]), "It draws from numpy's global generator.")  # type: ignore[index] # noqa: NPY002
    require(bool(torch.equal(drawn, torch.get_rng_state())), "It draws from torch's global generator.")
    require(first == as_bytes(subject.run(goal, budget)), "The same seed gave other bytes.")


def _inputs(subject: Attacked) -> None:
    log, model = trial()
    before = log.item.tobytes(), log.timestamp.tobytes(), cast(Any, model).item_embeddings.numpy().tobytes()
    clean = subject.sequences.items.tobytes()
    for goal in subject.goals:
        subject.run(goal, subject.budget(2))
    after = log.item.tobytes(), log.timestamp.tobytes(), cast(Any, model).item_embeddings.numpy().tobytes()
    require(before == after, "The log or the victim has changed.")
    require(clean == subject.sequences.items.tobytes(), "The sequences have changed.")


def _queries(subject: Attacked) -> None:
    if subject.attack.model_access == "none":
        raise NotApplicable("asks the model nothing")
    goal, rows = subject.goals[-1], len(subject.sequences)
    free = subject.run(goal, subject.budget(1)).queries
    for limit in sorted({0, rows, max(free - 1, 0), free}):
        try:
            spent = subject.run(goal, subject.budget(1, queries=limit)).queries
        except BudgetExceeded:
            continue  # refused before it was answered: that is the limit holding
        require(spent <= limit, f"{spent} queries of {limit}.")


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
    Check("zero budget", "A budget of nothing is the identity.", _zero),
    Check("budget", "It stays within its budget, to the unit, with exactly the knowledge that it declares.", _budget),
    Check("effect", "With something to spend it does something.", _spends),
    Check("repeatable", "The same seed gives the same bytes, and global generators are left alone.", _repeatable),
    Check("inputs", "It leaves log, victim and sequences alone.", _inputs),
    Check("queries", "It never asks more than its query limit.", _queries),
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
