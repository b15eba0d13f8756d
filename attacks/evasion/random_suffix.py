"""A random suffix for all users: the control of `universal-suffix`.

Of `tries` random suffixes, the best on one half of the users is what the other half gets, as in the attack that it is
the control of (Wallace et al., EMNLP 2019, compare with random triggers; from memory).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attacks.evasion.feedback import Signal
from robust.attacks.evasion.suffix_attack import SuffixAttack, Suffixes
from robust.log import Int32


class RandomSuffix(SuffixAttack):
    """The best of `tries` random suffixes of `budget.edits` items.

    Attributes:
        users: sequences of a half that a suffix is chosen on, at most. tries: suffixes.
        feedback: by what the best is known: `lists`, or `scores` (needs `model: scores`).
        k: how long a list is looked at when the goal does not say.
    """

    name: ClassVar[str] = "random-suffix"
    source: ClassVar[str] = "control of Wallace et al., EMNLP 2019 (arXiv 1908.07125)"
    tags: ClassVar[tuple[str, ...]] = (
        "control",
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )

    tries: int = Field(default=20, ge=1)
    feedback: Signal = "lists"
    k: int = Field(default=10, ge=1)

    def _signal(self) -> tuple[Signal, int]:
        return self.feedback, self.k

    def _search(
        self, access: AccessView, judged: Suffixes, edits: int, left: int | None, rng: np.random.Generator
    ) -> Int32 | None:
        tries = self.tries if left is None else min(self.tries, left)
        drawn = (rng.integers(access.n_items, size=(tries, edits)) + 1).astype(np.int32)
        values = [judged.value(suffix) for suffix in drawn]
        best = int(np.argmax(values))
        return drawn[best] if values[best] > 0 else None
