"""The conformance suites are held to both sides: every sound built-in passes, and each planted fault is caught."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from robust import plugins
from robust.errors import ModelFault
from robust.recommenders.resolve import resolve
from robust.testing.conformance import (
    Attacked,
    Check,
    Defended,
    NonConformity,
    Outcome,
    attack_checks,
    check_attack,
    check_defense,
    check_ranking,
    check_recommender,
    defense_checks,
    recommended,
    recommender_checks,
)
from robust.testing.conformance.attacked import trial
from tests.quality.faults import (
    answers,
    attacks,
    blindness,
    constraints,
    defenses,
    evasions,
    fits,
    poisons,
    rankings,
    recommenders,
    services,
    tampering,
)
from tests.quality.faults.recommenders import N_ITEMS, SMALL, Sound
from tests.toys import LinearBag, chain_log, taste_log

LOG = chain_log(users=50, n_items=N_ITEMS, noise=0.3)
SETTINGS: dict[str, list[dict[str, Any]]] = {"markov": [{}, {"gaps": 3}], "popularity": [{}], "item-knn": [{}]}
SOUND = [(name, settings) for name in plugins.names("recommenders") for settings in SETTINGS.get(name, [SMALL])]
# fewer steps and questions than usual: promises do not depend on them
CHEAP: dict[str, dict[str, Any]] = {
    "art": {"options": {"max_iter": 1}},
    "worst-case": {"evaluations": 40},
    "exhaustive": {"kinds": ("delete",)},  # all of two edits of each kind would be too many
    "greedy": {"candidates": 20},
    "beam": {"candidates": 20},
    "universal-suffix": {"rounds": 3},
    "strongest": {"members": ["substitution", "random-substitution"]},
    "strongest-embedding": {"members": [{"name": "apgd", "steps": 2}, {"name": "pgd", "steps": 2}]},
}


def broken(outcomes: list[Outcome]) -> set[str]:
    return {outcome.check for outcome in outcomes if outcome.status == "broken"}


def named(faults: list[tuple[Any, str]]) -> list[str]:
    return [type(fault).__name__ for fault, _ in faults]


# --- what is sound passes


@pytest.mark.parametrize(("name", "settings"), SOUND, ids=[f"{n}-{len(s)}" for n, s in SOUND])
def test_every_recommender_keeps_all_its_promises(name: str, settings: dict[str, Any]) -> None:
    outcomes = check_recommender(resolve(name, settings), LOG)
    assert sum(outcome.status == "held" for outcome in outcomes) >= 15


def test_a_strangers_model_keeps_all_its_promises() -> None:
    outcomes = check_recommender(LinearBag(width=64))
    assert sum(outcome.status == "held" for outcome in outcomes) >= 13


@pytest.mark.parametrize("name", sorted(set(plugins.names("attacks"))))
def test_every_attack_keeps_all_its_promises(name: str) -> None:
    outcomes = check_attack(plugins.build("attacks", name, CHEAP.get(name, {})))
    assert sum(outcome.status == "held" for outcome in outcomes) >= 7


@pytest.mark.parametrize("name", sorted(set(plugins.names("defenses"))))
def test_every_defence_keeps_all_its_promises(name: str) -> None:
    outcomes = check_defense(plugins.build("defenses", name, {}))
    assert sum(outcome.status == "held" for outcome in outcomes) >= 4


def test_the_ranking_keeps_all_its_promises() -> None:
    functions: dict[str, Any] = rankings.SOUND
    assert {outcome.status for outcome in check_ranking(**functions)} == {"held"}


@pytest.mark.parametrize("check", recommender_checks(), ids=str)
def test_checks_are_test_cases(check: Check[Any]) -> None:
    """As a user would write it."""
    assert check(subject()).status != "broken"


@cache
def subject() -> Any:
    from robust.recommenders.baselines import Markov

    return recommended(Markov(), LOG)


def test_the_bases_of_the_faults_are_sound() -> None:
    assert broken(check_recommender(Sound(), raises=False)) == set()
    for attack in (*poisons.SOUND, *tampering.SOUND, *evasions.SOUND):
        assert broken(check_attack(attack, raises=False)) == set()
    for defense in (*blindness.SOUND, *services.SOUND):
        assert broken(check_defense(defense, raises=False)) == set()


# --- what is not is caught

SKEWED = taste_log(users=200)
RECOMMENDERS = recommenders.FAULTS + answers.FAULTS + fits.FAULTS
ATTACKS = attacks.FAULTS + poisons.FAULTS + tampering.FAULTS + evasions.FAULTS + constraints.FAULTS
DEFENSES = defenses.FAULTS + blindness.FAULTS + services.FAULTS
SPOILERS = poisons.SPOILERS + evasions.SPOILERS


def status(checks: list[Check[Any]], name: str, subject: Any) -> str:
    """What comes of the one check that should notice."""
    (check,) = (check for check in checks if check.name == name)
    return check(subject).status


@pytest.mark.parametrize(("faulty", "check"), RECOMMENDERS, ids=named(RECOMMENDERS))
def test_a_planted_fault_of_a_recommender_is_caught(faulty: Any, check: str) -> None:
    try:
        subject = recommended(faulty, LOG if faulty.n_items == 0 else None)
    except ModelFault:  # it cannot even be asked
        return
    assert status(recommender_checks(), check, subject) == "broken"


@pytest.mark.parametrize(("faulty", "check"), fits.ON_SKEWED_LOGS, ids=named(fits.ON_SKEWED_LOGS))
def test_a_planted_dependence_on_item_numbers_is_caught(faulty: Any, check: str) -> None:
    """Where some items are far more popular than others, as everywhere but in a toy."""
    assert status(recommender_checks(), check, recommended(faulty, SKEWED)) == "broken"


@pytest.mark.parametrize(("faulty", "check"), ATTACKS, ids=named(ATTACKS))
def test_a_planted_fault_of_an_attack_is_caught(faulty: Any, check: str) -> None:
    assert status(attack_checks(), check, Attacked(faulty)) == "broken"


@pytest.mark.parametrize(("faulty", "check"), DEFENSES, ids=named(DEFENSES))
def test_a_planted_fault_of_a_defence_is_caught(faulty: Any, check: str) -> None:
    assert status(defense_checks(), check, Defended(faulty, trial()[0])) == "broken"


@pytest.mark.parametrize(("name", "faulty", "check"), rankings.FAULTS, ids=[f.__name__ for _, f, _ in rankings.FAULTS])
def test_a_planted_fault_of_a_ranking_is_caught(name: str, faulty: Any, check: str) -> None:
    assert check in broken(check_ranking(raises=False, **{**rankings.SOUND, name: faulty}))


@pytest.mark.parametrize(("faulty", "check"), SPOILERS, ids=named(SPOILERS))
def test_an_attack_that_spoils_what_it_is_shown_is_caught(faulty: Any, check: str) -> None:
    with own_trial():
        assert status(attack_checks(), check, Attacked(faulty)) == "broken"


@pytest.mark.parametrize(("faulty", "check"), blindness.SPOILERS, ids=named(blindness.SPOILERS))
def test_a_defence_that_spoils_its_victim_is_caught(faulty: Any, check: str) -> None:
    with own_trial():
        assert status(defense_checks(), check, Defended(faulty, trial()[0])) == "broken"


class own_trial:
    """The shared log and victim are made anew for this block, and after it."""

    def __enter__(self) -> None:
        trial.cache_clear()

    def __exit__(self, *_: object) -> None:
        trial.cache_clear()


def test_all_broken_promises_are_named() -> None:
    said = r"LooksAtPadding breaks \d+ of \d+ promises:\n(  .*\n)*  padding: Padding on the left makes no difference\."
    with pytest.raises(NonConformity, match=said):
        check_recommender(recommenders.LooksAtPadding())


def test_a_hundred_faults_are_planted() -> None:
    recommending = RECOMMENDERS + fits.ON_SKEWED_LOGS
    others = ATTACKS + SPOILERS + DEFENSES + blindness.SPOILERS
    assert len(recommending) + len(others) + len(rankings.FAULTS) >= 100
