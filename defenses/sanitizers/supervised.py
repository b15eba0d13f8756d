"""A supervised detector: a classifier of profile features that has seen simulated fakes, not the real ones.

The attacks named in `kinds` are run on the log that is to be cleaned, each at lengths as the users' own. A classifier
then learns to tell these simulated fakes from the log's users, all of whom it takes for genuine, the real fakes
included; it is cross-fitted, so that no user is judged by a classifier that was told they are genuine. The suspicion of
a user is its log odds.

Features: those of `profile_features` and the four numbers of `sequence_likelihood`, relative to users of the same
length, and their squares. Logistic regression, after Burke et al., "Classification Features for Attack Detection in
Collaborative Recommender Systems", KDD 2006, who train on simulated attacks in the same way (from memory).

It must be judged on kinds that it was not trained on: on those in `kinds` it only recognises what it has been shown.
On ml-1m, 5% fakes, trained on the other three of random, average, segment, bandwagon, the AUC at length 165 is
.98, .98, .98 and .96 (bandwagon, 10% selected) or .88 (50% selected); at length 30 and 50% selected it is .00: popular
profiles are the opposite of all that it was shown.

Known deviations: implicit features; logistic regression, which is too stiff to carve the real fakes out as genuine, in
place of k nearest neighbours, C4.5 or a support vector machine. Boosted trees did carve them out: trained on other
kinds, they had an AUC of .57 on ml-1m (bandwagon, 10% selected, length 165), where RDMA alone has .99.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust import plugins
from robust.access import AccessView
from robust.attack import PoisoningAttack
from robust.defense import Cost, Detector
from robust.defenses.sanitizers.profile_features import (
    NAMES,
    OF_LENGTH,
    beside_length,
    profile_features,
    profile_keys,
)
from robust.defenses.sanitizers.sequence_likelihood import cross_fitted, summaries
from robust.errors import InputError
from robust.log import InteractionLog
from robust.threat import Budget, GoalSpec, Knowledge

Float64 = NDArray[np.float64]
LENGTHS = 12
"""At how many lengths each kind is simulated, evenly spread over the users' own. A classifier that is shown few learns
the lengths, not the attack."""
TARGETS = 5
"""How many items a simulated attack pushes, at most; drawn from the least popular fifth."""


class Supervised(Detector):
    """Suspects users whose profiles resemble simulated attacks.

    Attributes:
        kinds: the attacks that it is trained on, by name; test it on others. simulated: fakes of each kind, as a share
            of the users. folds: in how many parts the users are dealt.
    """

    name: ClassVar[str] = "supervised"
    source: ClassVar[str] = "after Burke et al., KDD 2006; cross-fitting and implicit features ours"
    weaknesses: ClassVar[str] = (
        "Knows the attacks that it was trained on, and says little about others: a new kind may look like anything. "
        "Real fakes among its users are taught as genuine, so a large attack teaches it to pass what resembles it."
    )
    assumptions: ClassVar[str] = "Real fakes are few, and resemble one of the simulated kinds."
    cost: ClassVar[Cost] = "several fits"

    kinds: tuple[str, ...] = Field(default=("random", "average", "segment"), min_length=1)
    simulated: float = Field(default=0.05, gt=0, le=1)
    folds: int = Field(default=5, ge=2)

    def check_log(self, log: InteractionLog) -> None:
        """Refuse kinds that cannot be simulated.

        Raises:
            InputError: an attack that poisons no log, or that needs a model.
        """
        super().check_log(log)
        self._attacks()

    def _attacks(self) -> list[PoisoningAttack]:
        attacks = [plugins.build("attacks", kind, {}) for kind in self.kinds]
        for attack in attacks:
            if not isinstance(attack, PoisoningAttack) or attack.model_access != "none":
                raise InputError(
                    f"'{self.name}' trains on fake users that need no model; '{attack.name}' is no such attack."
                )
        return attacks

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """float64 [n_users], log odds; the least of all for users without rows."""
        attacks = self._attacks()
        active = np.flatnonzero(log.lengths > 0)
        suspicion = np.zeros(log.n_users)
        if len(active) < self.folds:
            return suspicion
        shown = self._with_simulated(log, attacks, rng)
        seed = int(rng.integers(2**31))
        everyone = np.flatnonzero(shown.lengths > 0)
        keys = profile_keys(shown, seed)
        fold = (keys % np.uint64(self.folds)).astype(np.int64)
        columns = np.column_stack(
            [
                profile_features(shown, everyone, seed),
                summaries(shown, cross_fitted(shown, fold), window=5),
            ]
        )
        of_length = [NAMES.index(name) for name in OF_LENGTH]
        columns = np.delete(beside_length(columns, shown.lengths[everyone]), of_length, axis=1)
        columns = np.column_stack([columns, (columns - columns.mean(axis=0)) ** 2])
        # rounded, and in an order of its own, so that users' numbers play no part
        columns = np.round(columns, 6)
        order = np.lexsort(columns.T)
        odds = self._cross_fit(columns[order], everyone[order] >= log.n_users, fold[everyone[order]])
        by_user = np.zeros(shown.n_users)
        by_user[everyone[order]] = odds
        suspicion[active] = by_user[active]
        suspicion[log.lengths == 0] = by_user[active].min()
        return suspicion

    def _with_simulated(
        self, log: InteractionLog, attacks: list[PoisoningAttack], rng: np.random.Generator
    ) -> InteractionLog:
        """The log with the fakes of all kinds behind its users."""
        coldest = max(int((log.popularity > 0).sum()) // 5, 1)
        goal = GoalSpec(promote=f"cold*{min(TARGETS, coldest)}").resolve(log, rng)
        active = log.lengths[log.lengths > 0]
        each = max(round(self.simulated * len(active) / LENGTHS), 1)
        shown = log
        for attack in attacks:
            for length in np.quantile(active, (np.arange(LENGTHS) + 0.5) / LENGTHS, method="lower"):
                access = AccessView(attack=attack.name, knowledge=Knowledge(log="full"), n_items=log.n_items, log=log)
                budget = Budget(users=each, profile_length=int(length))
                shown = attack(access, goal, budget, rng).edit.apply(shown)
        return shown

    def _cross_fit(self, columns: Float64, simulated: Any, fold: NDArray[np.int64]) -> Float64:
        """float64 [n], log odds of being simulated, by a classifier that was not shown the user's fold."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        odds = np.zeros(len(columns))
        for one in np.unique(fold):
            shown, asked = fold != one, fold == one
            if len(np.unique(simulated[shown])) < 2:
                continue
            classifier = make_pipeline(
                StandardScaler(), LogisticRegression(C=1.0, class_weight="balanced", max_iter=300)
            )
            odds[asked] = classifier.fit(columns[shown], simulated[shown]).decision_function(columns[asked])
        return odds
