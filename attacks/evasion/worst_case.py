"""A direct search of the space of edits: what is the worst that so many edits can do, by asking the model alone?

No gradient and no idea of the model, so nothing that hides a gradient hides from it (Athalye et al., ICML 2018, on
obfuscated gradients). Three phases share one allowance of evaluations (one evaluation = one sequence scored):

1. what a few quick attacks find, those of `SEEDS` that this attacker could run, each on a share of the allowance;
2. a sweep: each item of the catalogue inserted as the newest, popular ones first where popularity is known;
3. Hypothesis as the attacker: lists of edits of all kinds and places, begun from the best ones known, climbing by
   `hypothesis.target` (Löscher and Sagonas, "Targeted property-based testing", ISSTA 2017).

Then each sequence's edits are shrunk: those are taken back without which the harm stands. Within a batch the same list
of edits is tried on all sequences at once, and each keeps the best that it has seen.
`robust.testing.search.search_worst_case` runs it on single sequences, and searches fake profiles as well.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust import plugins
from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.edit_search import Search, climb, sweep
from robust.errors import RobustError
from robust.harm import harm_against
from robust.log import Int32, SequenceBatch
from robust.threat import Budget

ROWS = 256
"""Sequences that are searched together."""
SEEDS = ("substitution", "append", "random-substitution")
"""Attacks that it begins from: by gradients in place, by gradients at the end, at random. Few, and none that needs a
framework: an attack that tries all others takes as long as all of them. A search by answers it is itself."""


class WorstCase(EvasionAttack):
    """The worst edits of each sequence that `evaluations` questions find.

    Attributes:
        evaluations: how often each sequence is scored, at most, the clean list and the shrinking left out.
        k: how long a list is looked at when the goal does not say.
        enough: stop at the fewest edits that change a list by more than this (a relative drop of its quality, or a rise
            of exposure); None looks for the largest change.
    """

    name: ClassVar[str] = "worst-case"
    source: ClassVar[str] = "Löscher and Sagonas, ISSTA 2017 (targeted property-based testing); this project"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "random-substitution"

    evaluations: int = Field(default=100, ge=1)
    k: int = Field(default=10, ge=1)
    enough: float | None = Field(default=None, ge=0, lt=1)

    def runs(self) -> tuple[str, ...]:
        """What it begins from."""
        return SEEDS

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Random substitution, best of as many tries as this attack has evaluations."""
        return "random-substitution", {"tries": self.evaluations}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, L + edits]: insertions need room."""
        allowed = access.queries_left(len(sequences))
        # the clean list, and one question per edit to shrink it
        evaluations = self.evaluations if allowed is None else min(self.evaluations, allowed - 1 - (budget.edits or 0))
        edited = [
            self._search(access, chunk, goal, budget.edits or 0, evaluations, rng) for chunk in sequences.chunks(ROWS)
        ]
        return SequenceBatch(np.concatenate(edited), sequences.users)

    def _search(
        self,
        access: AccessView,
        clean: SequenceBatch,
        goal: AnyGoal,
        edits: int,
        evaluations: int,
        rng: np.random.Generator,
    ) -> Int32:
        room = np.pad(clean.items, ((0, 0), (edits, 0)))
        if evaluations < 1:
            return room
        track, before = access.curve.track(len(clean)), access.counter.spent
        k = self.k if goal.kind == "degrade" else goal.k
        against = harm_against(access.model.recommend(clean, k), goal, access.next_items(clean))

        def harm(rows: NDArray[Any], items: Int32) -> NDArray[np.float64]:
            # the recommender reads as many items as before: the newest
            return against(rows, access.model.recommend(SequenceBatch(items[:, edits:], clean.users[rows]), k))

        def left() -> int:
            return evaluations - -(-(access.counter.spent - before - len(clean)) // max(len(clean), 1))

        def note(reached: NDArray[np.float64]) -> None:
            track.note(edits, reached)

        search = Search(room, harm, np.inf if self.enough is None else self.enough, left, note)
        for other in _others(access):
            if left() > evaluations // 2:
                share = max(evaluations // 4, 1) * len(clean)
                _seed(search, access, other, clean, goal, edits, share, rng)
                note(search.reached)
        order = _items(access, rng)
        sweep(search, order, len(order) if len(order) <= left() else left() // 2)
        if left() > 0 and search.open.any():
            climb(search, edits, order, left(), rng)
        search.shrink()
        return search.best


def _others(access: AccessView) -> list[EvasionAttack]:
    """The attacks of `SEEDS` that this attacker could run."""
    attacks = [plugins.build("attacks", name, {}) for name in SEEDS]
    return [attack for attack in attacks if access.knowledge.grants_model(attack.model_access)]


def _seed(
    search: Search,
    access: AccessView,
    other: EvasionAttack,
    clean: SequenceBatch,
    goal: AnyGoal,
    edits: int,
    share: int,
    rng: np.random.Generator,
) -> None:
    """What another attack finds with this share of queries; nothing, where it cannot run here or for this goal."""
    try:
        with access.counter.at_most(share), access.curve.silent():
            found = other.evade(access, clean, goal, Budget(edits=edits), rng).items
    except RobustError:
        return
    wide = np.pad(found, ((0, 0), (max(search.room.shape[1] - found.shape[1], 0), 0)))[:, -search.room.shape[1] :]
    search.offer(np.flatnonzero(search.open), wide[search.open])


def _items(access: AccessView, rng: np.random.Generator) -> list[int]:
    """All items: by falling popularity where it is known, else in a random order."""
    if access.knowledge.log == "none":
        return [int(i) for i in rng.permutation(access.n_items) + 1]
    return [int(i) for i in np.argsort(-access.popularity[1 : access.n_items + 1], kind="stable") + 1]
