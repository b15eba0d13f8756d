"""Caser: convolutions over the newest few items, taken as an image of time by dimensions.

Tang and Wang, "Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding", WSDM 2018. Of the W
newest embedded items E [W, D], a horizontal filter F [h, D] of each height h = 1…W gives the maximum over places i of
relu(⟨E_{i:i+h}, F⟩ + b), which finds a pattern of h items wherever it stands, and a vertical filter f [W] gives fᵀE, a
weighted sum of the items. What all filters give goes through one fully connected layer.

The convolutions run once over a whole sequence, and every position pools its own window of W, so that training on all
positions costs little more than training on one.

Known deviations: no user embedding. Users are bookkeeping here, and sequences of edited and of new users are ranked
too, so the model is personal by the sequence only. The output is tied to the item table through one more linear map,
where the paper has a second table and a bias per item. One next item is predicted, by a softmax, where the paper
predicts the next T by binary cross-entropy with sampled negatives. Embeddings are dropped out as well. Before the
first item stand zeros.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from robust.recommenders.dropout import OFF, Dropout
from robust.recommenders.encoder import Encoder
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.settings import TrainingSettings


class CaserSettings(TrainingSettings):
    """Settings of Caser.

    Attributes:
        window: W, how many of the newest items it reads; `context` only bounds the windows that it is trained on.
        horizontal: filters of each height. vertical: filters over time.
    """

    window: int = Field(default=5, ge=1)
    horizontal: int = Field(default=16, ge=1)
    vertical: int = Field(default=4, ge=1)


class _Convolution(Encoder):
    def __init__(self, n_items: int, settings: CaserSettings) -> None:
        super().__init__()
        dimension, self.window = settings.dimension, settings.window
        self.scale = dimension**0.5
        self.table = nn.Parameter(torch.empty(n_items + 1, dimension))
        self.vertical = nn.Linear(self.window, settings.vertical)
        heights = range(1, self.window + 1)
        self.horizontal = nn.ModuleList(nn.Linear(height * dimension, settings.horizontal) for height in heights)
        found = settings.vertical * dimension + settings.horizontal * len(heights)
        self.connected = nn.Linear(found, dimension)
        self.output = nn.Linear(dimension, dimension)

    def forward(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        return self._states(F.pad(dropout(embeddings * self.scale), (0, 0, self.window - 1, 0)), dropout)

    def _states(self, padded: Tensor, dropout: Dropout) -> Tensor:
        """[B, L, D], one state for each run of W items of [B, L + W − 1, D]."""
        found = [self.vertical(padded.unfold(1, self.window, 1)).flatten(2)]  # [B, L, D, W] to [B, L, D · vertical]
        for height, filters in enumerate(self.horizontal, start=1):
            patches = padded.unfold(1, height, 1).transpose(2, 3).flatten(2)  # [B, L + W − height, height · D]
            answers = torch.relu(filters(patches)).transpose(1, 2)
            found.append(F.max_pool1d(answers, self.window - height + 1, stride=1).transpose(1, 2))
        hidden: Tensor = self.output(torch.relu(self.connected(dropout(torch.cat(found, dim=2)))))
        return hidden

    def last_state(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """As `Encoder.last_state`, from the newest W items alone."""
        place = lengths.unsqueeze(1) - self.window + torch.arange(self.window, device=lengths.device)
        index = place.clamp(min=0).unsqueeze(2).expand(-1, -1, embeddings.shape[2])
        newest = embeddings.gather(1, index) * (place >= 0).unsqueeze(2)
        return self._states(newest * self.scale, OFF).squeeze(1) * (lengths > 0).unsqueeze(1)


class Caser(NeuralRecommender):
    """Convolutions over the newest five items by default; see `CaserSettings` for its keyword arguments."""

    settings_type: ClassVar[type[TrainingSettings]] = CaserSettings
    settings: CaserSettings

    @property
    def context(self) -> int:
        """How many of the newest items it reads."""
        return min(self.settings.window, self.settings.context)

    def _encoder(self, n_items: int) -> Encoder:
        return _Convolution(n_items, self.settings)
