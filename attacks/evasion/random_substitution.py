"""Random substitution: the control of `substitution`, and an attack of its own for somebody who sees lists only.

Positions and items are drawn uniformly; of several tries, the one that hurts most, by what ranked lists show, is kept.
One try asks nothing at all. On ml-1m (SASRec, 2 edits, 100 negatives, clean NDCG@10 .600) one draw leaves .589 and the
best of 10 .504.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.tries import affordable, best_of
from robust.harm import gain_of, overlap
from robust.log import Int32, SequenceBatch
from robust.threat import Budget


class RandomSubstitution(EvasionAttack):
    """Best of `tries` random draws of `budget.edits` substitutions each.

    Attributes:
        tries: draws per sequence. k: how long a list is looked at when the goal does not say.
    """

    name: ClassVar[str] = "random-substitution"
    source: ClassVar[str] = "control of Yue et al., RecSys 2022 (arXiv 2207.11237)"
    tags: ClassVar[tuple[str, ...]] = (
        "control",
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )

    tries: int = Field(default=1, ge=1)
    k: int = Field(default=10, ge=1)

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """The most harmful draw; one try asks nothing, more ask `tries` queries a sequence and the clean list."""
        edits = budget.edits or 0

        def draw() -> Int32:
            return draw_substitutions(sequences.items, access.n_items, edits, rng)

        tries = affordable(self.tries, access, sequences, 1)
        if tries == 1:
            return sequences.with_items(draw())
        track = access.curve.track(len(sequences))
        harm, clean = self._harm(access, sequences, goal)
        return sequences.with_items(best_of(tries, draw, harm, lambda most: track.note(edits, most - clean)))

    def _harm(self, access: AccessView, sequences: SequenceBatch, goal: AnyGoal) -> tuple[Any, Any]:
        """A function of items [B, L] that says, per row, how far the goal is reached, by lists; and its clean value."""
        k = self.k if goal.kind == "degrade" else goal.k

        def lists(items: Int32) -> Int32:
            return access.model.recommend(sequences.with_items(items), k)

        clean = lists(sequences.items)
        known = access.next_items(sequences) if goal.kind == "degrade" else None
        if known is not None:
            return lambda items: -gain_of(lists(items), known[:, None]), -gain_of(clean, known[:, None])
        if goal.kind == "degrade":
            return lambda items: -overlap(lists(items), clean), -overlap(clean, clean)
        targets = np.tile(np.asarray(goal.items, dtype=np.int32), (len(sequences), 1))
        sign = 1.0 if goal.kind == "promote" else -1.0
        return lambda items: sign * gain_of(lists(items), targets), sign * gain_of(clean, targets)


def draw_substitutions(items: Int32, n_items: int, edits: int, rng: np.random.Generator) -> Int32:
    """`items` [B, L] with `edits` random positions (fewer in shorter rows) replaced by other random items."""
    keys = np.where(items != 0, rng.random(items.shape), 2.0)
    width = min(edits, items.shape[1])
    positions = np.argpartition(keys, width - 1, axis=1)[:, :width] if width else np.zeros((len(items), 0), np.int64)
    standing = np.take_along_axis(items, positions, axis=1)
    # uniform over the other n_items − 1 items: a shift by 1 … n_items − 1 around the circle of ids
    shift = rng.integers(1, max(n_items, 2), size=standing.shape)
    other = (standing - 1 + shift) % n_items + 1
    drawn = items.copy()
    np.put_along_axis(drawn, positions, np.where(standing != 0, other, 0).astype(np.int32), axis=1)
    return drawn
