"""Conformance suites for other people's recommenders, attacks and defences, after scikit-learn's `check_estimator`."""

from robust.testing.conformance.attack import Attacked, attack_checks, check_attack
from robust.testing.conformance.base import Check, NonConformity, Outcome
from robust.testing.conformance.defense import Defended, check_defense, defense_checks
from robust.testing.conformance.recommender import Recommended, check_recommender, recommended, recommender_checks

__all__ = [
    "Attacked",
    "Check",
    "Defended",
    "NonConformity",
    "Outcome",
    "Recommended",
    "attack_checks",
    "check_attack",
    "check_defense",
    "check_recommender",
    "defense_checks",
    "recommended",
    "recommender_checks",
]
