"""Some places of a list go to items from below.

Each item of a question's ranking is left out with probability `replaced` / `of`, by a draw from a secret seed, what was
asked and the item (`robust.defense.noise`); those below move up. So of the first `of` places `replaced` change hands on
average, at any depth alike, a shorter list is the beginning of a longer one, and asking again shows nothing new.

Source: a baseline of our own, after randomised answers against extraction (Orekondy, Schiele and Fritz, "Prediction
Poisoning", ICLR 2020: the idea only, their noise is optimised).
Known deviation: exactly `replaced` places in the first `of` could not be kept where items that a user has seen are
taken out of the list afterwards; the number is binomial instead.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from robust.defense import Callers, ServingDefense, close_gaps
from robust.defense.noise import keyed_uniform_of
from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Capability, Float32


class ListPerturbation(ServingDefense):
    """Leaves items out of a list at random, as good as for ever for this question.

    Attributes:
        replaced, of: so many of so many places change hands, on average.
    """

    name: ClassVar[str] = "list-perturbation"
    source: ClassVar[str] = "own baseline; after Orekondy et al., ICLR 2020"
    weaknesses: ClassVar[str] = (
        "Costs its share of the hits on every clean list. Each edit of a history draws anew, so a search by lists may "
        "pick a draw that leaves the true item out, or its own target in. Who holds the weights aims at the ranking "
        "without the noise, which is the same in expectation."
    )
    assumptions: ClassVar[str] = "An attacker needs exact lists, for extraction more than for evasion."
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists"})

    replaced: int = Field(default=1, ge=1)
    of: int = Field(default=10, ge=2)

    @model_validator(mode="after")
    def _something_stays(self) -> Self:
        if self.replaced >= self.of:
            raise ValueError(
                f"to replace {self.replaced} of {self.of} places leaves nothing of a list: give replaced < of"
            )
        return self

    def places(self, k: int) -> int:
        """Enough that hardly ever fewer than k are left: four standard deviations beyond the mean."""
        kept = 1 - self.replaced / self.of
        return int(np.ceil((k + 4 * np.sqrt(k / kept) + 4) / kept))

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        """The lists without the items left out, closed up, 0 at the end."""
        draws = keyed_uniform_of(seed, sequences.items, lists)
        kept = np.where(draws < self.replaced / self.of, np.int32(0), lists)
        return np.ascontiguousarray(close_gaps(kept[:, ::-1])[:, ::-1])
