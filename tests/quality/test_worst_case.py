"""The direct search for the worst edits or profiles: it finds planted weaknesses, and the smallest form of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust import plugins
from robust.datasets import leave_last_out, synthetic
from robust.edits import Edit, apply_edits
from robust.errors import InputError
from robust.harm import harm_against
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.baselines import Markov, Popularity
from robust.testing.search import search_worst_case
from robust.threat import Budget, Degrade, Knowledge, Promote
from tests.toys import LinearBag, random_sequences, view


class Planted:
    """Lists of the first items, and of the last ones instead once all of `bad` stand in a sequence."""

    n_items = 100

    def __init__(self, *bad: int) -> None:
        self.bad, self.asked = bad, 0

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        self.asked += len(sequences)
        hit = np.all([(sequences.items == item).any(axis=1) for item in self.bad], axis=0)
        plain, flipped = np.arange(1, k + 1), np.arange(self.n_items, self.n_items - k, -1)
        return np.where(hit[:, None], flipped, plain).astype(np.int32)


class Nudged(Planted):
    """Each of the bad items alone already moves one item of the list: something to climb by."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        some = np.any([(sequences.items == item).any(axis=1) for item in self.bad], axis=0) & (lists[:, 0] == 1)
        lists[some, -1] = 50
        return lists


def planted(seed: int, kind: type[Planted], items: int) -> tuple[Planted, SequenceBatch]:
    rng = np.random.default_rng(seed)
    bad = rng.choice(100, size=items, replace=False) + 1
    others = np.setdiff1d(np.arange(1, 101), bad)
    return kind(*bad.tolist()), SequenceBatch(rng.choice(others, size=(1, 12)))


def test_one_bad_item_of_a_hundred_is_found_within_500_evaluations_and_shrinks_to_one_edit() -> None:
    right = 0
    for seed in range(50):
        model, sequence = planted(seed, Planted, 1)
        found = search_worst_case(model, sequence, Degrade(), Budget(edits=3), seed=seed)
        assert found.evaluations <= 500
        assert model.asked <= 502, "what the search says that it asked, and the two lists that its outcome compares"
        right += bool(found.broken[0]) and [(e.kind, e.item) for e in found.edits[0]] == [("insert", model.bad[0])]
    assert right >= 48, f"{right} of 50"


def test_two_bad_items_that_only_flip_the_list_together_are_climbed_to() -> None:
    right = 0
    for seed in range(5):
        model, sequence = planted(seed, Nudged, 2)
        found = search_worst_case(model, sequence, Degrade(), Budget(edits=3), limit=0.9, evaluations=500, seed=seed)
        right += bool(found.broken[0]) and {e.item for e in found.edits[0]} == set(model.bad)
    assert right >= 4, f"{right} of 5"


def test_nothing_is_found_where_there_is_nothing() -> None:
    model, sequence = planted(0, Planted, 1)
    model.bad = (0, 101)
    found = search_worst_case(model, sequence, Degrade(), Budget(edits=2), evaluations=150)
    assert not found.broken[0]
    assert found.edits == ((),)


def brute_force(model: LinearBag, sequence: list[int], edits: int) -> float:
    """The largest harm of at most so many edits of every kind, place and item (places beyond the oldest left out)."""
    clean = model.recommend(SequenceBatch.from_lists([sequence], 8), 5)
    harm = harm_against(clean, Degrade())
    forms = {tuple(sequence)}
    for _ in range(edits):
        for form in list(forms):
            for back, item in itertools.product(range(1, len(form) + 1), range(1, model.n_items + 1)):
                forms.add(tuple(apply_edits(form, [Edit("insert", back, item)])))
                forms.add(tuple(apply_edits(form, [Edit("replace", back, item)])))
                if len(form) > 1:
                    forms.add(tuple(apply_edits(form, [Edit("delete", back)])))
    lists = model.recommend(SequenceBatch.from_lists(list(forms), 8), 5)
    return float(harm(np.zeros(len(forms), np.int64), lists).max())


@pytest.mark.parametrize("seed", range(4))
def test_never_beyond_brute_force_and_never_worse_with_more_edits(seed: int) -> None:
    model = LinearBag(n_items=8, seed=seed)
    sequence = random_sequences(1, 4, 8, seed=seed)
    reached = []
    for edits in (1, 2):
        found = search_worst_case(model, sequence, Degrade(), Budget(edits=edits), limit=0.999, k=5, evaluations=400)
        worst = brute_force(model, [int(i) for i in sequence.items[0] if i], edits)
        assert found.change[0] <= worst + 1e-9
        reached.append(float(found.change[0]) / worst)
    assert min(reached) >= 0.9, "nearly all that there is"


