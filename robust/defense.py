"""Base classes of defences.

`protect(recommender, *, log=None, seed) -> recommender` is the whole contract; what comes back offers only
capabilities that it honours. The bases spare an author the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

import numpy as np
from numpy.typing import NDArray

from robust.errors import NotApplicable, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import (
    Capability,
    Differentiable,
    Fittable,
    Float32,
    Recommender,
    Resumable,
    Scorer,
    capabilities,
)
from robust.threat import Frozen

if TYPE_CHECKING:
    import torch

Stage = Literal["log", "input", "training"]


class Defense(Frozen):
    """What all defences share: metadata as class variables, parameters as fields.

    Attributes:
        name: the registered name. source: citation. stage: where it acts. weaknesses: what is known to break it.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    stage: ClassVar[Stage]
    weaknesses: ClassVar[str] = ""

    @abstractmethod
    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """The protected recommender; `log` holds the train rows as attacked, for a guard to calibrate on.

        Raises:
            NotApplicable: the recommender lacks what this defence needs.
        """


class Sanitizer(Defense):
    """Cleans the log before a fit."""

    stage: ClassVar[Stage] = "log"

    @abstractmethod
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        """float64 [n_users], higher is more suspicious. Never told who is fake."""

    @abstractmethod
    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        """bool [n_users], whose rows are removed."""

    @final
    def clean(self, log: InteractionLog, rng: np.random.Generator) -> InteractionLog:
        """The log without the suspects' rows; vocabularies stay, and removed users are still evaluated.

        Raises:
            RobustError: nothing would be left, or the suspicion has a wrong shape or NaN.
        """
        suspicion = np.asarray(self.suspicion(log, rng), dtype=np.float64)
        if suspicion.shape != (log.n_users,) or np.isnan(suspicion).any():
            raise RobustError(
                f"Sanitiser '{self.name}' returned suspicion of shape {suspicion.shape} "
                f"({int(np.isnan(suspicion).sum())} NaN), expected ({log.n_users},) without NaN."
            )
        kept = log.without_users(self.suspects(suspicion, log))
        if len(kept) == 0:
            raise RobustError(f"Sanitiser '{self.name}' would remove every user; lower its share.")
        return kept

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender whose `fit` (and `resume`) cleans the log first."""
        if "fit" not in capabilities(recommender):
            raise NotApplicable(f"sanitiser '{self.name}' needs a recommender that can be fitted")
        return SanitizedRecommender(self, cast(Fittable, recommender), seed)


class SanitizedRecommender:
    """A fittable recommender behind a sanitiser. Fitting returns the plain recommender, fitted to the cleaned log."""

    def __init__(self, sanitizer: Sanitizer, recommender: Fittable, seed: int) -> None:
        self.sanitizer, self.recommender, self.seed = sanitizer, recommender, seed
        self.n_items = recommender.n_items
        self.capabilities: frozenset[Capability] = capabilities(recommender) & {"lists", "fit", "resume"}

    def clean(self, log: InteractionLog) -> InteractionLog:
        """What the fit will see."""
        return self.sanitizer.clean(log, np.random.default_rng([self.seed, 0x5A]))

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The recommender fitted to the cleaned log."""
        return self.recommender.fit(self.clean(log), seed=seed)

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Recommender:
        """The recommender trained further on the cleaned log."""
        return cast(Resumable, self.recommender).resume(self.clean(log), seed=seed, share=share)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """As the plain recommender does: a sanitiser acts on the log only."""
        return self.recommender.recommend(sequences, k)


class InputGuard(Defense):
    """Cleans sequences before they are ranked."""

    stage: ClassVar[Stage] = "input"

    @abstractmethod
    def calibrate(self, log: InteractionLog, seed: int) -> InputGuard:
        """A guard that has learnt what is normal from these rows, poison included; may return self."""

    @abstractmethod
    def guard(self, sequences: SequenceBatch) -> Int32:
        """int32 [B, L], the items in place, with 0 where one was dropped; the base closes the gaps."""

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender that guards its input; gradients pass through, dropped positions straight-through."""
        if log is None:
            raise NotApplicable(f"guard '{self.name}' needs train rows to calibrate on")
        offered = capabilities(recommender)
        guarded = self.calibrate(log, seed)
        return GuardedRecommender(guarded, recommender, offered & {"lists", "scores", "gradients"})


def close_gaps(items: Int32) -> Int32:
    """Move the non-zero entries of each row to the right, in order."""
    order = np.argsort(items != 0, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1)


class GuardedRecommender:
    """A recommender behind an input guard; it keeps at least the newest item of every sequence."""

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
        kept: NDArray[np.bool_] = guarded != 0
        emptied = (sequences.lengths > 0) & ~kept.any(axis=1)
        kept[emptied, -1] = True
        return kept

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
        return cast(Differentiable, self.recommender).embed(sequences)

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """Scores of the guarded sequence. Kept positions have its gradient; a dropped position has the gradient that
        it would have without the guard (straight-through), since dropping has none of its own."""
        import torch

        model = cast(Differentiable, self.recommender)
        survives = self.kept(sequences)
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


class TrainingDefense(Defense):
    """Fits differently. Authors write `train`."""

    stage: ClassVar[Stage] = "training"

    @abstractmethod
    def train(self, recommender: Any, log: InteractionLog, *, seed: int, share: float | None) -> Recommender:
        """Fit `recommender` to `log`, defended: from scratch (share None), or further by `share` of its steps."""

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender whose `fit` (and `resume`) is defended."""
        if "loss" not in capabilities(recommender):
            raise NotApplicable(f"training defence '{self.name}' needs a recommender whose objective can be changed")
        return DefendedTraining(self, cast(Fittable, recommender))


class DefendedTraining:
    """A recommender that will be trained by a defence. Fitting returns a plain recommender with defended weights."""

    def __init__(self, defense: TrainingDefense, recommender: Fittable) -> None:
        self.defense, self.recommender = defense, recommender
        self.n_items = recommender.n_items
        self.capabilities: frozenset[Capability] = capabilities(recommender) & {"lists", "fit", "resume"}

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """Fitted from scratch."""
        return self.defense.train(self.recommender, log, seed=seed, share=None)

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Recommender:
        """Trained further."""
        return self.defense.train(self.recommender, log, seed=seed, share=share)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """As the plain recommender does."""
        return self.recommender.recommend(sequences, k)
