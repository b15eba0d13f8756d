"""The edit family and the searches over it: moves by definition, costs as counted, gains, item choice, exact optima."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.beam import Beam
from robust.attacks.evasion.edit_family import NaturalKind, draw_edits
from robust.attacks.evasion.exhaustive import Exhaustive
from robust.attacks.evasion.first_order import FirstOrder
from robust.attacks.evasion.gains import linear_gains
from robust.attacks.evasion.greedy import Greedy
from robust.attacks.evasion.item_choice import Choice, coldest, drawing, similar
from robust.attacks.evasion.moves import DELETE, INSERT, KINDS, REPLACE, SWAP, Space, edited
from robust.attacks.evasion.random_edits import RandomEdits
from robust.attacks.objective import objective_for
from robust.checks import edit_distance
from robust.edits import Edit, apply_edits, filled
from robust.errors import BudgetExceeded, NotApplicable, NotKnown
from robust.harm import harm_against
from robust.log import InteractionLog, SequenceBatch
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import LinearBag, ListsOnly, random_sequences, view

MODEL = LinearBag()
SEQUENCES = random_sequences(12, 8, 30, seed=4)
SMALL, SHORT = LinearBag(n_items=5, seed=2), random_sequences(5, 4, 5, seed=3)
GOALS: list[AnyGoal] = [Promote(items=(4,), k=2), Demote(items=(1, 2), k=2), Degrade()]
SEARCHES: list[EvasionAttack] = [
    Exhaustive(kinds=("delete", "swap")),
    Greedy(candidates=30),
    Beam(candidates=30, width=4),
    FirstOrder(),
]
by_goal = pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.kind)


def reached(model: LinearBag, goal: AnyGoal, clean: SequenceBatch, forms: SequenceBatch) -> torch.Tensor:
    objective = objective_for(view(model), clean, goal)
    return objective(torch.from_numpy(model.score(forms))) - objective(torch.from_numpy(model.score(clean)))


# --- moves


def test_all_moves_of_a_sequence_are_listed_once_each() -> None:
    items = np.array([[0, 0, 3, 1, 2]], dtype=np.int32)
    space = Space(np.zeros(1, np.int64), items, np.ones((1, 4), bool), 4)
    assert space.counts.tolist() == [[3 * 3, 4 * 4, 3, 2]]
    (moves,) = space.spread(None, 1000, np.random.default_rng(0))
    forms = [tuple(row[row != 0].tolist()) for row in space.apply(moves)]
    assert len(set(zip(moves.kinds.tolist(), moves.columns.tolist(), moves.items.tolist(), strict=True))) == 30
    start = (3, 1, 2)
    replaced = [(*start[:j], i, *start[j + 1 :]) for j in range(3) for i in range(1, 5) if i != start[j]]
    inserted = [(*start[:j], i, *start[j:]) for j in range(4) for i in range(1, 5)]
    expected = [*replaced, *inserted, (1, 2), (3, 2), (3, 1), (1, 3, 2), (3, 2, 1)]
    assert sorted(forms) == sorted(expected)


@pytest.mark.parametrize("most", [1, 7, 30, 1000])
def test_some_moves_are_different_ones_spread_over_all_kinds(most: int) -> None:
    items = np.array([[0, 0, 3, 1, 2], [0, 0, 0, 0, 1], [0, 1, 2, 3, 4]], dtype=np.int32)
    space = Space(np.arange(3), items, np.ones((3, 4), bool), 4)
    found: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for moves in space.spread(most, 5, np.random.default_rng(0)):
        assert len(moves.states) <= 5, "in blocks"
        for row in range(len(moves.states)):
            found[int(moves.states[row])].append((moves.kinds[row], moves.columns[row], moves.items[row]))
    for state, some in found.items():
        assert len(some) == min(most, int(space.counts[state].sum()))
        assert len(set(some)) == len(some)
    if most == 7:
        assert {int(kind) for kind, _, _ in found[0]} >= {REPLACE, INSERT}


def test_an_insertion_into_a_full_row_pushes_the_oldest_out_and_the_last_item_stays() -> None:
    full, one = np.array([[1, 2, 3]], dtype=np.int32), np.array([[0, 0, 3]], dtype=np.int32)
    kind, column = np.array([INSERT]), np.array([2])
    assert edited(full, kind, column, np.array([9])).tolist() == [[2, 3, 9]]
    assert edited(full, np.array([DELETE]), np.array([1]), np.array([0])).tolist() == [[0, 1, 3]]
    assert edited(full, np.array([SWAP]), np.array([2]), np.array([0])).tolist() == [[1, 3, 2]]
    assert Space(np.zeros(1, np.int64), one, np.ones((1, 4), bool), 4).counts.tolist() == [[3, 8, 0, 0]]


# --- first-order gains


def test_gains_are_the_exact_differences_in_a_linear_model() -> None:
    """In a target's score, over all kinds: shifts included, since the model reads columns from the newest."""
    target, items = 7, np.pad(SEQUENCES.items, ((0, 0), (1, 0)))
    read = SequenceBatch(items)
    wide = LinearBag(width=9)
    embeddings = wide.embed(read).requires_grad_(True)
    # every column counts, padding too: otherwise an item that moves into padding would be missed
    weights = wide.weights[-9:, None]
    score = ((embeddings * weights).sum(dim=1) @ wide.output.T)[:, target]
    (gradient,) = torch.autograd.grad(score.sum(), embeddings)
    gains = linear_gains(gradient, torch.from_numpy(items.astype(np.int64)), wide.table, [0, 1, 2, 3])
    space = Space(np.arange(12), items, np.ones((12, 4), bool), 30)
    (moves,) = space.spread(None, 10**6, np.random.default_rng(0))
    forms = torch.from_numpy(space.apply(moves).astype(np.int64))
    after = ((wide.table[forms] * weights).sum(dim=1) @ wide.output.T)[:, target]
    told = gains[moves.states, moves.kinds, moves.columns, moves.items]
    assert torch.allclose(told, after - score.detach()[moves.states], atol=1e-4)
    assert int((gains > -torch.inf).sum()) == len(moves.states), "and nothing else is possible"


