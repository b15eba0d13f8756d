"""Services: records of callers, budgets, what each defence answers, and what attackers plan on."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robust.access import AccessView
from robust.defense import Attacked, Callers, ServedRecommender, ServingDefense
from robust.defense.callers import Ledger
from robust.defenses.serving.ids_only import IdsOnly
from robust.defenses.serving.list_perturbation import ListPerturbation
from robust.defenses.serving.query_budget import QueryBudget
from robust.defenses.serving.rounding import Rounding
from robust.defenses.serving.shuffled_ties import ShuffledTies
from robust.errors import BudgetExceeded, NotApplicable, NotKnown, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Float32, capabilities
from robust.situation import Situation
from robust.threat import Budget, Degrade, Knowledge
from tests.toys import LinearBag, ListsOnly, random_sequences

MODEL = LinearBag(n_items=60)
BATCH = random_sequences(40, 8, 60, seed=3)
EVERY: list[ServingDefense] = [QueryBudget(), Rounding(), IdsOnly(), ShuffledTies(), ListPerturbation()]


def serve(defense: ServingDefense, model: Any = MODEL, seed: int = 0) -> ServedRecommender:
    served = defense.protect(model, seed=seed)
    assert isinstance(served, ServedRecommender)
    return served


def refused(lists: Int32) -> Any:
    return (lists == 0).all(axis=1)


def test_records_are_those_of_a_simple_count() -> None:
    """Against dictionaries, over batches in which callers repeat and mix."""
    rng, ledger = np.random.default_rng(0), Ledger(60)
    asked: Counter[str] = Counter()
    turned_away: Counter[str] = Counter()
    newest: dict[str, set[int]] = {}
    for batch in range(12):
        users = rng.integers(-1, 9, size=rng.integers(0, 30))
        sequences = SequenceBatch(rng.integers(1, 61, size=(len(users), 3)), users)
        caller = ["somebody", "else"][batch % 2] if batch % 3 == 0 else None
        names = [caller or ("attacker" if user < 0 else f"user {user}") for user in users.tolist()]
        keys = ledger.keys_of(sequences, caller)
        before = ledger.before(keys)
        assert list(before.ids) == names
        assert before.refused.tolist() == [turned_away[name] for name in names]
        no = rng.random(len(users)) < 0.2
        for row, name in enumerate(names):
            assert before.asked[row] == asked[name], "rows higher up in the batch count"
            asked[name] += 1
            newest.setdefault(name, set()).add(int(sequences.items[row, -1]))
        for name, was in zip(names, no.tolist(), strict=True):
            turned_away[name] += was
        ledger.note(keys, sequences, no)
    found = {caller.id: caller for caller in ledger.callers()}
    assert {name: caller.asked for name, caller in found.items()} == dict(asked)
    assert {name: caller.refused for name, caller in found.items()} == {name: turned_away[name] for name in asked}
    assert {name: caller.distinct for name, caller in found.items()} == {n: len(of) for n, of in newest.items()}
    assert found["attacker"].coverage == len(newest["attacker"]) / 60


def test_each_caller_has_a_budget_of_their_own_over_all_batches() -> None:
    service = serve(QueryBudget(queries=3))
    users = np.array([0, 1, 0, 0, 0, 2, 1])
    first = refused(service.recommend(SequenceBatch(BATCH.items[:7], users), 5))
    assert first.tolist() == [False, False, False, False, True, False, False]
    again = refused(service.recommend(SequenceBatch(BATCH.items[:4], [0, 1, 1, 2]), 5))
    assert again.tolist() == [True, False, True, False]
    assert refused(service.recommend(SequenceBatch(BATCH.items[:2], [-1, -1]), 5)).tolist() == [False, False]
    granted = service.recommend(SequenceBatch(BATCH.items[:1], [77]), 5)
    assert np.array_equal(granted, MODEL.recommend(BATCH[:1], 5))


def test_scores_come_out_of_the_same_purse() -> None:
    caller = serve(QueryBudget(queries=2)).as_caller("somebody")
    assert np.array_equal(caller.score(BATCH[:1]), MODEL.score(BATCH[:1]))
    assert not refused(caller.recommend(BATCH[1:2], 5)).any()
    assert refused(caller.recommend(BATCH[1:2], 5)).all()
    assert np.isneginf(caller.score(BATCH[:1])).all()


def test_named_callers_share_the_records_of_one_service() -> None:
    service = serve(QueryBudget(queries=4))
    service.as_caller("a").recommend(BATCH[:3], 5)
    assert refused(service.as_caller("a").recommend(BATCH[:3], 5)).tolist() == [False, True, True]
    assert not refused(service.as_caller("b").recommend(BATCH[:4], 5)).any()
    assert not refused(service.reopened().as_caller("a").recommend(BATCH[:4], 5)).any(), "a new service knows nobody"


def test_who_floods_or_walks_the_catalogue_is_flagged() -> None:
    service = serve(QueryBudget(queries=50, walk=0.5))
    service.recommend(random_sequences(300, 8, 60), 5)  # 300 users, a question each
    service.as_caller("regular").recommend(BATCH, 5)
    few = SequenceBatch(BATCH.items.copy())
    service.as_caller("regular").recommend(few[:10], 5)
    assert set(service.flagged()) <= {"regular"}
    narrow = serve(QueryBudget(queries=50, walk=0.5))
    narrow.as_caller("flood").recommend(SequenceBatch(np.tile([[1, 2, 3]], (51, 1))), 5)
    walk = np.column_stack([np.ones(30, int), np.arange(1, 31)])
    narrow.as_caller("walk").recommend(SequenceBatch(walk), 5)
    narrow.as_caller("short of it").recommend(SequenceBatch(walk[:29]), 5)
    narrow.recommend(random_sequences(300, 8, 60), 5)
    said = narrow.flagged()
    assert set(said) == {"flood", "walk"}
    assert "1 of them beyond the budget of 50" in said["flood"]
    assert "walked 50% of the catalogue" in said["walk"]


def test_six_thousand_callers_are_answered_in_a_moment() -> None:
    crowd = random_sequences(6000, 8, 60)
    service = serve(QueryBudget(queries=2))
    begun = time.perf_counter()
    lists = MODEL.recommend(crowd, 10)
    plain = time.perf_counter() - begun
    begun = time.perf_counter()
    served = service.recommend(crowd, 10)
    taken = time.perf_counter() - begun
    assert np.array_equal(served, lists)
    assert taken < 20 * plain + 0.5


@pytest.mark.parametrize("defense", EVERY, ids=lambda d: d.name)
def test_a_service_keeps_the_promises_of_a_ranking(defense: ServingDefense) -> None:
    service = serve(defense)
    longest = service.reopened().recommend(BATCH, 60)
    for k in (1, 10, 25):
        lists = service.reopened().recommend(BATCH, k)
        assert lists.shape == (40, k)
        assert np.array_equal(lists, longest[:, :k]), "a shorter list is the beginning of a longer one"
        assert all(len(set(row[row != 0].tolist())) == (row != 0).sum() for row in lists)
        assert not ((lists[:, :-1] == 0) & (lists[:, 1:] != 0)).any()
    alone = np.concatenate([service.reopened().recommend(BATCH[r : r + 1], 10) for r in range(40)])
    assert np.array_equal(alone, longest[:, :10])
    padded = SequenceBatch(np.pad(BATCH.items[:, 3:], ((0, 0), (3, 0))))
    short = SequenceBatch(BATCH.items[:, 3:])
    assert np.array_equal(service.reopened().recommend(padded, 10), service.reopened().recommend(short, 10))
    assert service.reopened().recommend(BATCH[:0], 10).shape == (0, 10)
    assert capabilities(service) == capabilities(MODEL) & (defense.offers | {"lists"})


def test_rounded_scores_and_lists_in_their_order() -> None:
    service, scores = serve(Rounding(decimals=1)), MODEL.score(BATCH)
    served = service.score(BATCH)
    np.testing.assert_allclose(served[:, 1:], np.round(scores[:, 1:], 1))
    assert np.isneginf(served[:, 0]).all()
    again = Rounding(decimals=1).blur(served, BATCH, _nobody(), 0)
    assert np.array_equal(again, served), "rounding twice is rounding once"
    lists = service.recommend(BATCH, 60)
    for row, ranked in zip(served, lists, strict=True):
        expected = [item for _, item in sorted((-float(row[item]), item) for item in range(1, 61))]
        assert ranked.tolist() == expected


def _nobody() -> Callers:
    return Callers(("x",) * 40, np.zeros(40, np.int64), np.zeros(40, np.int64))


def test_only_near_ties_change_places() -> None:
    eta = 0.2
    service, scores = serve(ShuffledTies(eta=eta)), MODEL.score(BATCH)[:, 1:].astype(float)
    lists = service.recommend(BATCH, 60) - 1
    gap = eta * scores.std(axis=1)
    place = np.argsort(lists, axis=1)
    swapped = 0
    for row in range(len(BATCH)):
        ahead = scores[row][:, None] - scores[row][None, :]
        turned = (place[row][:, None] > place[row][None, :]) & (ahead > 0)
        assert ahead[turned].max(initial=0) < gap[row]
        swapped += int(turned.sum())
    assert swapped > 100, "and some near-ties do"
    order = np.argsort(-service.score(BATCH)[:, 1:], axis=1, kind="stable")
    assert np.array_equal(order, lists), "the served scores show no other order"
    other = serve(ShuffledTies(eta=eta), seed=1)
    assert not np.array_equal(other.recommend(BATCH, 60) - 1, lists), "another secret, another order"


def test_a_share_of_the_places_goes_to_items_from_below_in_order() -> None:
    many = random_sequences(600, 8, 60, seed=5)
    lists, plain = serve(ListPerturbation(replaced=2, of=10)).recommend(many, 10), MODEL.recommend(many, 60)
    gone = np.mean([len(set(own[:10].tolist()) - set(row.tolist())) for own, row in zip(plain, lists, strict=True)])
    assert gone == pytest.approx(2, abs=0.2)
    for own, row in zip(plain[:50], lists[:50], strict=True):
        places = [own.tolist().index(item) for item in row]
        assert places == sorted(places)
    assert (lists != 0).all()
    with pytest.raises(ValidationError, match="leaves nothing of a list"):
        ListPerturbation(replaced=10, of=10)


def test_lists_of_a_catalogue_that_is_too_small_are_short() -> None:
    small = LinearBag(n_items=12)
    lists = serve(ListPerturbation(replaced=5, of=10), small).recommend(random_sequences(50, 8, 12), 12)
    assert ((lists != 0).sum(axis=1) < 12).mean() > 0.9
    assert ((lists != 0).sum(axis=1) > 0).mean() > 0.9


def test_needs_are_checked() -> None:
    with pytest.raises(NotApplicable, match="'rounding' needs scores"):
        Rounding().protect(ListsOnly(MODEL), seed=0)
    assert capabilities(serve(QueryBudget(), ListsOnly(MODEL))) == {"lists"}
    assert np.array_equal(serve(IdsOnly(), ListsOnly(MODEL)).recommend(BATCH, 5), MODEL.recommend(BATCH, 5))
    for kind, wrong in ((QueryBudget, {"queries": 0}), (QueryBudget, {"walk": 0.0}), (Rounding, {"decimals": -1})):
        with pytest.raises(ValidationError):
            kind(**wrong)


def test_an_answer_of_another_shape_is_refused() -> None:
    class Short(IdsOnly):
        def answer(
            self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
        ) -> Int32:
            return lists[:, 1:]

    with pytest.raises(RobustError, match=r"answered with \(40, 4\), expected \(40, 5\)"):
        serve(Short()).recommend(BATCH, 5)


def seen(service: ServedRecommender, model: Any, **more: Any) -> AccessView:
    return AccessView(
        attack="toy", knowledge=Knowledge(model=model), n_items=60, recommender=service.as_attacker(5), **more
    )


def test_who_asks_is_served_and_counted_and_who_holds_the_weights_is_not() -> None:
    service = serve(QueryBudget(queries=1))
    black, white = seen(service, "lists").model, seen(service, "gradients").model
    assert [bool(refused(black.recommend(BATCH[:1], 5))[0]) for _ in range(2)] == [False, True]
    assert [bool(refused(white.recommend(BATCH[:1], 5))[0]) for _ in range(2)] == [False, False]
    assert not refused(service.recommend(BATCH[:1], 5)).any(), "an attacker's planning leaves no trace"
    assert np.array_equal(white.score(BATCH), MODEL.score(BATCH))
    with pytest.raises(NotKnown):
        seen(service, "lists").model.score(BATCH)


def test_scores_that_are_not_served_are_hidden_from_who_only_asks() -> None:
    service = serve(IdsOnly())
    with pytest.raises(NotApplicable, match="needs scores"):
        seen(service, "scores").model.score(BATCH)
    assert np.array_equal(seen(service, "gradients").model.score(BATCH), MODEL.score(BATCH))


def test_gradients_go_straight_through_a_rounding() -> None:
    service = serve(Rounding(decimals=0))
    assert np.array_equal(seen(service, "scores").model.score(BATCH), service.score(BATCH))
    model = seen(service, "gradients").model
    at = model.embed(BATCH).requires_grad_(True)
    (gradient,) = torch.autograd.grad(model.score_embeddings(at, BATCH)[:, 1:].square().sum(), at)
    assert float(gradient.abs().sum()) > 0


def test_a_lists_only_service_has_no_gradients_to_show() -> None:
    seen_through = serve(IdsOnly(), ListsOnly(MODEL)).as_attacker(1)
    assert isinstance(seen_through, Attacked)
    assert capabilities(seen_through) == {"lists"}
    assert np.array_equal(seen_through.with_weights().recommend(BATCH, 5), MODEL.recommend(BATCH, 5))


@pytest.mark.parametrize(
    ("model", "own", "allowed"), [("lists", None, 80), ("lists", 30, 30), ("gradients", None, None)]
)
def test_an_attack_may_ask_what_the_service_grants_all_its_callers(model: Any, own: Any, allowed: Any) -> None:
    log = InteractionLog.from_columns(np.arange(40), np.arange(1, 41), np.ones(40), n_items=60)
    situation = Situation(BATCH, np.ones(40, np.int32), log)
    from robust.attacks.evasion.random_substitution import RandomSubstitution

    attack, knowledge = RandomSubstitution(tries=5), Knowledge(model=model)
    service = serve(QueryBudget(queries=2)).as_attacker(0)
    access = situation.access(attack, service, Budget(edits=1, queries=own), knowledge)
    assert access.counter.limit == allowed
    attack(access, BATCH, Degrade(), Budget(edits=1, queries=own), np.random.default_rng(0))
    if allowed is not None:
        assert access.counter.spent <= allowed
        with pytest.raises(BudgetExceeded):
            access.model.recommend(random_sequences(allowed + 1, 8, 60), 5)


def test_a_budget_of_one_answers_every_clean_user_of_an_evaluation() -> None:
    log = InteractionLog.from_columns(np.arange(40), np.arange(1, 41), np.ones(40), n_items=60)
    truth = MODEL.recommend(BATCH, 1)[:, 0]
    for model in (MODEL, ListsOnly(MODEL)):
        service = serve(QueryBudget(queries=1), model)
        ranking = Situation(BATCH, truth, log).rank(service, BATCH, (), False)
        assert ranking.ranks.tolist() == [1] * 40
        again = Situation(BATCH, truth, log).rank(service, BATCH, (), False)
        assert (again.ranks > 60).all(), "who is refused misses"
        assert (again.lists == 0).all()
