"""More planted faults of what a recommender answers: each shows only where one looks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Float32
from robust.recommenders.recurrent import GRU4Rec
from tests.quality.faults.recommenders import SMALL, Sound
from tests.toys import LinearBag


class DependsOnTheRow(Sound):
    """From the 65th row on: small batches are sound."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        scores[64:] *= 0.5
        return scores


class LosesTheSecondPart(Sound):
    """Cuts large batches into parts of 256, and answers every part with the first."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        return scores[np.arange(len(scores)) % 256]


class DrawsInLargeBatches(Sound):
    rng = np.random.default_rng(0)

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        return scores if len(scores) < 100 else (scores + self.rng.random(scores.shape)).astype(np.float32)


class CachesByUser(Sound):
    def __init__(self) -> None:
        self.cache: dict[int, NDArray[np.float32]] = {}

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        for row, user in enumerate(sequences.users.tolist()):
            if user >= 0:
                scores[row] = self.cache.setdefault(user, scores[row].copy())
        return scores


class CarriesItsState(Sound):
    """A recurrent state that is not reset between two calls of one shape."""

    def __init__(self) -> None:
        self.last: NDArray[np.float32] | None = None

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        carried = scores if self.last is None or self.last.shape != scores.shape else scores + 0.1 * self.last[:, ::-1]
        self.last = scores
        return np.where(np.isfinite(scores), carried, scores).astype(np.float32)


class TiresAfterTenCalls(Sound):
    calls = 0

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        self.calls += 1
        return super().score(sequences) * np.float32(-1 if self.calls % 10 == 0 else 1)


class RemembersItsK(Sound):
    """Scores differ after a short list was asked for."""

    k = 0

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        return super().score(sequences) * np.float32(2 if self.k == 1 else 1)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        self.k = k
        return lists


class TruncatesOnTheWrongSide(Sound):
    context = 6

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        return super().score(SequenceBatch(sequences.items[:, :6]))


class ShiftsPositionsWhenFull(LinearBag):
    """An off-by-one in positions only where a sequence fills its context."""

    context = 10

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        full = sequences.lengths == 10 if sequences.width == 10 else np.zeros(len(sequences), dtype=bool)
        rows = torch.from_numpy(full)[:, None, None]
        embeddings = torch.where(rows, embeddings.roll(1, dims=1), embeddings)
        return super().score_embeddings(embeddings[:, -10:], sequences.truncate(10))


class ReadsOneItemMore(LinearBag):
    """An off-by-one in its context: the eleventh item counts."""

    context = 10

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        return super().score_embeddings(embeddings[:, -11:], sequences.truncate(11))


class ReadsTimesOfPadding(Sound):
    """The first time of a row is that of its padding, 0, wherever there is some."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        if sequences.timestamps is not None:
            scores *= (1 + (sequences.timestamps.min(axis=1, initial=2**62) == 0))[:, None].astype(np.float32)
        return scores


class HidesBehindAMask(Sound):
    """Padding matters, but beside scores of −1e9 for what is out of stock the difference looks like rounding."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences) * (1 + 0.1 * (sequences.items == 0).sum(axis=1, keepdims=True))
        scores[:, -5:] = -1e9
        return np.asarray(scores, dtype=np.float32)


class SortsHalfOfItsList(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        if k > 20 // 2:
            lists[:, 10:] = np.sort(lists[:, 10:], axis=1)
        return lists


class ShortensItsLists(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        lists[:, 3:] = 0
        return lists


class RepeatsInLongLists(Sound):
    """Lists only; beyond place 12 it begins anew."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        lists[:, 12:] = lists[:, : max(k - 12, 0)]
        return lists


class ListsPadding(Sound):
    """Ranks the column of padding with the items."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        scores[:, 0] = -2.5
        return scores

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.argsort(-self.score(sequences), axis=1, kind="stable")[:, :k].astype(np.int32)


class OverflowsInHalfPrecision(LinearBag):
    """float16 inside: long sequences of one item reach +∞."""

    def score(self, sequences: SequenceBatch) -> Float32:
        scores = super().score(sequences)
        with np.errstate(over="ignore"):
            return (scores * sequences.lengths[:, None] ** 3).astype(np.float16).astype(np.float32)


class SeedsTheWorld(Sound):
    """Repeatable, since it seeds the global generator, for itself and for everybody else."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        torch.manual_seed(0)  # noqa: TID251 - the fault
        return super().score(sequences)


