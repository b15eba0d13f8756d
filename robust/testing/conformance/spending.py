"""Checks of what an attack spends: nothing from nothing, never a unit too many, and no less harm for more.

Spending is counted here anew, by definitions and without the harness's own checks: rows by comparing two logs as
multisets, edits by the textbook's dynamic programme, ε in float64.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from robust.attack import AnyGoal, Evaded, Perturbed, Poisoned, PoisoningAttack
from robust.errors import BudgetExceeded, NotApplicable
from robust.harm import harm_against
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.baselines import Markov
from robust.testing.conformance.attacked import AMOUNTS, Attacked, Lists, changes, histories, own_copy, trial
from robust.testing.conformance.base import require
from robust.threat import Budget

SMALLER, LARGER = 1, 3
SEEDS, DRAWS = 6, 2
"""Seeds of what only draws, and of what optimises."""
SLACK = 0.05
"""A search asks as many questions in a larger ball as in a smaller one, and may miss a twentieth of what it had."""


def zero(subject: Attacked) -> None:
    """A budget of nothing is the identity."""
    for goal in subject.goals:
        outcome, _ = subject.run(goal, subject.budget(0))
        require(not changes(outcome, subject), f"With nothing to spend it changed something ({goal.kind}).")


def effect(subject: Attacked) -> None:
    """With something to spend it does something."""
    outcomes = [subject.run(goal, subject.budget(2))[0] for goal in subject.goals]
    changed = any(changes(outcome, subject) for outcome in outcomes)
    require(changed, "With something to spend it changed nothing, whatever the goal.")


def within(subject: Attacked) -> None:
    """Each budget holds to the unit."""
    tried = 0
    for goal in subject.goals:
        for budget in (budget for amount in AMOUNTS for budget in subject.budgets(amount)):
            given = subject.sequences
            clean = own_copy(given)
            try:
                outcome, _ = subject.run(goal, budget, given)  # the base checks too, and raises BudgetExceeded
            except NotApplicable:
                continue  # it does not spend this
            tried += 1
            count(outcome, budget, clean, subject.rows)
    require(tried, "It takes none of the budgets of its kind.")


def count(outcome: Any, budget: Budget, clean: SequenceBatch, log: InteractionLog) -> None:
    """What was spent, against what was granted."""
    if isinstance(outcome, Poisoned):
        _count_rows(outcome.edit.apply(log), budget, log)
    elif isinstance(outcome, Evaded):
        edited = outcome.sequences
        require(np.array_equal(edited.users, clean.users), "The rows are not in the order in which they came.")
        pairs = zip(clean.items, edited.items, strict=True)
        most = max(distance(before[before != 0].tolist(), after[after != 0].tolist()) for before, after in pairs)
        require(most <= (budget.edits or 0), f"{most} edits of {budget.edits}.")
    else:
        _count_epsilon(outcome, budget, clean)


def _count_rows(edited: InteractionLog, budget: Budget, log: InteractionLog) -> None:
    fakes = edited.lengths[log.n_users :]
    longest, allowed = int(fakes.max(initial=0)), budget.profile_length or 0
    require(len(fakes) <= (budget.users or 0), f"{len(fakes)} fake users of {budget.users or 0}.")
    require(longest <= allowed, f"A profile of {longest} items of {allowed}.")
    before, after = _multiset(log), _multiset(edited)
    genuine = Counter({row: n for row, n in after.items() if row[0] < log.n_users})
    touched = max((before - genuine).total(), (genuine - before).total())
    require(touched <= (budget.rows or 0), f"{touched} genuine rows of {budget.rows or 0}.")


def _multiset(log: InteractionLog) -> Counter[tuple[int, int, int]]:
    return Counter(zip(log.user.tolist(), log.item.tolist(), log.timestamp.tolist(), strict=True))


def _count_epsilon(outcome: Perturbed, budget: Budget, clean: SequenceBatch) -> None:
    deltas = outcome.deltas.numpy().astype(np.float64)
    require(not deltas[clean.items == 0].any(), "Padding was perturbed.")
    table = trial()[1].item_embeddings.numpy()[1:].astype(np.float64)
    apart = np.sqrt(((table[:, None] - table[None]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    unit = 1.0 if budget.unit == "absolute" else float(np.median(apart.min(axis=1)))
    axes = (1, 2) if budget.per == "sequence" else (2,)
    size = np.abs(deltas).max(axis=axes) if budget.norm == "linf" else np.sqrt((deltas**2).sum(axis=axes))
    allowed = (budget.epsilon or 0.0) * unit
    said = f"‖δ‖ in {budget.norm} is {size.max():.6g} where ε = {allowed:.6g}."
    require(size.max() <= allowed * (1 + 1e-4), said)  # float32 arithmetic, and the median by another route


def distance(old: list[int], new: list[int]) -> int:
    """The edit distance of two sequences, by the recurrence of Wagner and Fischer (1974), one cell at a time."""
    row = list(range(len(new) + 1))
    for i, standing in enumerate(old, start=1):
        above, row = row, [i]
        for j, item in enumerate(new, start=1):
            row.append(min(above[j - 1] + (standing != item), above[j] + 1, row[-1] + 1))
    return row[-1]


def queries(subject: Attacked) -> None:
    """It pays for every question, and never asks more than its limit."""
    if subject.attack.model_access == "none":
        raise NotApplicable("asks the model nothing")
    for goal in subject.goals:
        outcome, victim = subject.run(goal, subject.budget(1))
        asked, free = cast(Lists, victim).answered, outcome.queries
        require(asked == free, f"It asked {asked} questions and was charged {free}.")
        for limit in sorted({0, len(subject.sequences), max(free - 1, 0), free}):
            try:
                outcome, victim = subject.run(goal, subject.budget(1, queries=limit))
            except BudgetExceeded:
                continue  # refused before it was answered: that is the limit holding
            asked = cast(Lists, victim).answered
            require(max(asked, outcome.queries) <= limit, f"{max(asked, outcome.queries)} queries of {limit}.")


def nested(subject: Attacked) -> None:
    """What a smaller budget allows, a larger one allows too, so the worst case cannot be milder.

    By the attack's own objective: the loss that scores show, or what lists show where it sees no more. An attack that
    optimises is held to it on average over sequences, up to `SLACK` of what the smaller budget reaches; if it draws
    (two seeds differ), up to two standard errors more. One that only draws (it has no control to beat) need not reach
    its worst case: where the goal is to degrade, which any change does, it is held to it up to four standard errors;
    otherwise not at all. Poison is judged by a Markov chain, refitted, and up to four standard errors for any attack,
    since none of them optimises against that chain.
    """
    optimised = subject.attack.control_attack(subject.budget(SMALLER)) is not None
    judged = 0
    for goal in subject.goals:
        if isinstance(subject.attack, PoisoningAttack):
            clean, few, many = _poison_harm(subject, goal)
            strict = False
        elif optimised or goal.kind == "degrade":
            clean, few, many = _test_harm(subject, goal)
            strict = optimised
        else:
            continue
        judged += 1
        for less, more, what in ((clean, few, f"nothing and {SMALLER}"), (few, many, f"{SMALLER} and {LARGER}")):
            gain = more - less
            noise = float(gain.std(ddof=1)) / len(gain) ** 0.5
            allowed = 4 * noise
            if strict:
                half = len(more) // DRAWS
                draws = not np.array_equal(more[:half], more[half:])
                allowed = SLACK * max(float((less - clean).mean()), 0.0) + (2 * noise if draws else 0.0)
            said = f"With budgets of {what} it reaches {less.mean():.4g} and {more.mean():.4g} ({goal.kind})."
            require(gain.mean() >= -allowed - 1e-5 * np.abs(less).max(), said)
    if not judged:
        raise NotApplicable("draws at random, and has no goal that any change serves")


Harm = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _test_harm(subject: Attacked, goal: AnyGoal) -> Harm:
    """Per sequence and seed, with nothing, the smaller and the larger budget."""
    model, sequences = trial()[1], subject.sequences
    seeds = range(DRAWS if subject.attack.control_attack(subject.budget(1)) else SEEDS)
    before = _objective(subject, goal, model.score(sequences), sequences)

    def reached(amount: int) -> NDArray[np.float64]:
        outcomes = [subject.run(goal, subject.budget(amount), seed=subject.seed + seed)[0] for seed in seeds]
        return np.concatenate([before(_scores(outcome, sequences)) for outcome in outcomes])

    few, many = reached(SMALLER), reached(LARGER)
    return np.tile(before(model.score(sequences)), len(seeds)), few, many


def _scores(outcome: Any, sequences: SequenceBatch) -> NDArray[Any]:
    import torch

    model = trial()[1]
    if isinstance(outcome, Evaded):
        return np.asarray(model.score(outcome.sequences))
    with torch.no_grad():
        return np.asarray(outcome.scored_by(model, sequences).numpy())


def _objective(subject: Attacked, goal: AnyGoal, clean: NDArray[Any], sequences: SequenceBatch) -> Any:
    """From scores [B, n_items + 1] to float64 [B]: by lists for who sees lists, else by the loss."""
    if subject.attack.model_access == "lists":
        k = getattr(subject.attack, "k", 10) if goal.kind == "degrade" else goal.k
        against, rows = harm_against(top_k(clean, k), goal), np.arange(len(sequences))
        return lambda scores: against(rows, top_k(scores, k))
    return lambda scores: _loss(goal, scores, clean)


def _loss(goal: AnyGoal, scores: NDArray[Any], clean: NDArray[Any]) -> NDArray[np.float64]:
    losses = -log_softmax(scores[:, 1:].astype(np.float64), axis=1)
    if goal.kind == "degrade":
        return np.take_along_axis(losses, clean[:, 1:].argmax(axis=1)[:, None], axis=1)[:, 0]
    wanted = losses[:, np.asarray(goal.items) - 1].mean(axis=1)
    return np.asarray(wanted if goal.kind == "demote" else -wanted)


def _poison_harm(subject: Attacked, goal: AnyGoal) -> Harm:
    """The loss of a Markov chain fitted to the clean log, and to those with few and many fake users or changed rows.

    Fake users are a tenth of the genuine ones, then three; so are rows. Where an attack degrades, per user, as a mean
    over seeds: it need draw nothing, and what it does to one user says little of another. Otherwise per seed, as a mean
    over users.
    """
    log = subject.rows
    clean = Markov().fit(log, seed=0).score(histories(log))

    def harm(edit: LogEdit) -> NDArray[np.float64]:
        rows = edit.apply(log)
        asked = histories(rows if edit.scope == "history" else log, log.n_users)
        return _loss(goal, np.asarray(Markov().fit(rows, seed=0).score(asked)), clean)

    def reached(amount: int) -> NDArray[np.float64]:
        budget = subject.budget(8 * amount).model_copy(update={"rows": len(log) * amount // 10})
        seeds = range(subject.seed, subject.seed + SEEDS)
        edits = [subject.run(goal, budget, seed=seed)[0].edit for seed in seeds]
        return np.asarray(np.mean([harm(edit) for edit in edits], axis=0 if goal.kind == "degrade" else 1))

    few, many = reached(SMALLER), reached(LARGER)
    unchanged = harm(LogEdit())
    return unchanged if goal.kind == "degrade" else np.full(SEEDS, unchanged.mean()), few, many