@given(st.integers(0, 10_000))
@settings(max_examples=3)
def test_it_runs_within_a_property_based_test(seed: int) -> None:
    model, sequence = planted(seed, Planted, 1)
    assert search_worst_case(model, sequence, Degrade(), Budget(edits=2), seed=seed).broken[0]


def test_in_a_batch_it_beats_its_control_at_equal_evaluations() -> None:
    log = leave_last_out(synthetic.load()).train
    model = Markov(gaps=3).fit(log, seed=0)
    sequences = log.sequences(20)[:150]
    knowledge = Knowledge(log="popularity", model="lists")
    harms = {}
    attack = plugins.build("attacks", "worst-case", {"evaluations": 60})
    name, parameters = attack.control_attack(Budget(edits=2))
    for each in (attack, plugins.build("attacks", name, parameters)):
        access = view(model, log=log, n_items=log.n_items, knowledge=knowledge)
        edited = each(access, sequences, Degrade(), Budget(edits=2), np.random.default_rng(0))
        assert edited.queries <= 150 * (60 + 1 + 2)
        harm = harm_against(model.recommend(sequences, 10), Degrade())
        harms[each.name] = float(harm(np.arange(150), model.recommend(edited.sequences.truncate(20), 10)).mean())
    assert harms["worst-case"] > harms["random-substitution"]


def test_promotion_knows_its_target() -> None:
    log = leave_last_out(synthetic.load()).train
    model = Markov().fit(log, seed=0)
    target = int(np.argsort(log.popularity[1:], kind="stable")[0]) + 1
    found = search_worst_case(model, log.sequences(20)[:5], Promote(items=(target,), k=5), Budget(edits=1), log=log)
    lists = model.recommend(found.sequences.truncate(20), 5)
    assert np.array_equal(found.change > 0.10, found.broken)
    assert (lists == target).any(axis=1)[found.broken].all()


class LastSeen(Popularity):
    """Whatever the log's last user saw first comes first: one fake profile of one item is enough."""

    def fit(self, log: InteractionLog, *, seed: int) -> LastSeen:
        fitted = super().fit(log, seed=seed)
        fitted._popularity = fitted._popularity.copy()
        fitted._popularity[log.item[log.offsets[log.user[-1]]]] = 10**6
        return fitted


def test_fake_profiles_are_searched_and_shrunk_too(log: InteractionLog) -> None:
    goal, budget = Promote(items=(7,), k=3), Budget(users=3, profile_length=4)
    found = search_worst_case(LastSeen(), log.sequences(5), goal, budget, log=log, evaluations=60)
    assert found.broken.all()
    assert found.profiles is not None
    assert found.profiles.add.tolist() == [[7]], "one fake user, one item"
    assert found.evaluations <= 60 * log.n_users


@pytest.fixture
def log() -> InteractionLog:
    whole = synthetic.load()
    return InteractionLog.from_columns(
        *(c[whole.user < 20] for c in (whole.user, whole.item, whole.timestamp)), n_items=whole.n_items
    )


def test_what_cannot_be_searched_is_refused(log: InteractionLog) -> None:
    sequences = log.sequences(5)
    with pytest.raises(InputError, match="states edits, or users"):
        search_worst_case(Popularity(), sequences, Degrade(), Budget(epsilon=1.0))
    with pytest.raises(InputError, match="2 next items for 20"):
        search_worst_case(Popularity(), sequences, Degrade(), Budget(edits=1), next_items=np.array([1, 2], np.int32))
    with pytest.raises(InputError, match="take 6 at least"):
        search_worst_case(Planted(1), sequences, Degrade(), Budget(edits=4), evaluations=5)
    with pytest.raises(InputError, match="Item 9999 is not in the recommender's catalogue"):
        search_worst_case(Planted(1), sequences, Promote(items=(9999,)), Budget(edits=1))
    with pytest.raises(InputError, match="log=…"):
        search_worst_case(Popularity(), sequences, Degrade(), Budget(users=1, profile_length=2))
    with pytest.raises(InputError, match="with fit"):
        search_worst_case(Planted(1), sequences, Degrade(), Budget(users=1, profile_length=2), log=log)
