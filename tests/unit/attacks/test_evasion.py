"""Substitution: the gradient rules against finite differences and brute force, τ, queries, and the control."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from robust.attack import AnyGoal
from robust.attacks.evasion import proposals
from robust.attacks.evasion.proposals import Catalogue, first_order, sign_cosine
from robust.attacks.evasion.random_substitution import RandomSubstitution, draw_substitutions
from robust.attacks.evasion.substitution import Substitution
from robust.attacks.objective import Objective, objective_for
from robust.harm import gain_of, overlap
from robust.log import SequenceBatch
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import LinearBag, random_sequences, view

MODEL = LinearBag()
SEQUENCES = random_sequences(12, 8, 30, seed=4)
GOALS: list[AnyGoal] = [Promote(items=(5, 9)), Demote(items=(5, 9)), Degrade()]


def reached(objective: Objective, sequences: SequenceBatch) -> torch.Tensor:
    return objective(torch.from_numpy(MODEL.score(sequences)))


def swaps(items: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    return [(int(j), i) for j in np.flatnonzero(items) for i in range(1, 31) if i != items[j]]


def test_the_first_order_gain_is_the_exact_difference_in_a_linear_model() -> None:
    """In the target's score, which is linear in the embeddings, so that swapping two items is its own derivative."""
    target = 7
    embeddings = MODEL.embed(SEQUENCES).requires_grad_(True)
    score = MODEL.score_embeddings(embeddings, SEQUENCES)[:, target]
    (gradient,) = torch.autograd.grad(score.sum(), embeddings)
    score = score.detach()
    items = torch.from_numpy(SEQUENCES.items.astype(np.int64))
    found = first_order(gradient, items, items != 0, Catalogue.of(MODEL.table, None), 5)
    for row in range(len(SEQUENCES)):
        gains = {}
        for position, item in swaps(SEQUENCES.items[row]):
            swapped = SEQUENCES.items[[row]].copy()
            swapped[0, position] = item
            gains[position, item] = float(MODEL.score(SequenceBatch(swapped))[0, target] - score[row])
        best = sorted(gains, key=lambda pair: -gains[pair])[:5]
        proposed = list(zip(found.positions[row].tolist(), found.items[row].tolist(), strict=True))
        assert [gains[p] for p in proposed] == pytest.approx([gains[b] for b in best], abs=1e-4)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = torch.randn(12, 8, 6, generator=torch.Generator().manual_seed(1))
    items = torch.from_numpy(SEQUENCES.items.astype(np.int64))
    catalogue = Catalogue.of(MODEL.table, 0.2)
    for rule in (first_order, sign_cosine):
        whole = rule(gradient, items, items != 0, catalogue, 4)
        monkeypatch.setattr(proposals, "CHUNK", 100)  # three rows at a time
        parts = rule(gradient, items, items != 0, catalogue, 4)
        monkeypatch.undo()
        assert torch.equal(whole.items[whole.valid], parts.items[parts.valid])
        assert torch.equal(whole.positions[whole.valid], parts.positions[parts.valid])
        assert torch.equal(whole.valid, parts.valid)


def test_sign_cosine_follows_its_definition() -> None:
    gradient = torch.randn(12, 8, 6, generator=torch.Generator().manual_seed(1))
    items = torch.from_numpy(SEQUENCES.items.astype(np.int64))
    found = sign_cosine(gradient, items, items != 0, Catalogue.of(MODEL.table, None), 3)
    for row in range(12):
        real = np.flatnonzero(SEQUENCES.items[row])
        position = max(real, key=lambda j: float(gradient[row, j].norm()))
        wanted = MODEL.table[items[row, position]] + gradient[row, position].sign()
        cosine = torch.nn.functional.cosine_similarity(MODEL.table[1:], wanted[None])
        cosine[items[row, position] - 1] = -2
        assert set(found.positions[row].tolist()) == {position}
        assert found.items[row].tolist() == (cosine.topk(3).indices + 1).tolist()


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
def test_one_edit_with_all_candidates_is_the_best_by_exhaustion(goal: AnyGoal) -> None:
    every = Substitution(tau=None, candidates=8 * 30)
    access = view(MODEL)
    edited = every(access, SEQUENCES, goal, Budget(edits=1), np.random.default_rng(0)).sequences
    objective = objective_for(access, SEQUENCES, goal)
    got = reached(objective, edited)
    for row in range(len(SEQUENCES)):
        tried = np.repeat(SEQUENCES.items[[row]], len(swaps(SEQUENCES.items[row])), axis=0)
        for place, (position, item) in enumerate(swaps(SEQUENCES.items[row])):
            tried[place, position] = item
        best = reached(objective.take(torch.full((len(tried),), row)), SequenceBatch(tried)).max()
        assert float(got[row]) == pytest.approx(float(best), abs=1e-4)


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
@pytest.mark.parametrize("gain", ["first-order", "sign-cosine"])
def test_more_edits_hurt_more_and_each_helps(goal: AnyGoal, gain: Literal["first-order", "sign-cosine"]) -> None:
    objective = objective_for(view(MODEL), SEQUENCES, goal)
    harm = [reached(objective, SEQUENCES)]
    for edits in (1, 2, 3):
        attack = Substitution(tau=None, gain=gain)
        edited = attack(view(MODEL), SEQUENCES, goal, Budget(edits=edits), np.random.default_rng(0)).sequences
        assert (edited.items != SEQUENCES.items).sum(axis=1).max() <= edits
        assert np.array_equal(edited.items == 0, SEQUENCES.items == 0), "padding stays where it is"
        harm.append(reached(objective, edited))
        assert bool((harm[-1] >= harm[-2] - 1e-5).all()), "an edit that does not help is not made"
    assert float(harm[-1].mean()) > float(harm[0].mean()) + 0.5


