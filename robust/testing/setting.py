"""What a state machine starts from and measures with: the same in every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from robust import plugins
from robust.defense import InputGuard, Sanitizer
from robust.errors import InputError
from robust.log import Bool, Int32, InteractionLog, SequenceBatch
from robust.recommenders.adapt import Adapted, UnfittedModel, adapt
from robust.recommenders.fingerprint import is_fitted
from robust.recommenders.protocols import Fittable, Recommender, Scorer, capabilities
from robust.testing.deployment import Deployment
from robust.threat import BudgetSpec, Promote

PROBES = 64
ITEMS = 20


@dataclass(frozen=True)
class Setting:
    """What `recommender_machine` was given, resolved and checked.

    Attributes:
        recommender: adapted, perhaps unfitted. limits: the largest rise of exposure, defended and undefended.
        fake_users, profile_length: the budget, in whole units. items: what events hold, the simplest first.
        probes: [B, L]. held: bool [B, T], which probe holds which target.
    """

    recommender: Recommender
    log: InteractionLog
    goal: Promote
    limits: tuple[float, float]
    fake_users: int
    profile_length: int
    defense: Sanitizer | InputGuard | None
    probes: SequenceBatch
    held: Bool
    items: tuple[int, ...]
    new_users: int
    seed: int

    @classmethod
    def of(
        cls,
        recommender: Any,
        log: InteractionLog,
        *,
        goal: Promote,
        limits: tuple[float, float],
        budget: BudgetSpec | Mapping[str, Any] | None,
        defense: Sanitizer | InputGuard | str | None,
        probes: SequenceBatch | None,
        items: Sequence[int] | None,
        new_users: int,
        seed: int,
    ) -> Self:
        """See `recommender_machine`.

        Raises:
            InputError: something does not fit.
        """
        model = adapt(recommender)
        _refuse(model, type(recommender).__name__, log, goal, limits)
        spec = {"users": 2, "profile_length": 5} if budget is None else budget
        granted = BudgetSpec.model_validate(dict(spec) if isinstance(spec, Mapping) else spec).resolve(log)
        if granted.users is None or granted.profile_length is None:
            raise InputError(f"A budget of fake users is needed, such as users: 2, profile_length: 5; got {granted}.")
        chosen = plugins.load("defenses", defense)() if isinstance(defense, str) else defense
        if not (chosen is None or isinstance(chosen, (Sanitizer, InputGuard))):
            raise InputError(f"'{chosen.name}' is neither a sanitiser (for updates) nor an input guard (for queries).")
        asked = _probes(log, int(getattr(model, "context", 0) or 50), seed) if probes is None else probes
        held = (asked.items[:, :, None] == np.array(goal.items)).any(axis=1)
        if len(asked) == 0 or held.all(axis=0).any():
            raise InputError("Every target needs a probe that does not hold it: else it has no exposure to speak of.")
        pool = _popular(log, goal) if items is None else tuple(items)
        return cls(
            model,
            log,
            goal,
            limits,
            granted.users,
            granted.profile_length,
            chosen,
            asked,
            held,
            pool,
            new_users,
            seed,
        )

    @property
    def name(self) -> str:
        """The recommender's class, as its author knows it."""
        model: object = self.recommender
        return type(model.model if isinstance(model, (Adapted, UnfittedModel)) else model).__name__

    @property
    def first_fake(self) -> int:
        """The number of the first fake user: they come after all genuine ones, those who have yet to join included."""
        return self.log.n_users + self.new_users

    @cached_property
    def start(self) -> Recommender:
        """Fitted: as it was handed over, or now, once."""
        if is_fitted(self.recommender):
            return self.recommender
        return adapt(cast(Fittable, self.recommender).fit(self.log, seed=self.seed))

    def deploy(self) -> Deployment:
        """A new course of events."""
        return Deployment(self.start, self.log, self.defense, seed=self.seed)

    def answers(self, model: Recommender) -> NDArray[Any]:
        """What a model says to the probes: scores [B, n_items] where it scores, else lists [B, k]."""
        if "scores" in capabilities(model):
            return np.asarray(cast(Scorer, model).score(self.probes))[:, 1:].copy()
        return np.array(model.recommend(self.probes, self.goal.k))

    def exposure(self, lists: Int32) -> NDArray[np.float64]:
        """float64 [T]: of the probes that do not hold a target, the share whose list [B, k] shows it."""
        shown = (lists[:, :, None] == np.array(self.goal.items)).any(axis=1) & ~self.held
        return np.asarray(shown.sum(axis=0) / (~self.held).sum(axis=0))


def _refuse(model: Recommender, name: str, log: InteractionLog, goal: Promote, limits: tuple[float, float]) -> None:
    able = capabilities(model)
    if "update" not in able:
        raise InputError(f"'{name}' has no partial_fit(log, *, seed), so it has no state to test.")
    if not is_fitted(model) and "fit" not in able:
        raise InputError(f"'{name}' is not fitted and has no fit(log, *, seed).")
    if is_fitted(model) and int(model.n_items) != log.n_items:
        raise InputError(f"'{name}' ranks {model.n_items} items, the log has {log.n_items}.")
    if not isinstance(goal, Promote):
        raise InputError(f"A goal that promotes is needed, such as Promote(items=(7,), k=10); got {goal!r}.")
    if max(goal.items) > log.n_items or min(goal.items) < 1:
        raise InputError(f"Targets are items 1…{log.n_items}; got {goal.items}.")
    if goal.k >= log.n_items:
        raise InputError(f"k = {goal.k}: the lists hold all {log.n_items} items, so that no exposure can rise.")
    if not all(0 <= limit <= 1 for limit in limits):
        raise InputError(f"The largest rise of exposure lies between 0 and 1; got {limits[0]} and {limits[1]}.")


def _probes(log: InteractionLog, context: int, seed: int) -> SequenceBatch:
    """The histories of up to `PROBES` users, drawn."""
    active = np.flatnonzero(log.lengths > 0)
    rng = np.random.default_rng([seed, 0xC0])
    users = np.sort(rng.choice(active, size=min(PROBES, len(active)), replace=False))
    return log.sequences(min(context, int(log.lengths.max(initial=1))), users)


def _popular(log: InteractionLog, goal: Promote) -> tuple[int, ...]:
    """The most popular items, then the targets that are not among them."""
    ranked = np.argsort(-log.popularity[1:], kind="stable") + 1
    others = [int(item) for item in ranked if item not in goal.items]
    return (*others[: max(ITEMS - len(goal.items), 1)], *goal.items)
