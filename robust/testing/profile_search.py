"""A direct search of the space of fake profiles: each evaluation trains the victim anew, so it is for cheap victims.

Begun from what the registered poisoning attacks write; then Hypothesis draws sets of profiles and climbs by
`hypothesis.target`. The winner is shrunk: fake users, then items of their profiles, are taken away for as long as what
is left is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust import plugins
from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.errors import InputError, RobustError
from robust.harm import harm_against
from robust.log import Int32, InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Fittable, Recommender, capabilities
from robust.testing.strategies import profiles
from robust.testing.targeted import climb
from robust.threat import Budget, Knowledge

POPULAR = 20
"""Besides the targets, profiles are drawn from so many items, the most popular ones first."""


@dataclass(frozen=True)
class WorstProfiles:
    """The fake users, the change [B] that they make, and the sequences scored in all."""

    edit: LogEdit
    change: NDArray[np.float64]
    evaluations: int


class _Trials:
    """Fits on poisoned logs, the worst of them so far, and how many were made."""

    def __init__(
        self,
        model: Fittable,
        log: InteractionLog,
        sequences: SequenceBatch,
        goal: AnyGoal,
        next_items: Int32 | None,
        k: int,
        seed: int,
    ) -> None:
        self._model, self._log, self._sequences, self._seed, self._k = model, log, sequences, seed, k
        self.fits = 0
        clean = self._lists(LogEdit())
        self._harm = harm_against(clean, goal, next_items)
        self.worst, self.change = LogEdit(), np.zeros(len(sequences))

    def _lists(self, edit: LogEdit) -> Int32:
        self.fits += 1
        fitted = adapt(self._model.fit(edit.apply(self._log), seed=self._seed))
        lists: Int32 = fitted.recommend(self._sequences, self._k)
        return lists

    def attempt(self, edit: LogEdit, enough: float | None = None) -> float:
        """The mean change; kept if it is the worst so far, or, with `enough`, if it is still more than that."""
        change = self._harm(np.arange(len(self._sequences)), self._lists(edit))
        mean = float(change.mean()) if len(change) else 0.0
        if mean > (self.change.mean() if enough is None else enough):
            self.worst, self.change = edit, change
        return mean


def search_profiles(
    model: Recommender,
    log: InteractionLog | None,
    sequences: SequenceBatch,
    goal: AnyGoal,
    budget: Budget,
    knowledge: Knowledge,
    *,
    limit: float,
    next_items: Int32 | None,
    k: int,
    fits: int,
    seed: int,
) -> WorstProfiles:
    """At most `budget.users` profiles of `budget.profile_length` items that change the lists most, by `fits` trainings.

    Raises:
        InputError: no log, or a recommender that cannot be trained.
    """
    if log is None:
        raise InputError("A search for fake profiles needs the genuine train rows: log=….")
    if "fit" not in capabilities(model):
        raise InputError("A search for fake profiles needs a recommender with fit(log, *, seed).")
    known = next_items if knowledge.next_item else None
    length = k if goal.kind == "degrade" else goal.k
    trials = _Trials(cast(Fittable, model), log, sequences, goal, known, length, seed)
    rng = np.random.default_rng(seed)
    spare = (budget.users or 0) + (budget.profile_length or 0)  # for shrinking
    for edit in _written(log, goal, budget, knowledge, rng):
        if trials.fits + spare < fits:
            trials.attempt(edit)
    _climb(trials, log, goal, budget, max(fits - spare - trials.fits, 0), rng)
    _shrink(trials, limit, fits)
    return WorstProfiles(trials.worst, trials.change, trials.fits * len(sequences))


def _written(
    log: InteractionLog, goal: AnyGoal, budget: Budget, knowledge: Knowledge, rng: np.random.Generator
) -> list[LogEdit]:
    """What the registered poisoning attacks write, where they can with this knowledge."""
    edits = []
    for _, plugin in sorted(plugins.load_all("attacks").items()):
        if not issubclass(plugin, PoisoningAttack):
            continue
        access = AccessView(attack=plugin.name, knowledge=knowledge, n_items=log.n_items, log=log)
        try:
            edits.append(plugin()(access, goal, budget, rng).edit)
        except RobustError:
            continue
    return edits


def _climb(
    trials: _Trials, log: InteractionLog, goal: AnyGoal, budget: Budget, examples: int, rng: np.random.Generator
) -> None:
    popular = np.argsort(-log.popularity[1:], kind="stable")[:POPULAR] + 1
    items = list(dict.fromkeys([*goal.items, *popular.tolist()]))
    drawn = profiles(budget, n_items=log.n_items, items=items, min_users=min(budget.users or 0, 1))
    climb(drawn, trials.attempt, examples, rng)


def _shrink(trials: _Trials, limit: float, fits: int) -> None:
    """Fewer fake users, then shorter profiles, as long as the mean change stays beyond the limit."""
    if not trials.change.mean() > limit:
        return
    for axis in (0, 1):
        place = 0
        while place < trials.worst.add.shape[axis] > 1 and trials.fits < fits:
            before = trials.worst
            trials.attempt(_without(before, place, axis), enough=limit)
            place += trials.worst is before


def _without(edit: LogEdit, place: int, axis: int) -> LogEdit:
    """One fake user less, or one item of every profile less, with the gaps closed."""
    add = np.delete(edit.add, place, axis=axis)
    times: Any = None if edit.times is None else np.delete(edit.times, place, axis=axis)
    return LogEdit(add=add, times=times)