@pytest.mark.parametrize("gain", ["first-order", "sign-cosine"])
@pytest.mark.parametrize("tau", [0.2, 0.5, 0.8])
def test_tau_is_kept(gain: Literal["first-order", "sign-cosine"], tau: float) -> None:
    attack = Substitution(tau=tau, gain=gain, candidates=40)
    edited = attack(view(MODEL), SEQUENCES, Degrade(), Budget(edits=3), np.random.default_rng(0)).sequences
    rows, columns = np.nonzero(edited.items != SEQUENCES.items)
    assert len(rows) > 0
    before = MODEL.table[SEQUENCES.items[rows, columns]]
    after = MODEL.table[edited.items[rows, columns]]
    assert bool((torch.nn.functional.cosine_similarity(before, after) >= tau - 1e-5).all())


def test_items_without_similar_items_are_never_substituted() -> None:
    attack = Substitution(tau=1.0)
    edited = attack(view(MODEL), SEQUENCES, Degrade(), Budget(edits=2), np.random.default_rng(0)).sequences
    assert np.array_equal(edited.items, SEQUENCES.items)


def test_knowing_the_next_item_aims_at_it() -> None:
    truth = np.full(12, 3, dtype=np.int32)
    knows = view(MODEL, knowledge=Knowledge(model="gradients", next_item=True), next_items=truth)
    assert objective_for(knows, SEQUENCES, Degrade()).labels.ravel().tolist() == truth.tolist()
    guesses = objective_for(view(MODEL, next_items=truth), SEQUENCES, Degrade())
    assert guesses.labels.ravel().tolist() == MODEL.recommend(SEQUENCES, 1).ravel().tolist()


def test_the_objective_ignores_padding_and_unknown_labels() -> None:
    scores = torch.tensor([[-torch.inf, 1.0, 2.0], [9.0, 1.0, 2.0]])
    losses = Objective(torch.tensor([[2], [2]]), 1)(scores)
    assert losses.tolist() == pytest.approx([np.log1p(np.exp(-1.0))] * 2)
    assert Objective(torch.tensor([[0], [1]]), 1)(scores).tolist() == pytest.approx([0, np.log1p(np.exp(1.0))])
    assert Objective(torch.tensor([[1, 2]]), -1)(scores[:1]).item() == pytest.approx(-(np.log1p(np.e) - 0.5))


@pytest.mark.parametrize(("gain", "per_sequence"), [("first-order", 22), ("sign-cosine", 21)])
def test_queries_are_as_many_as_its_control_gets(
    gain: Literal["first-order", "sign-cosine"], per_sequence: int
) -> None:
    attack, access = Substitution(tau=None, gain=gain), view(MODEL)
    full = random_sequences(12, 8, 30, shortest=8)
    spent = attack(access, full, Degrade(), Budget(edits=2), np.random.default_rng(0)).queries
    assert attack.queries(2) == per_sequence
    assert spent <= 12 * (per_sequence + 1)
    assert spent >= 12 * per_sequence * 0.8, "some rows may stop early"
    name, parameters = attack.control_attack(Budget(edits=2))
    control = RandomSubstitution(**parameters)
    assert name == control.name
    asked = control(view(MODEL), full, Degrade(), Budget(edits=2), np.random.default_rng(0)).queries
    assert asked == 12 * (per_sequence + 1)


@pytest.mark.parametrize("attack", [Substitution(tau=None), RandomSubstitution(tries=50)], ids=lambda a: a.name)
def test_a_budget_of_queries_is_planned_for(attack: Any) -> None:
    access = view(MODEL, queries=12 * 9)
    spent = attack(access, SEQUENCES, Degrade(), Budget(edits=2, queries=12 * 9), np.random.default_rng(0)).queries
    assert 12 * 4 < spent <= 12 * 9


