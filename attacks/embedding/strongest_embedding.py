"""The strongest of a small fixed portfolio in the embedding space, chosen on one half of the users for the other.

Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks", ICML
2020, section 5 (AutoAttack): Auto-PGD on losses that fail in different places, cross-entropy where scores saturate, the
difference of logits ratio where they are rescaled.

Known deviations: AutoAttack adds FAB and Square Attack, which look for the nearest misclassification and draw squares
of an image; the ranking margin and plain PGD stand in their place. It keeps the worst outcome of each input; here the
choice is made on the other half of the users (see `robust.attacks.portfolio`), by what ranked lists show.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.noise import noise_control
from robust.attacks.portfolio import Member, chosen_on_the_other_half, usable
from robust.harm import harm_against
from robust.log import Int32, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.perturbation import chunk_rows
from robust.threat import Budget

MEMBERS = (
    Member(name="apgd"),
    Member(name="apgd", parameters={"loss": "dlr"}),
    Member(name="apgd", parameters={"loss": "margin"}),
    Member(name="pgd"),
)


class StrongestEmbedding(EmbeddingAttack):
    """The member that hurts most.

    Attributes:
        members: names, or names with parameters, of attacks that give each sequence deltas of its own.
        k: how long a list is looked at when the goal does not say.
    """

    name: ClassVar[str] = "strongest-embedding"
    source: ClassVar[str] = "Croce and Hein, ICML 2020 (arXiv 2003.01690), section 5"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    members: tuple[Member, ...] = Field(default=MEMBERS, min_length=1)
    k: int = Field(default=10, ge=1)

    def runs(self) -> tuple[str, ...]:
        """Its members."""
        return tuple(member.name for member in self.members)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]] | None:
        """Noise with as many tries as the members have evaluations, at ten steps each."""
        return noise_control(12 * len(self.members))

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D]; two queries a sequence on top of what the members ask."""
        members = [attack for attack in (m.build() for m in self.members) if isinstance(attack, EmbeddingAttack)]
        attacks = usable(members, access, goal)
        k = self.k if goal.kind == "degrade" else goal.k
        dimension = access.model.item_embeddings.shape[1]
        none = torch.zeros((*sequences.items.shape, dimension))
        against = harm_against(_lists(access, sequences, none, k), goal, access.next_items(sequences))
        rows = np.arange(len(sequences))
        found = [attack.perturb(access, sequences, goal, budget, rng) for attack in attacks]
        harms = [against(rows, _lists(access, sequences, deltas, k)) for deltas in found]
        chosen = torch.from_numpy(chosen_on_the_other_half(np.stack(harms), rng))
        return torch.stack(found)[chosen, torch.arange(len(sequences))]


def _lists(access: AccessView, sequences: SequenceBatch, deltas: Tensor, k: int) -> Int32:
    """int32 [B, k], what is ranked first under these deltas."""
    size = chunk_rows(sequences.width, deltas.shape[-1], access.n_items)
    lists = []
    for start in range(0, len(sequences), size):
        part = sequences[start : start + size]
        with torch.no_grad():
            embedded = access.model.embed(part)
            moved = embedded + deltas[start : start + size].to(embedded.device)
            lists.append(top_k(access.model.score_embeddings(moved, part).cpu().numpy(), k))
    return np.concatenate(lists)
