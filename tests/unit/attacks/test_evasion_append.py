"""Appending: the paper's rule by its definition, its constraints, all goals, and the universal suffix's cross-fit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.append import Append
from robust.attacks.evasion.random_append import RandomAppend, draw_appended
from robust.attacks.evasion.random_suffix import RandomSuffix
from robust.attacks.evasion.universal_suffix import UniversalSuffix
from robust.attacks.objective import objective_for
from robust.errors import NotApplicable, NotKnown
from robust.log import SequenceBatch
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import LinearBag, random_sequences, view

MODEL = LinearBag()
SEQUENCES = random_sequences(12, 8, 30, seed=4)
GOALS: list[AnyGoal] = [Promote(items=(5, 9)), Demote(items=(5, 9)), Degrade()]
by_goal = pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.kind)
RULES = pytest.mark.parametrize("gain", ["first-order", "sign-cosine"])


def gained(goal: AnyGoal, forms: SequenceBatch, clean: SequenceBatch = SEQUENCES) -> torch.Tensor:
    objective = objective_for(view(MODEL), clean, goal)
    return objective(torch.from_numpy(MODEL.score(forms.truncate(8)))) - objective(torch.from_numpy(MODEL.score(clean)))


def run(attack: EvasionAttack, goal: AnyGoal, edits: int, **more: Any) -> Any:
    return attack(view(MODEL, **more), SEQUENCES, goal, Budget(edits=edits), np.random.default_rng(0))


def by_the_paper(row: int, target: int, edits: int) -> list[int]:
    """Yue et al. 2021, one sequence at a time, in the plainest form."""
    appended = [target] * edits

    def read(items: list[int]) -> SequenceBatch:
        return SequenceBatch(np.array([[*SEQUENCES.items[row], *items][-8:]], dtype=np.int32))

    def probability(items: list[int]) -> float:
        return float(torch.softmax(torch.from_numpy(MODEL.score(read(items))[0, 1:]), 0)[target - 1])

    embedded = MODEL.embed(read(appended)).requires_grad_(True)
    scores = MODEL.score_embeddings(embedded, read(appended))[:, 1:]
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor([target - 1]))
    (gradient,) = torch.autograd.grad(loss, embedded)
    for back in range(1, edits + 1):
        place = edits - back
        wanted = MODEL.table[target] - gradient[0, -back].sign()
        cosine = torch.nn.functional.cosine_similarity(wanted[None], MODEL.table[1:])
        ranked = [int(item) + 1 for item in cosine.argsort(descending=True, stable=True)]
        free = back > 1 and appended[place + 1] != target
        tried = [item for item in ranked if item != target or free][:10]
        tried += [target] if free and target not in tried else []
        values = [probability([*appended[:place], item, *appended[place + 1 :]]) for item in tried]
        appended[place] = tried[int(np.argmax(values))]
    return appended


@pytest.mark.parametrize("target", [3, 17])
def test_the_papers_rule_follows_its_definition(target: int) -> None:
    goal = Promote(items=(target,))
    found = run(Append(gain="sign-cosine"), goal, 4).sequences
    assert found.width == 12
    better = gained(goal, found) > 0
    assert bool(better.any())
    for row in np.flatnonzero(better.numpy()):
        assert found.items[row, 8:].tolist() == by_the_paper(int(row), target, 4)
        assert found.items[row, :8].tolist() == SEQUENCES.items[row].tolist()


@by_goal
@RULES
@pytest.mark.parametrize("edits", [1, 3, 10])
def test_a_target_is_never_the_newest_nor_beside_a_target(
    goal: AnyGoal, gain: Literal["first-order", "sign-cosine"], edits: int
) -> None:
    found = run(Append(gain=gain), goal, edits)
    assert bool((gained(goal, found.sequences) >= -1e-5).all()), "never worse than the clean sequence"
    appended = found.sequences.items[:, 8:]
    changed = (found.sequences.items[:, :8] == SEQUENCES.items).all(axis=1) & (appended != 0).all(axis=1)
    labels = MODEL.recommend(SEQUENCES, 1) if goal.kind == "degrade" else np.tile(np.array(goal.items), (12, 1))
    held = (appended[:, :, None] == labels[:, None, :]).any(axis=2)[changed]
    assert not held[:, -1].any()
    assert not (held[:, 1:] & held[:, :-1]).any()
    assert found.queries <= 12 * (Append(gain=gain).queries(edits) + 3)


@by_goal
def test_it_beats_one_random_draw_and_more_items_do_more(goal: AnyGoal) -> None:
    few, many = (float(gained(goal, run(Append(), goal, edits).sequences).mean()) for edits in (1, 4))
    drawn = float(gained(goal, run(RandomAppend(), goal, 4).sequences).mean())
    assert 0 < few < many
    assert many > drawn + 0.5


@by_goal
@pytest.mark.parametrize("each", [0, 4, 12, 40])
@pytest.mark.parametrize("attack", [Append(), Append(gain="sign-cosine"), RandomAppend(tries=50)], ids=repr)
def test_a_limit_of_queries_is_planned_for(attack: EvasionAttack, goal: AnyGoal, each: int) -> None:
    budget = Budget(edits=2, queries=12 * each)
    spent = attack(view(MODEL, queries=12 * each), SEQUENCES, goal, budget, np.random.default_rng(0)).queries
    assert spent <= 12 * each
    assert spent > 12 * 8 if each >= 12 else True


def test_random_items_alternate_with_the_targets() -> None:
    rng = np.random.default_rng(0)
    drawn = draw_appended((500, 5), Promote(items=(2, 4)), 9, rng)
    assert (drawn[:, 3] == 2).all()
    assert (drawn[:, 1] == 4).all(), "targets take turns"
    assert set(drawn[:, [0, 2, 4]].ravel().tolist()) == {1, 3, 5, 6, 7, 8, 9}
    assert set(draw_appended((500, 2), Demote(items=(2,)), 4, rng).ravel().tolist()) == {1, 3, 4}
    assert set(draw_appended((500, 2), Degrade(), 3, rng).ravel().tolist()) == {1, 2, 3}
    with pytest.raises(NotApplicable, match="every item"):
        draw_appended((2, 2), Promote(items=(1, 2)), 2, rng)


# --- one suffix for all

MANY = random_sequences(200, 8, 30, seed=6)


def halves(found: SequenceBatch) -> list[tuple[int, ...]]:
    return sorted({tuple(row) for row in found.items[:, -2:].tolist()})


@by_goal
@pytest.mark.parametrize("attack", [UniversalSuffix(), RandomSuffix()], ids=lambda attack: attack.name)
def test_each_half_gets_one_suffix_that_was_found_on_the_other(attack: EvasionAttack, goal: AnyGoal) -> None:
    budget = Budget(edits=2)
    found = attack(view(MODEL), MANY, goal, budget, np.random.default_rng(0)).sequences
    order = np.random.default_rng(0).permutation(np.flatnonzero(MANY.lengths))
    first, second = order[:100], order[100:]
    one, other = (found.items[half, -2:] for half in (first, second))
    assert (one == one[0]).all()
    assert (other == other[0]).all()
    # other histories in one half leave that half's own suffix as it was, and change the other half's
    mixed = MANY.items.copy()
    mixed[first] = np.where(mixed[first] != 0, (mixed[first] + 11) % 30 + 1, 0)
    again = attack(view(MODEL), SequenceBatch(mixed, MANY.users), goal, budget, np.random.default_rng(0)).sequences
    assert (again.items[first, -2:] == one[0]).all()


@by_goal
def test_a_universal_suffix_beats_as_many_random_ones_on_users_it_never_saw(goal: AnyGoal) -> None:
    attack = UniversalSuffix()
    control = attack.control_attack(Budget(edits=2))
    reached = []
    for each in (attack, RandomSuffix(**control[1])):
        found = each(view(MODEL), MANY, goal, Budget(edits=2), np.random.default_rng(0))
        reached.append(float(gained(goal, found.sequences, MANY).mean()))
    assert reached[0] >= reached[1] > 0


@pytest.mark.parametrize("each", [0, 1, 5, 40])
def test_a_suffix_is_searched_within_a_limit_of_queries(each: int) -> None:
    for attack in (UniversalSuffix(users=6), RandomSuffix(users=6)):
        access = view(MODEL, queries=12 * each)
        budget = Budget(edits=2, queries=12 * each)
        assert attack(access, SEQUENCES, Promote(items=(5,)), budget, np.random.default_rng(0)).queries <= 12 * each


def test_one_user_alone_has_nobody_to_search_on_and_empty_histories_stay_empty() -> None:
    alone, budget = SEQUENCES[:1], Budget(edits=1)
    with pytest.raises(NotApplicable, match="two with a history"):
        UniversalSuffix()(view(MODEL), alone, Degrade(), budget, np.random.default_rng(0))
    some = SequenceBatch(np.where(np.arange(12)[:, None] == 3, 0, SEQUENCES.items), SEQUENCES.users)
    found = RandomSuffix()(view(MODEL), some, Degrade(), Budget(edits=2), np.random.default_rng(0)).sequences
    assert not found.items[3].any()


def test_the_control_is_judged_by_scores_only_where_they_are_granted() -> None:
    for attack in (RandomAppend(tries=3, feedback="scores"), RandomSuffix(feedback="scores")):
        with pytest.raises(NotKnown, match="model: scores"):
            attack(
                view(MODEL, knowledge=Knowledge(model="lists")),
                SEQUENCES,
                Degrade(),
                Budget(edits=2),
                np.random.default_rng(0),
            )
