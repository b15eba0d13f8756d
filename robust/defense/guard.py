"""Cleaning sequences before they are ranked."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from robust.defense.base import Cost, Defense, Stage
from robust.errors import NotApplicable, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Differentiable, Float32, Recommender, Scorer, capabilities

if TYPE_CHECKING:
    import torch


class InputGuard(Defense):
    """Cleans sequences before they are ranked."""

    stage: ClassVar[Stage] = "input"
    cost: ClassVar[Cost] = "every query"

    def looking_at(self, recommender: Recommender) -> InputGuard:
        """A guard that goes by this recommender, for those that do (its item embeddings, say); self for all others.

        It is asked before `calibrate`.
        """
        return self

    @abstractmethod
    def calibrate(self, log: InteractionLog, seed: int) -> InputGuard:
        """A guard that has learnt what is normal from these rows, poison included; may return self."""

    @abstractmethod
    def guard(self, sequences: SequenceBatch) -> Int32:
        """int32 [B, L], the items in place, with 0 where one was dropped; the base closes the gaps."""

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender that guards its input; gradients pass through, dropped positions straight-through.

        Raises:
            NotApplicable: there is no log, or the recommender lacks what this guard needs.
        """
        if log is None:
            raise NotApplicable(f"guard '{self.name}' needs train rows to calibrate on")
        offered = capabilities(recommender)
        if missing := self.needs - offered:
            raise NotApplicable(f"guard '{self.name}' needs {' and '.join(sorted(missing))} of a recommender")
        guarded = self.looking_at(recommender).calibrate(log, seed)
        return GuardedRecommender(guarded, recommender, offered & {"lists", "scores", "gradients"})


def close_gaps(items: Int32) -> Int32:
    """Move the non-zero entries of each row to the right, in order."""
    order = np.argsort(items != 0, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1)


class GuardedRecommender:
    """A recommender behind an input guard; it keeps at least the newest known item of every sequence.

    Ids outside the catalogue never reach the recommender, whatever the guard says of them.
    """

    def __init__(self, guard: InputGuard, recommender: Recommender, capabilities: frozenset[Capability]) -> None:
        self.guard, self.recommender, self.capabilities = guard, recommender, capabilities
        self.n_items = int(recommender.n_items)

    def kept(self, sequences: SequenceBatch) -> NDArray[np.bool_]:
        """bool [B, L], which positions survive.

        Raises:
            RobustError: the guard invented or moved an item.
        """
        guarded = np.asarray(self.guard.guard(sequences))
        if guarded.shape != sequences.items.shape or np.any((guarded != 0) & (guarded != sequences.items)):
            raise RobustError(f"Guard '{self.guard.name}' may only drop items (0 in place), not change them.")
        known = (sequences.items >= 1) & (sequences.items <= self.n_items)
        kept: NDArray[np.bool_] = (guarded != 0) & known
        emptied = np.flatnonzero(known.any(axis=1) & ~kept.any(axis=1))
        kept[emptied, known.shape[1] - 1 - known[emptied, ::-1].argmax(axis=1)] = True
        return kept

    def _known(self, sequences: SequenceBatch) -> SequenceBatch:
        """The same, padding in place of ids outside the catalogue."""
        known = (sequences.items >= 0) & (sequences.items <= self.n_items)
        return sequences if known.all() else sequences.with_items(np.where(known, sequences.items, 0))

    def _clean(self, sequences: SequenceBatch) -> SequenceBatch:
        return _close(sequences, self.kept(sequences))

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """Lists for the guarded sequences."""
        return self.recommender.recommend(self._clean(sequences), k)

    def score(self, sequences: SequenceBatch) -> Float32:
        """Scores for the guarded sequences."""
        return cast(Scorer, self.recommender).score(self._clean(sequences))

    @property
    def item_embeddings(self) -> torch.Tensor:
        """The plain recommender's table."""
        return cast(Differentiable, self.recommender).item_embeddings

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """Embeddings of the *unguarded* input, so that an attacker can look through the guard."""
        return cast(Differentiable, self.recommender).embed(self._known(sequences))

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """Scores of the guarded sequence. Kept positions have its gradient; a dropped position has the gradient that
        it would have without the guard (straight-through), since dropping has none of its own."""
        import torch

        model = cast(Differentiable, self.recommender)
        survives, sequences = self.kept(sequences), self._known(sequences)
        kept = torch.from_numpy(survives).to(embeddings.device)
        order = torch.argsort(kept.to(torch.int8), dim=1, stable=True)
        mask = kept.unsqueeze(-1).to(embeddings.dtype)
        moved = torch.gather(embeddings * mask, 1, order.unsqueeze(-1).expand_as(embeddings))
        scores = model.score_embeddings(moved, _close(sequences, survives))
        dropped = (~survives & (sequences.items != 0)).any(axis=1)
        if torch.is_grad_enabled() and embeddings.requires_grad and dropped.any():
            rows = torch.from_numpy(np.flatnonzero(dropped)).to(embeddings.device)
            open_ = embeddings[rows] * (1 - mask[rows]) + (embeddings[rows] * mask[rows]).detach()
            through = model.score_embeddings(open_, sequences[rows.cpu().numpy()])[:, 1:]
            # 0 in value, the unguarded gradient in slope; column 0 is −∞, and −∞ − (−∞) would be NaN
            scores = scores.clone()
            scores[rows, 1:] = scores[rows, 1:] + (through - through.detach())
        return scores


def _close(sequences: SequenceBatch, kept: NDArray[np.bool_]) -> SequenceBatch:
    """The kept positions of each row, moved to the right in order, with their times."""
    order = np.argsort(kept, axis=1, kind="stable")
    items = np.take_along_axis(np.where(kept, sequences.items, 0), order, axis=1)
    times = sequences.timestamps
    if times is not None:
        times = np.take_along_axis(np.where(kept, times, 0), order, axis=1)
    return SequenceBatch(items, sequences.users, times)