# --- exact, and compared with exact


def all_forms(sequence: list[int], edits: int, n_items: int) -> list[tuple[int, ...]]:
    """Everything within so many edits, by applying them one by one."""
    forms = {tuple(sequence)}
    for _ in range(edits):
        for form in list(forms):
            for back, item in itertools.product(range(1, len(form) + 2), range(1, n_items + 1)):
                forms.add(tuple(apply_edits(form, [Edit("insert", back, item)])))
                if back <= len(form):
                    forms.add(tuple(apply_edits(form, [Edit("replace", back, item)])))
                    if len(form) > 1:
                        forms.add(tuple(apply_edits(form, [Edit("delete", back)])))
    return sorted(forms)


@by_goal
@pytest.mark.parametrize("edits", [1, 2])
@pytest.mark.parametrize("feedback", ["lists", "scores"])
def test_exhaustive_is_brute_force(goal: AnyGoal, edits: int, feedback: Any) -> None:
    attack = Exhaustive(feedback=feedback, k=2)
    found = attack(view(SMALL), SHORT, goal, Budget(edits=edits), np.random.default_rng(0))
    got = reached(SMALL, goal, SHORT, found.sequences.truncate(4))
    harm = harm_against(SMALL.recommend(SHORT, 2), goal)
    hurt = harm(np.arange(5), SMALL.recommend(found.sequences.truncate(4), 2))
    for row in range(5):
        forms = SequenceBatch.from_lists(all_forms(filled(SHORT.items[row]), edits, 5), 4)
        rows = np.full(len(forms), row)
        if feedback == "lists":
            assert hurt[row] == pytest.approx(max(harm(rows, SMALL.recommend(forms, 2)).max(), 0.0))
        else:
            each = reached(SMALL, goal, SHORT[rows], forms)
            assert float(got[row]) == pytest.approx(max(float(each.max()), 0.0), abs=1e-4)
    assert found.curve[-1].reached == pytest.approx(float((hurt if feedback == "lists" else got).mean()), abs=1e-4)


