"""Conformance suites for recommenders, attacks, defences and rankings, after scikit-learn's `check_estimator`."""

from robust.testing.conformance.attack import attack_checks, check_attack
from robust.testing.conformance.attacked import Attacked
from robust.testing.conformance.base import Check, NonConformity, Outcome
from robust.testing.conformance.defended import Defended
from robust.testing.conformance.defense import check_defense, defense_checks
from robust.testing.conformance.ranking import Ranked, check_ranking, ranking_checks
from robust.testing.conformance.recommender import check_recommender, recommender_checks
from robust.testing.conformance.subject import Recommended, recommended

__all__ = [
    "Attacked",
    "Check",
    "Defended",
    "NonConformity",
    "Outcome",
    "Ranked",
    "Recommended",
    "attack_checks",
    "check_attack",
    "check_defense",
    "check_ranking",
    "check_recommender",
    "defense_checks",
    "ranking_checks",
    "recommended",
    "recommender_checks",
]
