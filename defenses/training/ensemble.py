"""An ensemble: several recommenders that differ in their seeds only rank as one.

Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation Using Deep Ensembles", NeurIPS 2017,
without their adversarial training.

Known deviations: the mean is of scores (of logits, that is, a geometric mean of softmaxes), or of ranks, where the
paper averages softmaxes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from robust.defense import TrainingDefense
from robust.defense.base import Cost
from robust.log import InteractionLog
from robust.recommenders.ensemble import Combine, Ensemble, StoredEnsemble, fitted, members_of
from robust.recommenders.protocols import Capability, Recommender


class Seeds(TrainingDefense):
    """Fits members with seeds of their own and averages what they answer.

    Attributes:
        members: how many recommenders. combine: whether their `scores` are averaged, or their `ranks`.
    """

    name: ClassVar[str] = "ensemble"
    source: ClassVar[str] = "Lakshminarayanan et al., NeurIPS 2017 (arXiv 1612.01474)"
    weaknesses: ClassVar[str] = (
        "Members are wrong alike: what was learnt from the same rows is attacked by the same changes, and every "
        "member learns every fake user. An attacker with the weights follows the gradient of the mean. Each answer "
        "costs as much as all members' together."
    )
    assumptions: ClassVar[str] = "An attack exploits what one training run happened to learn, not what the log says."
    cost: ClassVar[Cost] = "several fits"
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "fit"})

    members: int = Field(default=5, ge=2)
    combine: Combine = "scores"

    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit every member; with a share, further from `recommender`, or member by member.

        Raises:
            NotApplicable: it cannot be trained further.
        """
        members = members_of(recommender, self.members)
        return Ensemble.of(fitted(members, [log] * self.members, seed=seed, share=share), self.combine)

    def restore(self, recommender: Any, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Recommender:
        """An ensemble of the recommender's type."""
        return StoredEnsemble.from_state(arrays, settings, type(recommender))
