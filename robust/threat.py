"""What an attacker wants, may spend, and knows.

`Goal`, `Budget` and `Knowledge` are resolved and concrete; `GoalSpec` and `BudgetSpec` are their forms in a scenario
(`promote: cold*5`, `users: 1%`), which depend on a log and a seed until they are resolved.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from robust.frozen import Frozen, Stated
from robust.log import InteractionLog
from robust.targets import CHOICE, draw_targets, find_items


class Promote(Stated):
    """The target items enter the top-`k` lists of users who do not hold them."""

    kind: Literal["promote"] = "promote"
    items: tuple[int, ...] = Field(min_length=1)
    k: int = Field(default=10, ge=1)


class Demote(Stated):
    """The target items leave the top-`k` lists."""

    kind: Literal["demote"] = "demote"
    items: tuple[int, ...] = Field(min_length=1)
    k: int = Field(default=10, ge=1)


class Degrade(Frozen):
    """The true next item falls in everybody's list."""

    kind: Literal["degrade"] = "degrade"

    @property
    def items(self) -> tuple[int, ...]:
        """No targets."""
        return ()


Goal = Annotated[Promote | Demote | Degrade, Field(discriminator="kind")]


class Knowledge(Frozen):
    """What the attacker knows; an access view offers this and no more.

    Attributes:
        log: `none`, `popularity` (items and how often each occurs) or `full` (the train rows).
        model: `none`, `lists` (ranked ids), `scores`, or `gradients` (white box).
        next_item: whether the true next item of each test sequence is known; results are then labelled *worst case*.
    """

    log: Literal["none", "popularity", "full"] = "popularity"
    model: Literal["none", "lists", "scores", "gradients"] = "none"
    next_item: bool = False

    def grants_model(self, needed: Literal["none", "lists", "scores", "gradients"]) -> bool:
        """Whether this knowledge of the model includes `needed`."""
        order = ("none", "lists", "scores", "gradients")
        return order.index(self.model) >= order.index(needed)


Norm = Literal["l2", "linf"]
Per = Literal["position", "sequence"]


class _Sized:
    """What budgets are ordered by."""

    @property
    def size(self) -> float:
        """The first limit stated of users, rows, edits and epsilon: one number to order budgets of a kind by."""
        limits = (getattr(self, name) for name in ("users", "rows", "edits", "epsilon"))
        return float(next((limit for limit in limits if limit is not None), 0))


class Budget(Stated, _Sized):
    """What an attack may spend, in whole units. A limit of None means that this kind of spending is not allowed.

    Attributes:
        users: fake users. profile_length: items per fake profile, targets included.
        rows: genuine rows touched. edits: edits per test sequence (insert, delete, replace: one each).
        epsilon: radius in the embedding space, in units of `unit`, in norm `norm`, of each position's delta or of a
            sequence's whole delta (`per`).
        queries: lists asked of the recommender in all; None means unlimited (they are counted all the same).
    """

    users: int | None = Field(default=None, ge=0)
    profile_length: int | None = Field(default=None, ge=1)
    rows: int | None = Field(default=None, ge=0)
    edits: int | None = Field(default=None, ge=0)
    epsilon: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    norm: Norm = "l2"
    per: Per = "position"
    unit: Literal["neighbour", "absolute"] = "neighbour"
    queries: int | None = Field(default=None, ge=0)


def _share(value: Any) -> Any:
    """`1%` or `0.01` as a share; a whole number of 1 or more as a count."""
    if not isinstance(value, str) or re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", value):
        return value
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", value):
        return float(value.strip().rstrip("%")) / 100
    raise ValueError(f"expected a count such as 30, or a share such as 1%, got '{value}'")


