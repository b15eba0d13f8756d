"""The worst that an attacker can do, found by direct search, and the smallest attack that still does it.

Edits of single sequences, or fake profiles in the log, whichever the budget states. Hypothesis is the attacker: it
draws from `robust.testing.strategies`, climbs by `hypothesis.target`, and begins from what the registered attacks find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from robust import plugins
from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.edits import Edit, edits_between, filled
from robust.errors import InputError
from robust.harm import harm_against
from robust.log import Int32, InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Recommender, capabilities
from robust.testing.profile_search import search_profiles
from robust.threat import Budget, Knowledge


@dataclass(frozen=True)
class WorstCase:
    """What a search found.

    Attributes:
        sequences: [B, L + edits], attacked; the clean ones where profiles were searched.
        edits: of each sequence, the fewest that do it. profiles: the fake users, or None where edits were searched.
        change: float [B], for the worse; see `limit` of `search_worst_case`. broken: bool [B], whether it is beyond it.
        evaluations: sequences scored, in all.
    """

    sequences: SequenceBatch
    edits: tuple[tuple[Edit, ...], ...]
    profiles: LogEdit | None
    change: NDArray[np.float64]
    broken: NDArray[np.bool_]
    evaluations: int


def search_worst_case(
    recommender: Any,
    sequences: SequenceBatch,
    goal: AnyGoal,
    budget: Budget,
    *,
    limit: float = 0.10,
    next_items: Int32 | None = None,
    log: InteractionLog | None = None,
    knowledge: Knowledge | None = None,
    k: int = 10,
    evaluations: int = 500,
    seed: int = 0,
) -> WorstCase:
    """Search for an attack that changes these sequences' lists by more than `limit`, and for the smallest that does.

    Args:
        recommender: anything with `n_items` and `recommend` or `score`, fitted; for profiles, with `fit(log, *, seed)`.
        sequences: [B, L]. goal: `Degrade()`, `Promote(…)` or `Demote(…)`.
        budget: states `edits` (of each sequence), or `users` and `profile_length` (of the log, which is then needed).
        limit: for `Degrade` a relative drop: of the true next item's discounted gain 1/log2(1 + rank) where
            `next_items` (int32 [B]) are known, else of the list's overlap with the clean one. For the others, the rise
            (fall) of the targets' mean discounted gain. Of profiles it is asked of the mean over `sequences`.
        log: train rows: they tell the attacker what is popular. knowledge: by default all that there is to know.
        evaluations: how often each sequence is scored at most.

    Raises:
        InputError: a budget that states neither; next items that do not fit; profiles without a log or a `fit`.
    """
    model: Recommender = adapt(recommender)
    n_items = int(model.n_items) or (0 if log is None else log.n_items)  # an unfitted one has none of its own yet
    if next_items is not None and len(next_items) != len(sequences):
        raise InputError(f"{len(next_items)} next items for {len(sequences)} sequences.")
    unknown = [i for i in (*goal.items, *(() if next_items is None else next_items)) if not 1 <= i <= n_items]
    if unknown:
        raise InputError(f"Item {unknown[0]} is not in the recommender's catalogue, which holds 1…{n_items}.")
    rows = SequenceBatch(sequences.items, np.arange(len(sequences)))
    granted = knowledge or _everything(model, log, next_items)
    if budget.edits is None:
        if budget.users is None or budget.profile_length is None:
            raise InputError("search_worst_case needs a budget that states edits, or users and profile_length.")
        found = search_profiles(
            model,
            log,
            rows,
            goal,
            budget,
            granted,
            limit=limit,
            next_items=next_items,
            k=k,
            fits=evaluations,
            seed=seed,
        )
        return WorstCase(
            sequences,
            ((),) * len(rows),
            found.edit,
            found.change,
            np.full(len(rows), found.change.mean() > limit),
            found.evaluations,
        )
    if evaluations < budget.edits + 2:
        raise InputError(
            f"evaluations={evaluations}: the clean list, one attempt and the shrinking of {budget.edits} edits take "
            f"{budget.edits + 2} at least; 500 is the default."
        )
    parameters = {"evaluations": evaluations, "k": k, "enough": limit}
    attack = cast(EvasionAttack, plugins.build("attacks", "worst-case", parameters))
    # the clean list is one of the questions: so many in all, the shrinking included
    access = AccessView(
        attack=attack.name,
        knowledge=granted,
        n_items=int(model.n_items),
        log=log,
        recommender=model,
        next_items=next_items,
        queries=evaluations * len(rows),
    )
    evaded = attack(access, rows, goal, budget, np.random.default_rng(seed)).sequences
    length = k if goal.kind == "degrade" else goal.k
    harm = harm_against(model.recommend(rows, length), goal, next_items if granted.next_item else None)
    change = harm(rows.users, model.recommend(evaded.truncate(rows.width), length))
    edits = tuple(edits_between(filled(a), filled(b)) for a, b in zip(rows.items, evaded.items, strict=True))
    return WorstCase(evaded, edits, None, change, change > limit, access.counter.spent)


def _everything(model: Recommender, log: InteractionLog | None, next_items: Int32 | None) -> Knowledge:
    able = capabilities(model)
    sees: Literal["lists", "scores", "gradients"] = "scores" if "scores" in able else "lists"
    if "gradients" in able:
        sees = "gradients"
    return Knowledge(log="none" if log is None else "full", model=sees, next_item=next_items is not None)
