"""What every discovered attack and defence promises, ours and third parties' alike."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from robust import plugins
from robust.access import Access
from robust.attack import AnyGoal, Attack, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defense import Defense, Sanitizer, Stage
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.recurrent import GRU4Rec
from robust.threat import Budget, Degrade, Demote, Promote
from tests.toys import LinearBag, random_sequences, taste_log, view

ATTACKS: dict[str, type[Attack]] = plugins.load_all("attacks")
DEFENSES: dict[str, type[Defense]] = plugins.load_all("defenses")
GOALS: list[AnyGoal] = [Promote(items=(5, 29, 17)), Demote(items=(5, 29)), Degrade()]
LOG = taste_log(users=60, n_items=40)
PAGE = Path(__file__).parents[2] / "docs" / "attacks-and-defenses.md"

pairs = [(name, goal) for name, kind in ATTACKS.items() for goal in GOALS if goal.kind in kind.goals]
every_attack_and_goal = pytest.mark.parametrize(("name", "goal"), pairs, ids=[f"{n}-{g.kind}" for n, g in pairs])


def run(name: str, goal: AnyGoal, *, seed: int = 0, zero: bool = False) -> tuple[Any, SequenceBatch]:
    """The outcome of a default attack (one that can do two edits), and the sequences that it was given."""
    attack = ATTACKS[name](**({"kinds": ("delete",)} if name == "exhaustive" else {}))
    sequences = random_sequences(12, 8, 30)
    access = view(LinearBag(40 if isinstance(attack, PoisoningAttack) else 30), log=LOG)
    rng = np.random.default_rng(seed)
    if isinstance(attack, PoisoningAttack):
        most = 0 if zero else 3
        return attack(access, goal, Budget(users=most, profile_length=7, rows=most), rng).edit, sequences
    assert isinstance(attack, EvasionAttack | EmbeddingAttack)
    budget = Budget(edits=0 if zero else 2, epsilon=0.0 if zero else 0.3)
    outcome = attack(access, sequences, goal, budget, rng)
    return (outcome.sequences if isinstance(attack, EvasionAttack) else outcome.deltas), sequences  # type: ignore[union-attr]


def as_bytes(outcome: Any) -> bytes:
    if isinstance(outcome, LogEdit):
        assert outcome.times is not None or not outcome.fake_users
        return b"".join(np.asarray(getattr(outcome, f.name)).tobytes() for f in fields(outcome) if f.name != "scope")
    return outcome.items.tobytes() if isinstance(outcome, SequenceBatch) else bytes(outcome.numpy().tobytes())


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_says_what_it_is(name: str) -> None:
    kind = ATTACKS[name]
    assert kind.name == name
    assert len(kind.source) > 10
    assert kind.goals <= {"promote", "demote", "degrade"}
    assert kind.goals
    assert kind.model_access in get_args(Access)
    assert kind.spends
    assert kind.spends <= {"users", "rows", "edits", "epsilon"}
    assert all("@" in tag or ":" in tag or tag == "control" for tag in kind.tags), "edition-qualified tags"
    assert "Attributes" in (kind.__doc__ or "") or not kind.model_fields
    kind()  # every parameter has a default
    assert kind.model_json_schema()["properties"].keys() == kind.model_fields.keys() if kind.model_fields else True


@pytest.mark.parametrize("name", ATTACKS)
def test_a_control_exists_and_needs_no_more_knowledge(name: str) -> None:
    attack = ATTACKS[name]()
    control = attack.control_attack(Budget(users=2, profile_length=5, edits=2, epsilon=0.1))
    if control is None:
        assert ATTACKS[name].control is None
        return
    chosen = ATTACKS[control[0]](**control[1])
    levels = get_args(Access)
    assert levels.index(chosen.model_access) <= levels.index(attack.model_access)
    assert attack.goals & chosen.goals


@every_attack_and_goal
def test_a_zero_budget_is_the_identity(name: str, goal: AnyGoal) -> None:
    outcome, sequences = run(name, goal, zero=True)
    if isinstance(outcome, LogEdit):
        edited = outcome.apply(LOG)
        assert all(getattr(edited, f).tobytes() == getattr(LOG, f).tobytes() for f in ("user", "item", "timestamp"))
    elif isinstance(outcome, SequenceBatch):
        assert outcome.items.tobytes() == sequences.items.tobytes()
    else:
        assert not outcome.any()


@every_attack_and_goal
def test_the_same_seed_gives_the_same_bytes(name: str, goal: AnyGoal) -> None:
    torch.randn(3), np.random.default_rng().random()  # what others draw makes no difference
    assert as_bytes(run(name, goal)[0]) == as_bytes(run(name, goal)[0])


@every_attack_and_goal
def test_inputs_and_global_generators_are_left_alone(name: str, goal: AnyGoal) -> None:
    before = LOG.item.tobytes(), LOG.timestamp.tobytes(), LinearBag().table.numpy().tobytes()
    drawn = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # type: ignore[index] # noqa: NPY002
    outcome, sequences = run(name, goal)
    assert before == (LOG.item.tobytes(), LOG.timestamp.tobytes(), LinearBag().table.numpy().tobytes())
    assert sequences.items.tobytes() == random_sequences(12, 8, 30).items.tobytes()
    assert torch.equal(drawn[0], torch.get_rng_state())
    assert drawn[1] == np.random.get_state()[1].tobytes()  # type: ignore[index] # noqa: NPY002
    assert outcome is not None


@pytest.mark.parametrize("name", [n for n, kind in ATTACKS.items() if issubclass(kind, PoisoningAttack)])
def test_variants_begin_with_the_attack_itself_and_keep_its_budget(name: str) -> None:
    attack = ATTACKS[name]()
    assert isinstance(attack, PoisoningAttack)
    variants = attack.variants()
    assert variants[0] == attack
    assert len({v.model_dump_json() for v in variants}) == len(variants)
    goal = next(goal for goal in GOALS if goal.kind in attack.goals)
    for variant in variants:
        variant(view(LinearBag(40), log=LOG), goal, Budget(users=3, profile_length=7, rows=3), np.random.default_rng(0))


@cache
def fitted_to_log() -> GRU4Rec:
    return GRU4Rec(context=10, dimension=8, max_steps=30, min_steps=30, batch_size=32).fit(LOG, seed=0)


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defence_says_what_it_is(name: str) -> None:
    kind = DEFENSES[name]
    assert kind.name == name
    assert len(kind.source) > 10
    assert kind.stage in get_args(Stage)
    assert len(kind.weaknesses) > 40, "what is known to break it"
    kind()


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defence_acts_alike_for_one_seed_and_leaves_the_log_alone(name: str) -> None:
    defense = DEFENSES[name]()
    before = LOG.item.tobytes()

    def act() -> Any:
        if isinstance(defense, Sanitizer):
            return defense.suspicion(LOG, np.random.default_rng(1))
        if defense.stage == "training":
            return np.zeros(1)  # trained in tests/quality
        return defense.protect(fitted_to_log(), log=LOG, seed=1).recommend(LOG.sequences(10), 5)

    first, second = act(), act()
    assert first.tobytes() == second.tobytes()
    assert LOG.item.tobytes() == before


@pytest.mark.parametrize("name", [*ATTACKS, *DEFENSES])
def test_every_shipped_plugin_is_documented(name: str) -> None:
    """By a page of its own (tests/unit/test_reference.py), and a link to it."""
    if ({**ATTACKS, **DEFENSES}[name]).__module__.startswith("robust."):
        folder = "defenses" if name in DEFENSES else "attacks"
        assert f"[{name}]({folder}/{name}.md)" in PAGE.read_text("utf-8")


def test_logs_of_one_user_or_item_do_not_break_the_sanitisers() -> None:
    tiny = [
        InteractionLog.from_columns([0], [1], [5], n_users=3, n_items=2),
        InteractionLog.from_columns([0, 0, 1, 1], [1, 2, 1, 2], [1, 2, 1, 2]),
    ]
    for log in tiny:
        for kind in DEFENSES.values():
            if issubclass(kind, Sanitizer):
                suspicion = kind().suspicion(log, np.random.default_rng(0))
                assert np.isfinite(suspicion).all()
                assert len(kind().clean(log, np.random.default_rng(0))) == len(log)
