"""Scores averaged over random deletions or substitutions of the sequence.

Cohen, Rosenfeld and Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019, for sequences of
items as in RanMASK (Zeng et al., Computational Linguistics 2023) and randomised deletion (Huang et al., "RS-Del",
NeurIPS 2023): one edit survives in a part of the noisy copies only, so its effect on the mean shrinks.

Known deviations: no certificate is given (certificates count votes over far more draws, on noise that the model was
trained with); scores are averaged rather than votes counted. The noise follows from a secret seed and the sequence
itself (`robust.defense.noise`): the same question has the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.defense import Attacked, Cost, Defense, Stage
from robust.defense.noise import keyed_uniform
from robust.errors import NotApplicable
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.protocols import Capability, Differentiable, Float32, Recommender, Scorer, capabilities

if TYPE_CHECKING:
    import torch

Float64 = NDArray[np.float64]
ATTACKER_DRAWS = 16
"""An attacker averages over at least so many draws of their own, however few are served."""


class SequenceSmoothing(Defense):
    """Ranks by the mean score over `samples` noisy copies of a sequence.

    Attributes:
        noise: whether a position is deleted, or substituted by any item of the catalogue.
        share: probability with which that happens to each position. samples: noisy copies per question.
    """

    name: ClassVar[str] = "smoothing"
    source: ClassVar[str] = "Cohen et al., ICML 2019; for sequences Zeng et al., 2023, and Huang et al., NeurIPS 2023"
    stage: ClassVar[Stage] = "input"
    weaknesses: ClassVar[str] = (
        "An edit that hurts in most noisy copies hurts the mean: who averages over draws of their own finds it. Each "
        "edit of a sequence draws anew, so a search by lists may pick a draw that suits it. A model that was not "
        "trained on such noise loses quality for everybody, and small `samples` are noise rather than a mean."
    )
    assumptions: ClassVar[str] = "No few positions decide, so that a list survives the loss of some of them."
    cost: ClassVar[Cost] = "every query"
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists", "scores"})

    noise: Literal["delete", "substitute"] = "delete"
    share: float = Field(default=0.2, gt=0, lt=1)
    samples: int = Field(default=16, ge=1)

    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """A recommender that smooths every answer; no log is needed.

        Raises:
            NotApplicable: the recommender has no scores to average.
        """
        if "scores" not in capabilities(recommender):
            raise NotApplicable(f"'{self.name}' averages scores: it needs a recommender that gives them")
        return Smoothed(self, recommender, seed)


class Smoothed:
    """A recommender whose scores are means over noisy copies.

    Args:
        common: whether all questions meet the same draws, so that an attacker compares candidates under the same noise;
            what is served draws for each question. The draws of an attacker are stratified: each position, counted
            from the newest, is hit in its share of the copies, or few copies would call one position weak by chance.
    """

    def __init__(self, smoothing: SequenceSmoothing, recommender: Recommender, seed: int, common: bool = False) -> None:
        self.smoothing, self.recommender, self.seed, self.common = smoothing, recommender, seed, common
        self.samples = max(smoothing.samples, ATTACKER_DRAWS) if common else smoothing.samples
        self._common: dict[tuple[int, int], Float64] = {}
        self.n_items = int(recommender.n_items)
        self.capabilities: frozenset[Capability] = capabilities(recommender) & {"lists", "scores", "gradients"}

    @property
    def context(self) -> int:
        """As the recommender behind it says; 0 where it does not."""
        return int(getattr(self.recommender, "context", 0) or 0)

    def as_attacker(self, seed: int) -> Recommender:
        """Served answers for who asks; a mean over their own draws, with its gradient, for who holds the weights."""
        return Attacked(self, Smoothed(self.smoothing, self.recommender, seed, common=True))

    def _draws(self, sequences: SequenceBatch, stream: int) -> Float64:
        """float64 [B, L] in [0, 1), the same for a position counted from the newest, however wide the batch is."""
        if not self.common:
            return keyed_uniform(self.seed, sequences.items, sequences.width, stream)[:, ::-1]
        sample, kind = divmod(stream, 2)
        return np.broadcast_to(self._strata(sequences.width, kind)[sample, ::-1], sequences.items.shape)

    def _strata(self, width: int, kind: int) -> Float64:
        """float64 [samples, L], one draw from each of as many equal parts of [0, 1), for each position."""
        if (width, kind) not in self._common:
            nobody = np.zeros((1, 1), np.int32)
            own = np.concatenate([keyed_uniform(self.seed, nobody, width, 2 * s + kind) for s in range(self.samples)])
            self._common[width, kind] = (own.argsort(axis=0).argsort(axis=0) + own) / self.samples
        return self._common[width, kind]

    def noisy(
        self, sequences: SequenceBatch, sample: int
    ) -> tuple[SequenceBatch, NDArray[np.int64], NDArray[np.bool_]]:
        """One noisy copy [B, L]; for each of its positions, where it stood; and whether it is still the same item.

        Of a sequence that noise would empty, the newest item stays.
        """
        items, share = sequences.items, self.smoothing.share
        real = items != 0
        hit = real & (self._draws(sequences, 2 * sample) < share)
        if self.smoothing.noise == "substitute":
            other = 1 + (self._draws(sequences, 2 * sample + 1) * self.n_items).astype(np.int32)
            place = np.broadcast_to(np.arange(items.shape[1]), items.shape)
            return sequences.with_items(np.where(hit, other, items)), place, ~hit
        kept = real & ~hit
        emptied = np.flatnonzero(real.any(axis=1) & ~kept.any(axis=1))
        kept[emptied, real.shape[1] - 1 - real[emptied, ::-1].argmax(axis=1)] = True
        place = np.argsort(kept, axis=1, kind="stable")
        moved = np.take_along_axis(np.where(kept, items, 0), place, axis=1)
        times = sequences.timestamps
        if times is not None:
            times = np.take_along_axis(np.where(kept, times, 0), place, axis=1)
        return SequenceBatch(moved, sequences.users, times), place, np.take_along_axis(kept, place, axis=1)

    def _read(self, sequences: SequenceBatch) -> SequenceBatch:
        return sequences.truncate(self.context) if self.context else sequences

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], by the mean scores."""
        return top_k(self.score(sequences), k)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], the mean over the noisy copies."""
        model, sequences = cast(Scorer, self.recommender), self._read(sequences)
        total = np.zeros((len(sequences), self.n_items + 1))
        for sample in range(self.samples):
            total += model.score(self.noisy(sequences, sample)[0])
        return (total / self.samples).astype(np.float32)

    @property
    def item_embeddings(self) -> torch.Tensor:
        """The plain recommender's table."""
        return cast(Differentiable, self.recommender).item_embeddings

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """The plain recommender's embeddings, of the input without noise."""
        return cast(Differentiable, self.recommender).embed(sequences)

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """[B, n_items + 1], the mean over the noisy copies, with its gradient.

        A position has the gradient of the copies in which it survives: that is the gradient of the mean.
        """
        import torch

        model, width = cast(Differentiable, self.recommender), self._read(sequences).width
        embeddings, sequences = embeddings[:, embeddings.shape[1] - width :], self._read(sequences)
        total = None
        for sample in range(self.samples):
            copy, place, same = self.noisy(sequences, sample)
            index = torch.from_numpy(np.ascontiguousarray(place)).to(embeddings.device).unsqueeze(-1)
            own = torch.gather(embeddings, 1, index.expand_as(embeddings))
            survives = torch.from_numpy(np.ascontiguousarray(same)).to(embeddings.device).unsqueeze(-1)
            part = model.score_embeddings(torch.where(survives, own, model.embed(copy).detach()), copy)
            total = part if total is None else total + part
        assert total is not None  # at least one sample
        return total / self.samples
