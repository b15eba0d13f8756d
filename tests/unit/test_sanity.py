"""Doubtful models are told from sound ones: zero and noisy gradients, answers that change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Float32
from robust.sanity import changing_answers_share, noisy_gradient_share, zero_gradient_share
from tests.toys import LinearBag, ListsOnly, random_sequences

if TYPE_CHECKING:
    from torch import Tensor

SEQUENCES = random_sequences(40, 8, 30)


class Random(LinearBag):
    """Dropout that nobody switched off."""

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        import torch

        kept = torch.nn.functional.dropout(embeddings, 0.3, training=True)
        return super().score_embeddings(kept, sequences)


class Masked(LinearBag):
    """Right scores, with the gradient of other scores."""

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        scores = super().score_embeddings(embeddings.detach(), sequences)
        decoy = LinearBag(seed=1).score_embeddings(embeddings, sequences)[:, 1:]
        scores[:, 1:] = scores[:, 1:] + (decoy - decoy.detach())
        return scores


class Rounded(LinearBag):
    """Scores in steps, whose gradient is zero."""

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        return super().score_embeddings(embeddings, sequences).round()


class Detached(LinearBag):
    """Scores that do not depend on the embedded sequence as far as torch can see."""

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        return super().score_embeddings(embeddings.detach(), sequences)


class Curved(LinearBag):
    """Smooth, but far from linear; masked items have no score at all."""

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        scores = super().score_embeddings(embeddings, sequences).tanh() * 3
        scores[:, 0:3] = -float("inf")
        return scores


class Coin:
    """A list that depends on the call."""

    n_items = 30

    def __init__(self, share: float = 1.0) -> None:
        self.calls, self.share = 0, share

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k]."""
        self.calls += 1
        lists = np.tile(np.arange(1, k + 1, dtype=np.int32), (len(sequences), 1))
        moved = np.arange(len(sequences)) < self.share * len(sequences)
        lists[moved] += self.calls % 5
        return lists


@pytest.mark.parametrize(
    ("model", "zero", "noisy"),
    [
        (LinearBag(), 0.0, 0.0),
        (Curved(), 0.0, 0.0),
        (Rounded(), 1.0, 0.0),
        (Detached(), 1.0, 0.0),
    ],
)
def test_what_a_gradient_is_worth(model: LinearBag, zero: float, noisy: float) -> None:
    assert zero_gradient_share(model, SEQUENCES) == zero
    assert noisy_gradient_share(model, SEQUENCES) == noisy


@pytest.mark.parametrize("model", [Random(), Masked()])
def test_a_gradient_that_says_little_of_the_score(model: LinearBag) -> None:
    assert zero_gradient_share(model, SEQUENCES) == 0
    assert noisy_gradient_share(model, SEQUENCES, 40) > 0.7


def test_without_sequences_nothing_is_noticed() -> None:
    empty = SequenceBatch(np.zeros((3, 8), np.int32))
    assert (zero_gradient_share(Random(), empty), noisy_gradient_share(Random(), empty)) == (0, 0)
    assert changing_answers_share(Coin(), empty, 5) == 0


def test_answers_that_change() -> None:
    assert changing_answers_share(LinearBag(), SEQUENCES, 5) == 0
    assert changing_answers_share(Curved(), SEQUENCES, 5) == 0
    assert changing_answers_share(Random(), SEQUENCES, 5) == 1
    assert changing_answers_share(ListsOnly(LinearBag()), SEQUENCES, 5) == 0
    assert changing_answers_share(Coin(), SEQUENCES, 5, 40) == 1
    assert changing_answers_share(Coin(0.25), SEQUENCES, 5, 40) == 0.25


def test_rounding_is_no_change_and_infinity_is() -> None:
    class Jitters(LinearBag):
        moved, hidden = 0.0, 0

        def score(self, sequences: SequenceBatch) -> Float32:
            self.hidden += 1
            scores = super().score(sequences) * np.float32(1 + self.moved * self.hidden)
            scores[:, 1 + (self.hidden % 2 if self.moved == 0 else 0)] = -np.inf
            return scores

    jitters = Jitters()
    jitters.moved = 1e-6
    assert changing_answers_share(jitters, SEQUENCES, 5) == 0
    jitters.moved = 0.0
    assert changing_answers_share(jitters, SEQUENCES, 5) == 1
