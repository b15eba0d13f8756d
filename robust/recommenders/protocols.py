"""What a recommender can do. Only `Recommender` is required; the rest are optional capabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robust.log import Int32, InteractionLog, SequenceBatch

if TYPE_CHECKING:
    import torch

Float32 = NDArray[np.float32]
Capability = Literal["lists", "scores", "fit", "resume", "update", "gradients", "loss"]


@runtime_checkable
class Recommender(Protocol):
    """Ranks items for sequences: every served endpoint does."""

    n_items: int

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], best first, distinct items 1…n_items; short lists are padded with 0 at the end."""
        ...


@runtime_checkable
class Scorer(Recommender, Protocol):
    """Scores every item."""

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], higher is better; column 0 is padding and is never read."""
        ...


@runtime_checkable
class ReplacementScorer(Scorer, Protocol):
    """Scores all replacements of one item without recomputing what they leave unchanged.

    Optional, and no capability of its own: `replacements.evaluate_replacements` serves every scorer.
    """

    def evaluate_replacements(
        self,
        sequence: SequenceBatch,
        position: int,
        items: Int32,
        objective: Callable[[torch.Tensor], torch.Tensor],
    ) -> Float32:
        """float32 [m], the objective of `sequence` [1, L] with column `position` replaced by each of `items` [m].

        The objective turns scores [c, n_items + 1] into [c], and is called once per chunk.
        """
        ...


@runtime_checkable
class Fittable(Recommender, Protocol):
    """Can be retrained, so poisoned. `fit` returns a *new* object; self stays as it was (unfitted, or the victim)."""

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """A new recommender fitted to this log; the same seed and log give the same bits."""
        ...


@runtime_checkable
class Resumable(Fittable, Protocol):
    """Can be trained further from where it stands, which makes warm starts possible."""

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Recommender:
        """A new recommender: this one trained further on `log`, for `share` of the steps that its own fit took."""
        ...


@runtime_checkable
class Incremental(Recommender, Protocol):
    """Learns from new rows as they come, without the old ones: an online learner."""

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """A new recommender: this one, having learnt from these rows too; self stays as it was.

        Args:
            log: the new rows only, of the same catalogue. Users keep their numbers, new ones have higher numbers, so
                `n_users` may grow. The rows of a user come after all that were learnt before.
        """
        ...


@runtime_checkable
class Differentiable(Scorer, Protocol):
    """Gradients reach the embedded sequence: a white-box victim. Evaluation mode, gradients on."""

    @property
    def item_embeddings(self) -> torch.Tensor:
        """float32 [n_items + 1, D], row 0 = padding; detached."""
        ...

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """float32 [B, L, D], the item embeddings before positions are added; zero rows at padding."""
        ...

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """float32 [B, n_items + 1] from (perturbed) embeddings [B, L, D], padded as `sequences`; column 0 is −inf."""
        ...


@runtime_checkable
class Retabled(Differentiable, Protocol):
    """Can be given another item table. Optional, and no capability of its own; see `item_table`."""

    def with_item_embeddings(self, table: torch.Tensor) -> Differentiable:
        """This recommender with the table [n_items + 1, D] wherever it uses one; differentiable in it; self stays."""
        ...


@runtime_checkable
class Trainable(Differentiable, Fittable, Protocol):
    """A training defence can change its objective."""

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Scalar mean loss of predicting `targets` [B], or [B, L] (0 = none), from `embeddings` if given."""
        ...


@runtime_checkable
class Persistent(Protocol):
    """Can be written as arrays and JSON (never pickle), so that a store can keep it."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays, and JSON-able settings."""
        ...

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Self:
        """The inverse of `state`, to the bit."""
        ...


def lacks(recommender: object) -> dict[str, str]:
    """Why it does not offer a capability, by the capability: what an adapter says, or a probe has seen; {} at most."""
    said = getattr(recommender, "lacks", None)
    return dict(said) if isinstance(said, Mapping) else {}


def capabilities(recommender: Recommender) -> frozenset[Capability]:
    """Which optional capabilities this object offers, by its methods. `adapt` probes those of foreign models."""
    declared = getattr(recommender, "capabilities", None)
    if isinstance(declared, frozenset):
        return declared
    offers: dict[Capability, type] = {
        "lists": Recommender,
        "scores": Scorer,
        "fit": Fittable,
        "resume": Resumable,
        "update": Incremental,
        "gradients": Differentiable,
        "loss": Trainable,
    }
    return frozenset(name for name, protocol in offers.items() if isinstance(recommender, protocol))
