"""The frame of attacks that append one suffix to everybody: cross-fitting.

Users are divided at random in two halves; the suffix of each half is searched on (a sample of) the other one. So every
user whose list is reported is one that the suffix has never seen, and nothing counts as an attack that only fits the
users that it was searched on. A sequence without items has no end to append to, and stays as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from pydantic import Field

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.feedback import Feedback, Signal, questions_about_clean
from robust.curve import Track
from robust.errors import NotApplicable
from robust.log import Int32, SequenceBatch
from robust.threat import Budget


class SuffixAttack(EvasionAttack):
    """One suffix of `budget.edits` items for each half of the users, found on the other half.

    Attributes:
        users: sequences of a half that a suffix is searched on, at most.
    """

    users: int = Field(default=200, ge=1)

    source: ClassVar[str] = "Wallace et al., EMNLP 2019 (arXiv 1908.07125)"

    @abstractmethod
    def _signal(self) -> tuple[Signal, int]:
        """By what a suffix is judged, and how long a list is looked at."""

    @abstractmethod
    def _search(
        self, access: AccessView, judged: Suffixes, edits: int, left: int | None, rng: np.random.Generator
    ) -> Int32 | None:
        """A suffix [edits], or None where none is better than nothing; at most `left` questions per sequence."""

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, L + edits].

        Raises:
            NotApplicable: one sequence with items only, so that none is left to search on.
        """
        edits = budget.edits or 0
        order = rng.permutation(np.flatnonzero(sequences.lengths))
        if len(order) < 2:
            raise NotApplicable(f"'{self.name}' searches on other users than it attacks: it needs two with a history")
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        signal, k = self._signal()
        edited = np.pad(sequences.items, ((0, 0), (edits, 0)))
        for attacked, known in (halves, halves[::-1]):
            sample = sequences[known[: self.users]]
            left = access.queries_left(len(sample))
            if left is not None:  # the first half leaves the second its share
                left = left // 2 if attacked is halves[0] else left
                left -= questions_about_clean(signal, goal, access.knowledge.next_item)
            if left is not None and left < 1:
                continue
            track = access.curve.track(len(sample))
            judged = Suffixes(Feedback(access, sample, goal, signal, k), track)
            suffix = self._search(access, judged, edits, left, rng)
            if suffix is not None:
                edited[attacked] = np.concatenate(
                    [sequences.items[attacked], np.tile(suffix, (len(attacked), 1))], axis=1
                )
        return SequenceBatch(edited, sequences.users)


class Suffixes:
    """What suffixes do to a sample of users, on average."""

    def __init__(self, seen: Feedback, track: Track) -> None:
        self._seen, self._track, self._most = seen, track, 0.0
        self._rows = np.arange(len(seen.clean))

    def value(self, suffix: Int32) -> float:
        """The mean gain over users; one question each."""
        found = float(self._seen(self._rows, self._after(suffix)).mean())
        self._most = max(self._most, found)
        self._track.note(len(suffix), np.full(len(self._rows), self._most))
        return found

    def slope(self, suffix: Int32) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """float32 [z, D], the gradient at the suffix, averaged over users; one question each."""
        gradient = self._seen.slopes(self._rows, self._after(suffix))
        mean: np.ndarray[tuple[int, int], np.dtype[np.float32]] = gradient[:, -len(suffix) :].mean(dim=0).numpy()
        return mean

    def _after(self, suffix: Int32) -> Int32:
        return np.concatenate([self._seen.clean.items, np.tile(suffix, (len(self._rows), 1))], axis=1)