@by_goal
def test_all_replacements_of_a_place_together_are_the_same_as_one_by_one(
    goal: AnyGoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, outcomes = Exhaustive(feedback="scores"), []
    for together in (1, 1000):
        monkeypatch.setattr("robust.attacks.evasion.levels.TOGETHER", together)
        found = attack(view(MODEL), SEQUENCES, goal, Budget(edits=1), np.random.default_rng(0))
        outcomes.append(reached(MODEL, goal, SEQUENCES, found.sequences.truncate(8)))
    assert torch.allclose(outcomes[0], outcomes[1], atol=1e-4)


@by_goal
@pytest.mark.parametrize("edits", [1, 2])
def test_no_search_is_beyond_the_optimum_and_full_width_reaches_it(goal: AnyGoal, edits: int) -> None:
    def run(attack: EvasionAttack) -> torch.Tensor:
        found = attack(view(SMALL), SHORT, goal, Budget(edits=edits), np.random.default_rng(0))
        assert int(edit_distance(SHORT, found.sequences).max()) <= edits
        return reached(SMALL, goal, SHORT, found.sequences.truncate(4))

    best = run(Exhaustive(feedback="scores"))
    for attack in (Greedy(feedback="scores"), Beam(feedback="scores"), FirstOrder(), FirstOrder(width=3)):
        assert bool((run(attack) <= best + 1e-4).all())
    for full in (FirstOrder(candidates=10**5, width=10**4), Beam(feedback="scores", candidates=10**5, width=10**4)):
        assert torch.allclose(run(full), best, atol=1e-4)


def test_too_many_chains_are_refused_and_one_edit_never_is() -> None:
    with pytest.raises(NotApplicable, match=r"517\^2 chains .* 8 items, and its limit \(`most`\) is 1,000"):
        Exhaustive(most=1000)(view(MODEL), SEQUENCES, Degrade(), Budget(edits=2), np.random.default_rng(0))
    Exhaustive(most=1)(view(MODEL), SEQUENCES, Degrade(), Budget(edits=1), np.random.default_rng(0))
    with pytest.raises(BudgetExceeded):
        Exhaustive()(view(MODEL, queries=100), SEQUENCES, Degrade(), Budget(edits=1), np.random.default_rng(0))


# --- what they see, ask and note


@pytest.mark.parametrize("attack", [*SEARCHES[:3], RandomEdits(tries=5)], ids=lambda attack: attack.name)
def test_lists_alone_are_enough_and_scores_must_be_granted(attack: EvasionAttack) -> None:
    lists: Any = ListsOnly(MODEL)
    access = view(lists, knowledge=Knowledge(model="lists"))
    found = attack(access, SEQUENCES, Degrade(), Budget(edits=2), np.random.default_rng(0))
    assert not np.array_equal(found.sequences.truncate(8).items, SEQUENCES.items)
    by_scores = attack.model_copy(update={"feedback": "scores"})
    with pytest.raises(NotKnown, match="model: scores"):
        by_scores(
            view(MODEL, knowledge=Knowledge(model="lists")),
            SEQUENCES,
            Degrade(),
            Budget(edits=2),
            np.random.default_rng(0),
        )


@by_goal
@pytest.mark.parametrize("attack", SEARCHES[1:], ids=lambda attack: attack.name)
@pytest.mark.parametrize("each", [0, 3, 9, 20])
def test_a_limit_of_queries_is_planned_for(attack: EvasionAttack, goal: AnyGoal, each: int) -> None:
    budget = Budget(edits=2, queries=12 * each)
    spent = attack(view(MODEL, queries=12 * each), SEQUENCES, goal, budget, np.random.default_rng(0)).queries
    assert spent <= 12 * each
    if each == 20:
        assert spent > 12 * 12, "and used"


@pytest.mark.parametrize("attack", [*SEARCHES, RandomEdits(tries=6)], ids=lambda attack: attack.name)
def test_curves_end_at_what_is_handed_back(attack: EvasionAttack) -> None:
    found = attack(view(MODEL), SEQUENCES, Promote(items=(3,)), Budget(edits=2), np.random.default_rng(0))
    assert len(found.curve) >= 2
    assert found.curve[-1].queries == pytest.approx(found.queries / 12)
    asked = [point.queries for point in found.curve]
    assert asked == sorted(asked)
    if attack.name == "first-order":
        got = reached(MODEL, Promote(items=(3,)), SEQUENCES, found.sequences.truncate(8)).mean()
    else:
        harm = harm_against(MODEL.recommend(SEQUENCES, 10), Promote(items=(3,)))
        got = torch.tensor(harm(np.arange(12), MODEL.recommend(found.sequences.truncate(8), 10)).mean())
    assert found.curve[-1].reached == pytest.approx(float(got), abs=1e-4)


# --- random edits

EVERY: tuple[NaturalKind, ...] = (
    *KINDS,
    "duplicate",
    "truncate",
    "shuffle",
    "reverse",
)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("edits", [1, 2, 3, 8])
def test_no_kind_of_random_edit_costs_more_than_the_harness_counts(kind: NaturalKind, edits: int) -> None:
    long = random_sequences(60, 9, 30, seed=1)
    attack = RandomEdits(kinds=(kind,))
    found = attack(view(MODEL), long, Degrade(), Budget(edits=edits), np.random.default_rng(edits)).sequences
    distance = edit_distance(long, found)
    assert distance.max() <= edits
    assert (found.lengths > 0).all()
    if kind in ("replace", "insert", "delete", "truncate", "duplicate") and edits == 1:
        assert (distance == (long.lengths > 1) | (kind in ("replace", "insert", "duplicate"))).all()


def one(kind: NaturalKind, items: list[int], edits: int, window: int = 3, seed: int = 0) -> list[int]:
    row = np.array([[0] * edits + items], dtype=np.int32)
    made = draw_edits(
        row, edits, (kind,), window, lambda beside, rng: beside * 0 + 9, None, np.random.default_rng(seed)
    )
    return [int(item) for item in made[0] if item]


def test_each_kind_does_what_it_says() -> None:
    assert one("reverse", [1, 2, 3, 4, 5], 4) == [5, 4, 3, 2, 1], "of five: two exchanges of two items each"
    assert one("reverse", [1, 2, 3, 4, 5], 3) == [1, 2, 3, 4, 5], "costs 4"
    assert one("swap", [1, 2, 3], 1) == [1, 2, 3], "a swap costs 2"
    assert {tuple(one("swap", [1, 2, 3], 2, seed=s)) for s in range(20)} == {(2, 1, 3), (1, 3, 2)}
    assert one("swap", [4, 4], 2) == [4, 4], "equal items have nothing to swap"
    assert {tuple(one("duplicate", [1, 2], 1, seed=s)) for s in range(20)} == {(1, 1, 2), (1, 2, 2)}
    assert {tuple(one("truncate", [1, 2, 3, 4], 2, seed=s)) for s in range(20)} <= {(2, 3, 4), (3, 4)}
    assert {tuple(one("insert", [1, 2], 1, seed=s)) for s in range(40)} == {(9, 1, 2), (1, 9, 2), (1, 2, 9)}
    assert {tuple(one("delete", [1, 2], 1, seed=s)) for s in range(20)} == {(1,), (2,)}
    shuffled = {tuple(one("shuffle", [1, 2, 3, 4], 3, seed=s)) for s in range(60)}
    assert all(sorted(form) == [1, 2, 3, 4] and (form[0] == 1 or form[3] == 4) for form in shuffled)
    assert len(shuffled) > 5


LOG = InteractionLog.from_columns(
    np.repeat(np.arange(40), 4), np.tile([1, 2, 3, 4, 5, 6, 5, 7], 20), np.tile(np.arange(4), 40), n_items=8
)


def test_items_are_chosen_as_said() -> None:
    knows = view(log=LOG, knowledge=Knowledge(log="full"), n_items=8)
    rng, standing = np.random.default_rng(0), np.full(8000, 5)
    share = {}
    for choice in ("uniform", "popular"):
        drawn = drawing(choice, knows, rng)(standing, rng)
        share[choice] = np.bincount(drawn, minlength=9) / 8000
        assert share[choice][5] == 0, "never the standing item"
    assert share["uniform"][1:] == pytest.approx([1 / 7] * 4 + [0] + [1 / 7] * 3, abs=0.02)
    others = LOG.popularity[1:9] * (np.arange(1, 9) != 5)
    assert share["popular"][1:] == pytest.approx(others / others.sum(), abs=0.02)
    assert set(coldest(knows)(standing, rng).tolist()) == {1}, "a fifth of seven trained items, lowest ids first"


def test_cold_items_are_inserted_where_popularity_is_known() -> None:
    attack, clean = RandomEdits(kinds=("insert-cold",)), LOG.sequences(4)
    access = view(log=LOG, knowledge=Knowledge(log="popularity"), n_items=8)
    found = attack(access, clean, Degrade(), Budget(edits=1), np.random.default_rng(0)).sequences
    assert (found.lengths == 5).all()
    assert (np.count_nonzero(found.items == 1, axis=1) == np.count_nonzero(clean.items == 1, axis=1) + 1).all()
    blind = view(log=LOG, knowledge=Knowledge(log="none"), n_items=8)
    with pytest.raises(NotKnown, match="log: popularity"):
        attack(blind, clean, Degrade(), Budget(edits=1), np.random.default_rng(0))


def test_neighbours_are_similar_items_and_anti_neighbours_are_not() -> None:
    rng = np.random.default_rng(0)
    white_box = view(MODEL, knowledge=Knowledge(model="gradients"))
    cosine = torch.nn.functional.cosine_similarity(MODEL.table[4:5], MODEL.table[1:]).numpy()
    cosine[3] = np.nan
    order = np.argsort(cosine[~np.isnan(cosine)])
    others = np.delete(np.arange(1, 31), 3)
    assert set(similar(white_box, rng, most=True)[4]) == set(others[order[-10:]])
    assert set(similar(white_box, rng, most=False)[4]) == set(others[order[:10]])
    by_rows = view(log=LOG, knowledge=Knowledge(log="full"), n_items=8)
    # 2 stands beside 1 and 3, 4 beside 3 alone; 6 and 7 beside 5
    table = similar(by_rows, rng, most=True)
    assert table.shape == (9, 7)
    assert table[2][0] == 4
    assert table[6][0] == 7
    assert all(item not in table[item] for item in range(1, 9))


@pytest.mark.parametrize(("choice", "needs"), [("popular", "log: popularity"), ("neighbours", "log: full")])
def test_a_choice_asks_for_what_it_needs(choice: Choice, needs: str) -> None:
    access = view(MODEL, knowledge=Knowledge(log="none", model="lists"))
    with pytest.raises(NotKnown, match=needs):
        RandomEdits(choice=choice)(access, SEQUENCES, Degrade(), Budget(edits=1), np.random.default_rng(0))


def test_one_draw_asks_nothing_and_many_hurt_more() -> None:
    asked, hurt = [], []
    for tries in (1, 30):
        found = RandomEdits(tries=tries)(view(MODEL), SEQUENCES, Degrade(), Budget(edits=2), np.random.default_rng(0))
        asked.append(found.queries)
        hurt.append(float(reached(MODEL, Degrade(), SEQUENCES, found.sequences.truncate(8)).mean()))
    assert asked == [0, 12 * 31]
    assert hurt[1] > hurt[0] + 0.3