def test_one_random_draw_asks_nothing_and_is_uniform() -> None:
    access = view(MODEL, knowledge=Knowledge(model="lists"))
    batch = SequenceBatch(np.tile([[0, 1, 2, 3]], (6000, 1)))
    edited = RandomSubstitution()(access, batch, Degrade(), Budget(edits=1), np.random.default_rng(0))
    assert edited.queries == 0
    changed = edited.sequences.items != batch.items
    assert np.all(changed.sum(axis=1) == 1)
    assert np.abs(changed.sum(axis=0)[1:] - 2000).max() < 5 * 37
    assert not changed[:, 0].any()
    counts = np.bincount(edited.sequences.items[:, 3][changed[:, 3]], minlength=31)
    assert counts[3] == 0, "an item is not replaced by itself"
    assert np.all(np.delete(counts[1:], 2) > 30)  # 29 others, about 69 each


def test_random_draws_change_as_many_items_as_there_are() -> None:
    items = np.array([[0, 0, 0, 4], [1, 2, 3, 4], [0, 0, 0, 0]], dtype=np.int32)
    drawn = draw_substitutions(items, 30, 3, np.random.default_rng(0))
    assert (drawn != items).sum(axis=1).tolist() == [1, 3, 0]
    alone = np.array([[0, 1, 1]], dtype=np.int32)
    assert np.array_equal(draw_substitutions(alone, 1, 2, np.random.default_rng(0)), alone), "no other item"
    assert (draw_substitutions(items, 30, 9, np.random.default_rng(0)) != items).sum(axis=1).tolist() == [1, 4, 0]


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
@pytest.mark.parametrize("next_item", [False, True])
def test_the_best_of_many_draws_beats_one(goal: AnyGoal, next_item: bool) -> None:
    full = random_sequences(200, 8, 30, shortest=8)
    truth = MODEL.recommend(full, 3)[:, 2]
    knowledge = Knowledge(model="lists", next_item=next_item)
    harm = []
    for tries in (1, 20):
        access = view(MODEL, knowledge=knowledge, next_items=truth)
        attack = RandomSubstitution(tries=tries)
        edited = attack(access, full, goal, Budget(edits=2), np.random.default_rng(0)).sequences
        objective = Objective(torch.from_numpy(truth[:, None].astype(np.int64)), 1)
        if goal.kind != "degrade":
            objective = objective_for(view(MODEL), full, goal)
        harm.append(float(reached(objective, edited).mean()))
    assert harm[1] > harm[0] + 0.3


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
@pytest.mark.parametrize("attack", [Substitution(tau=None), RandomSubstitution(tries=5)], ids=lambda a: a.name)
def test_the_curve_ends_at_what_is_handed_back(attack: Any, goal: AnyGoal) -> None:
    found = attack(view(MODEL), SEQUENCES, goal, Budget(edits=3), np.random.default_rng(0))
    edits = [point.edits for point in found.curve]
    if attack.name == "substitution":  # a point for each proposal of each edit
        assert edits == sorted(edits)
        assert set(edits) == {1, 2, 3}
        assert len(edits) == 3 * attack.candidates
    else:
        assert edits == [3] * 5
    if attack.name == "substitution":
        objective = objective_for(view(MODEL), SEQUENCES, goal)
        gain = float((reached(objective, found.sequences) - reached(objective, SEQUENCES)).mean())
        assert found.curve[-1].reached == pytest.approx(gain, abs=1e-4)
    elif goal.kind == "promote":
        targets = np.tile(goal.items, (12, 1)).astype(np.int32)
        gains = [gain_of(MODEL.recommend(each, 10), targets) for each in (SEQUENCES, found.sequences)]
        rise = float(np.maximum(gains[1] - gains[0], 0).mean())
        assert found.curve[-1].reached == pytest.approx(rise), "the best draw may still be worse than none"


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
def test_the_direct_search_begins_from_a_few_quick_attacks_and_its_curve_rises(goal: AnyGoal) -> None:
    from robust import plugins
    from robust.attacks.evasion.worst_case import SEEDS

    kinds = [plugins.load("attacks", name) for name in SEEDS]
    assert not any("embedding" in kind.__module__ for kind in kinds), "no framework is imported for it"
    attack = plugins.build("attacks", "worst-case", {"evaluations": 60})
    access = view(MODEL, knowledge=Knowledge(model="gradients", log="none"))
    found = attack(access, SEQUENCES, goal, Budget(edits=2), np.random.default_rng(0))
    assert found.curve[-1].reached > 0
    assert found.curve[-1].queries <= found.queries / 12
    assert len(found.curve) > len(SEEDS)


def test_harm_is_read_from_lists() -> None:
    lists = np.array([[3, 1, 2], [4, 5, 0]], dtype=np.int32)
    second = 1 / np.log2(3)
    assert gain_of(lists, np.array([[1], [7]], dtype=np.int32)).tolist() == pytest.approx([second, 0])
    assert gain_of(lists, np.array([[3, 1], [0, 5]], dtype=np.int32)).tolist() == pytest.approx(
        [(1 + second) / 2, second / 2]
    )
    assert overlap(lists, lists).tolist() == pytest.approx([1 + second**2 + 0.25, 1 + second**2])
    assert overlap(lists, np.array([[9, 8, 3], [0, 0, 0]], dtype=np.int32)).tolist() == pytest.approx([0.5, 0])