class IsConfusedByNothing(Sound):
    """An empty row in a batch spoils its neighbours, as a softmax over nothing does."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        return scores if sequences.items.any(axis=1).all() or len(scores) < 3 else scores[:, ::-1].copy()


class NeedsKnownUsers(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        biases = np.zeros(10_000, np.float32)
        return super().score(sequences) + biases[sequences.users][:, None]


class SharesAForeignTable(LinearBag):
    """Scores are right, but the table that a white-box attack chooses substitutes from is another."""

    @property
    def item_embeddings(self) -> torch.Tensor:
        return self.table.roll(1, dims=0)


class DetachesOldItems(LinearBag):
    """No gradient reaches anything but the newest item, so that attacks look for nothing else."""

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        seen = torch.cat([embeddings[:, :-1].detach(), embeddings[:, -1:]], dim=1)
        return super().score_embeddings(seen, sequences)


class MixesRowsOfEmbeddings(LinearBag):
    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        scores = super().score_embeddings(embeddings, sequences)
        return scores + (0.1 * scores[:1, 1:].mean() if len(scores) > 1 else 0.0)


class WritesIntoEmbeddings(LinearBag):
    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        scores = super().score_embeddings(embeddings, sequences)
        if not embeddings.requires_grad:
            embeddings.mul_(0.5)
        return scores


class LossPeeksAtIds(GRU4Rec):
    """No gradient shows it: the next item's id, not its embedding, goes into the loss."""

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: torch.Tensor | None = None) -> torch.Tensor:
        right = sequences.items[:, 1:] == np.asarray(targets).reshape(len(sequences), -1)[:, :-1]
        return super().loss(sequences, targets, embeddings) * (1 - 0.5 * float(right.mean()))


class TrainsOnOtherPositions(GRU4Rec):
    """Trained one position off from how it ranks."""

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: torch.Tensor | None = None) -> torch.Tensor:
        wanted = np.asarray(targets)
        if wanted.ndim == 2:
            wanted = np.concatenate([wanted[:, 1:], np.zeros_like(wanted[:, :1])], axis=1)
        return super().loss(sequences, wanted, embeddings)


class LossIsBlindToTheTarget(GRU4Rec):
    """Every target is made the first item: as if the target had leaked, all losses are alike."""

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: torch.Tensor | None = None) -> torch.Tensor:
        return super().loss(sequences, np.minimum(targets, 1).astype(np.int32), embeddings)


FAULTS: list[tuple[Any, str]] = [
    (DependsOnTheRow(), "batch size"),
    (LosesTheSecondPart(), "batch size"),
    (DrawsInLargeBatches(), "batch size"),
    (CachesByUser(), "user numbers"),
    (CarriesItsState(), "determinism"),
    (TiresAfterTenCalls(), "determinism"),
    (RemembersItsK(), "determinism"),
    (TruncatesOnTheWrongSide(), "context"),
    (ShiftsPositionsWhenFull(width=64), "padding"),
    (ReadsOneItemMore(width=64), "context"),
    (ReadsTimesOfPadding(), "padding"),
    (HidesBehindAMask(), "padding"),
    (SortsHalfOfItsList(), "scores"),
    (ShortensItsLists(), "scores"),
    (RepeatsInLongLists(), "lists"),
    (ListsPadding(), "lists"),
    (OverflowsInHalfPrecision(width=64), "finite"),
    (SeedsTheWorld(), "determinism"),
    (IsConfusedByNothing(), "empty sequences"),
    (NeedsKnownUsers(), "user numbers"),
    (SharesAForeignTable(width=64), "embeddings"),
    (DetachesOldItems(width=64), "gradient"),
    (MixesRowsOfEmbeddings(width=64), "embeddings"),
    (WritesIntoEmbeddings(width=64), "inputs"),
    (LossPeeksAtIds(**SMALL), "future"),
    (TrainsOnOtherPositions(**SMALL), "loss"),
    (LossIsBlindToTheTarget(**SMALL), "loss"),
]
