"""Recurrent recommenders: one layer of GRU, LSTM or plain RNN over a sequence's items.

Hidasi et al. 2016, "Session-based Recommendations with Recurrent Neural Networks". As in Hidasi and Karatzoglou 2018
the output is tied to the item table ("constrained embedding") and the loss is a softmax.

Deviations: trained on every position of a user's windows, from a zero state, instead of session-parallel batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from robust.recommenders.dropout import Dropout
from robust.recommenders.encoder import Encoder
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.settings import TrainingSettings

Cell = Literal["gru", "lstm", "rnn"]
_LAYERS: dict[Cell, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class RecurrentSettings(TrainingSettings):
    """Settings of a recurrent recommender.

    Attributes:
        cell: `gru`, `lstm` or `rnn`. hidden: size of the cell's state.
    """

    cell: Cell = "gru"
    hidden: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=8e-3, gt=0)


class _Recurrence(Encoder):
    def __init__(self, n_items: int, settings: RecurrentSettings) -> None:
        super().__init__()
        self.scale = settings.dimension**0.5
        self.table = nn.Parameter(torch.empty(n_items + 1, settings.dimension))
        self.cell = _LAYERS[settings.cell](settings.dimension, settings.hidden, batch_first=True)
        self.output = nn.Linear(settings.hidden, settings.dimension)

    def forward(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        states, _ = self.cell(dropout(embeddings * self.scale))
        hidden: Tensor = self.output(dropout(states))
        return hidden


class Recurrent(NeuralRecommender):
    """A recurrent recommender; see `RecurrentSettings` for its keyword arguments."""

    settings_type: ClassVar[type[TrainingSettings]] = RecurrentSettings
    settings: RecurrentSettings

    def _encoder(self, n_items: int) -> Encoder:
        return _Recurrence(n_items, self.settings)


class GRU4Rec(Recurrent):
    """`Recurrent` with a gated recurrent unit."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cell": "gru", **settings})


class LSTM4Rec(Recurrent):
    """`Recurrent` with long short-term memory."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cell": "lstm", **settings})


class RNN4Rec(Recurrent):
    """`Recurrent` with Elman's plain cell."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cell": "rnn", **settings})
