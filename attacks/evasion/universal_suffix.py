"""One suffix for all users, searched by gradients averaged over users.

Wallace, Feng, Kandpal, Gardner and Singh, "Universal Adversarial Triggers for Attacking and Analyzing NLP", EMNLP
2019, section 2.2 (from memory): begin with any trigger; take the loss's gradient at each of its tokens, averaged over
a batch; propose the tokens of largest first-order gain E_i · g_s (HotFlip); try them, keep a beam of the best; repeat
until nothing improves. What it shows is how far a recommender can be driven by recent items alone, whoever the user
is.

Known deviations: the trigger comes last, as new items of a history do, not first; the positions are not taken from
left to right, but the `candidates` of largest (value + gain) over all positions and forms are tried in each round;
each half of the users gets the suffix that was searched on the other one (`suffix_attack.py`), so nobody is reported
on whom it was searched.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from robust.access import Access, AccessView
from robust.attacks.evasion.feedback import Signal
from robust.attacks.evasion.suffix_attack import SuffixAttack, Suffixes
from robust.log import Int32
from robust.threat import Budget


class UniversalSuffix(SuffixAttack):
    """A suffix of `budget.edits` items that serves the goal on average over users.

    Attributes:
        users: sequences of a half that a suffix is searched on, at most.
        rounds: of the search, at most. candidates: suffixes that are tried in each round. width: of the beam.
    """

    name: ClassVar[str] = "universal-suffix"
    source: ClassVar[str] = "Wallace et al., EMNLP 2019 (arXiv 1908.07125), section 2.2"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    model_access: ClassVar[Access] = "gradients"
    control: ClassVar[str | None] = "random-suffix"

    rounds: int = Field(default=10, ge=1)
    candidates: int = Field(default=10, ge=1)
    width: int = Field(default=3, ge=1)

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """The best of as many random suffixes as this attack asks questions, chosen alike."""
        tries = 1 + self.rounds * (self.candidates + self.width)
        return "random-suffix", {"tries": tries, "users": self.users, "feedback": "scores"}

    def _signal(self) -> tuple[Signal, int]:
        return "scores", 1

    def _search(
        self, access: AccessView, judged: Suffixes, edits: int, left: int | None, rng: np.random.Generator
    ) -> Int32 | None:
        table = access.model.item_embeddings.detach().cpu().numpy()
        first = (rng.integers(access.n_items, size=edits) + 1).astype(np.int32)
        known = {tuple(first.tolist()): judged.value(first)}
        slopes: dict[tuple[int, ...], Any] = {}
        for _ in range(self.rounds):
            beam = sorted(known, key=lambda suffix: -known[suffix])[: self.width]
            unseen = [suffix for suffix in beam if suffix not in slopes]
            if left is not None and left < 1 + len(known) + len(slopes) + len(unseen):
                break
            slopes |= {suffix: judged.slope(np.array(suffix, np.int32)) for suffix in unseen}
            tried = _promising(beam, known, slopes, table, self.candidates)
            if left is not None:
                tried = tried[: left - len(known) - len(slopes)]
            if not tried:
                break
            known |= {suffix: judged.value(np.array(suffix, np.int32)) for suffix in tried}
        best = max(known, key=lambda suffix: known[suffix])
        return np.array(best, np.int32) if known[best] > 0 else None


def _promising(
    beam: list[tuple[int, ...]],
    known: dict[tuple[int, ...], float],
    slopes: dict[tuple[int, ...], Any],
    table: Any,
    candidates: int,
) -> list[tuple[int, ...]]:
    """The suffixes one item away from the beam of largest value to first order, of those not tried yet."""
    gains = np.stack([known[s] + slopes[s] @ table.T - (slopes[s] * table[list(s)]).sum(axis=1)[:, None] for s in beam])
    gains[:, :, 0] = -np.inf
    reach = min(candidates + len(known) + gains[0].size // gains.shape[2] * len(beam), gains.size)
    order = np.argpartition(-gains, reach - 1, axis=None)[:reach]
    order = order[np.argsort(-gains.ravel()[order], kind="stable")]
    found: dict[tuple[int, ...], None] = {}
    for form, place, item in zip(*np.unravel_index(order, gains.shape), strict=True):
        suffix = (*beam[form][:place], int(item), *beam[form][place + 1 :])
        if item and suffix not in known and len(found) < candidates:
            found[suffix] = None
    return list(found)