class BudgetSpec(Frozen, _Sized):
    """A budget as a scenario states it: `users` as a count or a share of the genuine train users, `profile_length` as
    a number or `median`. `resolve` makes it a `Budget` in whole units."""

    users: Annotated[int | float | None, BeforeValidator(_share)] = Field(default=None, ge=0)
    profile_length: int | Literal["median"] = "median"
    rows: Annotated[int | float | None, BeforeValidator(_share)] = Field(default=None, ge=0)
    edits: int | None = Field(default=None, ge=0)
    epsilon: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    norm: Norm = "l2"
    per: Per = "position"
    unit: Literal["neighbour", "absolute"] = "neighbour"
    queries: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _spends_something(self) -> Self:
        if all(v is None for v in (self.users, self.rows, self.edits, self.epsilon)):
            raise ValueError("a budget states at least one of users, rows, edits, epsilon")
        for name in ("users", "rows"):
            value = getattr(self, name)
            if isinstance(value, float) and not 0 <= value <= 1:
                raise ValueError(f"{name}: a share lies between 0% and 100%, got {value}")
        if isinstance(self.profile_length, int) and self.profile_length < 1:
            raise ValueError("profile_length: at least 1")
        return self

    @property
    def label(self) -> str:
        """How a report names it: `1% fake users`, `2 edits`, `ε = 0.5`, `ε = 0.5 in linf`."""
        parts = []
        if self.users is not None:
            amount = f"{self.users:.3%}" if isinstance(self.users, float) else f"{self.users}"
            amount = re.sub(r"\.?0+%$", "%", amount) if "." in amount else amount
            parts.append(f"{amount} fake users")
            parts += [] if self.profile_length == "median" else [f"profiles of {self.profile_length}"]
        if self.rows is not None:
            parts.append(f"{self.rows} rows" if isinstance(self.rows, int) else f"{self.rows:.2%} of rows")
        if self.edits is not None:
            parts.append(f"{self.edits} edit{'s' if self.edits != 1 else ''}")
        if self.epsilon is not None:
            parts.append(self._radius)
        if self.queries is not None:
            parts.append(f"{self.queries} queries")
        return ", ".join(parts)

    @property
    def _radius(self) -> str:
        """ε, and in which way it is not the usual one: budgets that differ are named differently."""
        absolute = " absolute" if self.unit == "absolute" else ""
        norm = f" in {self.norm}" if self.norm != "l2" else ""
        per = " per sequence" if self.per == "sequence" and self.norm == "l2" else ""
        return f"ε = {self.epsilon:g}{absolute}{norm}{per}"

    def resolve(self, log: InteractionLog) -> Budget:
        """Whole units on this log of genuine train rows: 1% of 2,561 users is 25, rounded down."""
        active = log.lengths[log.lengths > 0]

        def count(value: int | float | None, whole: int) -> int | None:
            # the tiny amount keeps 0.29 · 100 = 28.999999999999996 from losing a unit
            return int(np.floor(value * whole + 1e-9)) if isinstance(value, float) else value

        length = int(np.median(active)) if self.profile_length == "median" and len(active) else self.profile_length
        return Budget(
            users=count(self.users, len(active)),
            profile_length=None if self.users is None or length == "median" else max(int(length), 1),
            rows=count(self.rows, len(log)),
            edits=self.edits,
            epsilon=self.epsilon,
            norm=self.norm,
            per=self.per,
            unit=self.unit,
            queries=self.queries,
        )


class GoalSpec(Frozen):
    """A goal as a scenario states it: `promote: cold*5`, `demote: [12, 40]`, `degrade: true`; `k` for lists.

    Targets are `cold*n` (the lowest fifth of popularity with at least one train row), `popular*n` (the highest
    fifth), `any*n`, or a list of raw item ids. Drawn targets are drawn anew for each seed.
    """

    promote: str | tuple[int | str, ...] | None = None
    demote: str | tuple[int | str, ...] | None = None
    degrade: Literal[True] | None = None
    k: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        given = [v for v in (self.promote, self.demote, self.degrade) if v is not None]
        if len(given) != 1:
            raise ValueError("a goal is one of promote, demote, degrade")
        if isinstance(given[0], str) and not (match := CHOICE.fullmatch(given[0])):
            raise ValueError(f"targets are cold*5, popular*5, any*5 or a list of item ids, got '{given[0]}'")
        if isinstance(given[0], str) and match and int(match[2]) == 0:
            raise ValueError(f"'{given[0]}' draws no target; draw at least one, as in cold*1")
        if isinstance(given[0], tuple) and not given[0]:
            raise ValueError("a list of targets holds at least one item")
        return self

    @property
    def kind(self) -> Literal["promote", "demote", "degrade"]:
        """Which goal this is."""
        return "promote" if self.promote is not None else "demote" if self.demote is not None else "degrade"

    @property
    def label(self) -> str:
        """How a report names it: `promote cold*5 into the top 10`."""
        targets = self.promote if self.promote is not None else self.demote
        if targets is None:
            return "degrade everybody's list"
        named = targets if isinstance(targets, str) else ", ".join(map(str, targets))
        return f"{self.kind} {named} {'into' if self.kind == 'promote' else 'out of'} the top {self.k}"

    @property
    def redraws_targets(self) -> bool:
        """Whether each seed draws other targets (else the claim holds for these targets only)."""
        return isinstance(self.promote if self.promote is not None else self.demote, str)

    def resolve(self, log: InteractionLog, rng: np.random.Generator) -> Promote | Demote | Degrade:
        """Concrete targets on these train rows.

        Raises:
            NotApplicable: fewer candidate items than targets.
            InputError: a listed item that the log does not have.
        """
        targets = self.promote if self.promote is not None else self.demote
        if targets is None:
            return Degrade()
        items = draw_targets(targets, log, rng) if isinstance(targets, str) else find_items(targets, log)
        return Promote(items=items, k=self.k) if self.promote is not None else Demote(items=items, k=self.k)
