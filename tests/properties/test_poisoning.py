"""Fake profiles keep every promise for all shapes of catalogue, targets and budget."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust import plugins
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.poisoning.alternating import Alternating
from robust.attacks.poisoning.orders import Order
from robust.attacks.poisoning.orders_by_log import arrange
from robust.attacks.poisoning.profiles import draw_filler, draw_weighted, spread_targets
from robust.attacks.poisoning.template import Template
from robust.attacks.poisoning.times import Times
from robust.log import InteractionLog, LogEdit
from robust.threat import Budget, Degrade, Demote, Promote
from tests.toys import LinearBag, view

seeds = st.integers(0, 2**32 - 1)
SHARES = ("selected", "share", "noise", "shift")
TEMPLATES = [name for name, kind in plugins.load_all("attacks").items() if issubclass(kind, Template)]


def some_log(n_items: int, seed: int, span: int) -> InteractionLog:
    """Four users of five events each within `span` units of time."""
    rng = np.random.default_rng(seed)
    users, times = np.repeat(np.arange(4), 5), rng.integers(0, span, 20)
    return InteractionLog.from_columns(users, rng.integers(1, n_items + 1, 20), times, n_items=n_items)


def build(name: str, data: st.DataObject) -> Template:
    """A template in any arrangement, with any shares."""
    fields = plugins.load("attacks", name).model_fields
    parameters: dict[str, Any] = {
        "order": data.draw(st.sampled_from(get_args(Order)), "order"),
        "times": data.draw(st.sampled_from(get_args(Times)), "times"),
        "length": data.draw(st.floats(0.05, 1), "length"),
    }
    parameters |= {share: data.draw(st.floats(0.01, 0.99), share) for share in SHARES if share in fields}
    if name == "reverse-bandwagon":
        parameters["form"] = data.draw(st.sampled_from(["love-hate", "tie"]), "form")
    template: Template = plugins.build("attacks", name, parameters)
    return template


def run(attack: PoisoningAttack, log: InteractionLog, goal: AnyGoal, budget: Budget, seed: int) -> LogEdit:
    model = LinearBag(n_items=log.n_items, width=16)
    return attack(view(model, log=log), goal, budget, np.random.default_rng(seed)).edit


@pytest.mark.parametrize("name", TEMPLATES)
@given(
    n_items=st.integers(1, 12),
    data=st.data(),
    users=st.integers(0, 5),
    length=st.integers(1, 15),
    span=st.sampled_from([1, 9, 1_000_000]),
    seed=seeds,
)
def test_templates(name: str, n_items: int, data: st.DataObject, users: int, length: int, span: int, seed: int) -> None:
    attack = build(name, data)
    targets = data.draw(st.lists(st.integers(1, n_items), min_size=1, max_size=n_items, unique=True))
    log, items = some_log(n_items, seed, span), tuple(targets)
    goal = Demote(items=items) if "demote" in attack.goals else Promote(items=items)
    edit = run(attack, log, goal, Budget(users=users, profile_length=length), seed)
    _check_profiles(attack, edit, items, users, min(max(int(attack.length * length), 1), n_items), n_items)
    _check_times(edit, log)
    again = run(attack, log, goal, Budget(users=users, profile_length=length), seed)
    assert edit.times is not None
    assert again.times is not None
    assert (edit.add.tobytes(), edit.times.tobytes()) == (again.add.tobytes(), again.times.tobytes())


def _check_profiles(
    attack: Template, edit: LogEdit, targets: tuple[int, ...], users: int, length: int, n_items: int
) -> None:
    spared = getattr(attack, "form", "") == "love-hate"
    rest = n_items - len(targets)
    assert edit.add.shape == (users, min(length, rest) if spared else length)
    assert edit.add.dtype == np.int32
    for profile in edit.add.tolist():
        others = [item for item in profile if item not in targets]
        held = len(profile) - len(others)
        assert len(set(others)) == len(others), "no item twice"
        if spared:
            assert held == 0
        elif attack.order == "alternate":
            assert len(others) == min(length // 2, rest)
            first = max(length - 2 * len(others) - 1, 0)  # where others run out, targets stand next to each other
            assert [item in targets for item in profile[first:]] == [i % 2 == 0 for i in range(length - first)]
            assert all(item in targets for item in profile[:first])
        else:
            assert len(set(profile)) == length, "no target twice"
            assert held == max(attack.pushed(len(targets), length), length - rest)


def _check_times(edit: LogEdit, log: InteractionLog) -> None:
    assert edit.times is not None
    assert edit.times.shape == edit.add.shape
    assert np.all(np.diff(edit.times, axis=1) > 0)
    if edit.times.size:
        assert edit.times.max() <= log.timestamp.max()
        if log.timestamp.max() - log.timestamp.min() >= edit.add.shape[1] - 1:
            assert edit.times.min() >= log.timestamp.min()


@given(order=st.sampled_from(get_args(Order)), n_items=st.integers(1, 12), length=st.integers(1, 15), seed=seeds)
def test_random_profiles_without_targets(order: Order, n_items: int, length: int, seed: int) -> None:
    attack = plugins.build("attacks", "random", {"order": order})
    edit = run(attack, some_log(n_items, seed, 100), Degrade(), Budget(users=3, profile_length=length), seed)
    assert edit.add.shape == (3, min(length, n_items))
    assert all(len(set(profile)) == edit.add.shape[1] for profile in edit.add.tolist())


@given(
    n_items=st.integers(2, 12),
    data=st.data(),
    length=st.integers(1, 15),
    pool=st.integers(1, 15),
    gain=st.sampled_from(["sign-cosine", "first-order"]),
    seed=seeds,
)
def test_alternating(n_items: int, data: st.DataObject, length: int, pool: int, gain: Any, seed: int) -> None:
    targets = data.draw(st.lists(st.integers(1, n_items), min_size=1, max_size=n_items, unique=True))
    log, goal, budget = (
        some_log(n_items, seed, 100),
        Promote(items=tuple(targets)),
        Budget(users=3, profile_length=length),
    )
    attack = Alternating(pool=pool, gain=gain)
    edit, beside = (
        run(a, log, goal, budget, seed) for a in (attack, plugins.build("attacks", *attack.control_attack(budget)))
    )
    assert edit.add.shape == beside.add.shape == (3, min(length, n_items))
    is_target = np.isin(edit.add, targets)
    assert np.array_equal(is_target, np.isin(beside.add, targets)), "the control has its targets at the same places"
    assert all(len(set(row[~mask].tolist())) == (~mask).sum() for row, mask in zip(edit.add, is_target, strict=True))
    _check_times(edit, log)
    assert np.array_equal(run(attack, log, goal, budget, seed).add, edit.add)


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 9))
def test_targets_take_turns_evenly(targets: int, profiles: int, length: int) -> None:
    spread = spread_targets(tuple(range(1, targets + 1)), profiles, length)
    counts = np.bincount(spread.ravel(), minlength=targets + 1)[1:]
    assert counts.max() - counts.min() <= 1
    assert all(len(set(row)) == min(targets, length) for row in spread.tolist())


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5), seeds)
def test_orders_keep_every_item_once(n_targets: int, n_others: int, profiles: int, seed: int) -> None:
    targets = np.tile(np.arange(1, n_targets + 1, dtype=np.int32), (profiles, 1))
    others = np.tile(np.arange(6, n_others + 6, dtype=np.int32), (profiles, 1))
    access = view(log=some_log(10, seed, 100))
    for name in get_args(Order):
        result = arrange(name, access, targets, others, np.random.default_rng(seed))
        expected = sorted([*targets[0], *others[0]])
        assert all(sorted(row) == expected for row in result.tolist()), name
        is_target = result <= n_targets
        if name == "target_last":
            assert np.all(is_target[:, n_others:])
        if name == "interleave" and n_others >= n_targets:
            assert np.all(is_target[:, -1::-2][:, :n_targets]), "every second item from the end is a target"
            assert np.all(is_target.sum(axis=1) == n_targets)
            assert n_targets == 0 or not is_target[:, 0].any(), "no target without a predecessor to learn it from"
        if name == "alternate" and n_others in (n_targets, n_targets - 1):
            assert np.all(is_target[:, ::2])


@given(st.integers(1, 8), seeds)
def test_filler_is_drawn_without_replacement(size: int, seed: int) -> None:
    pool = np.arange(3, 3 + size, dtype=np.int32)
    for count in range(size + 1):
        filler = draw_filler(pool, (6, count), np.random.default_rng(seed))
        assert all(len(set(row)) == count and set(row) <= set(pool.tolist()) for row in filler.tolist())


@given(st.integers(1, 8), st.lists(st.integers(0, 8), max_size=4), seeds)
def test_weighted_draws_are_without_replacement(size: int, out: list[int], seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 4, size + 1)
    taken = np.tile(np.array([item for item in out if item <= size], dtype=np.int32), (6, 1))
    allowed = set(range(1, size + 1)) - set(out)
    for count in range(len(allowed) + 1):
        drawn = draw_weighted(weights, taken, count, np.random.default_rng(seed))
        assert all(len(set(row)) == count and set(row) <= allowed for row in drawn.tolist())


def test_every_subset_of_filler_is_equally_likely() -> None:
    drawn = np.sort(draw_filler(np.arange(1, 6, dtype=np.int32), (20_000, 2), np.random.default_rng(0)), axis=1)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 10
    # ten pairs, 2,000 expected each: the standard deviation is 42
    assert np.abs(counts - 2_000).max() < 5 * 42
