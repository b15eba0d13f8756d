"""NARM: a recurrent state, and what that state attends to among all states before it.

Li et al., "Neural Attentive Session-based Recommendation", CIKM 2017. Of the states h of a GRU the newest is the global
encoding, and a weighted sum of all is the local one:

    c_t = [h_t ; Σ_{j ≤ t} α_tj h_j],   α_tj = vᵀ σ(A₁ h_t + A₂ h_j)

with σ the logistic function. The decoder is bilinear, the score of item i being e_iᵀ B c_t: the item table is tied.

Known deviations: trained on every position of a user's windows at once, where the paper cuts a session into its
prefixes; one dropout rate (the paper: .25 after the embeddings, .5 before the decoder); embeddings and states of 64,
not 50 and 100. The weights are not normalised, as in the paper. The released code takes a softmax over them, and a
piecewise linear σ.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust.recommenders.dropout import Dropout
from robust.recommenders.encoder import Encoder
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.settings import TrainingSettings

# positions that ask at once: only the states up to the last of them are looked at, which spares almost half of the work
_ASKING = 10


class NARMSettings(TrainingSettings):
    """Settings of NARM.

    Attributes:
        hidden: size of the GRU's state.
    """

    hidden: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=8e-3, gt=0)


class _Attention(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.asking = nn.Linear(hidden, hidden, bias=False)  # A₁
        self.asked = nn.Linear(hidden, hidden, bias=False)  # A₂
        self.weight = nn.Linear(hidden, 1, bias=False)  # v

    def forward(self, queries: Tensor, states: Tensor, allowed: Tensor) -> Tensor:
        """[B, Q, H], the sums over states [B, S, H] for queries [B, Q, H], where bool `allowed` [.., Q, S] says so."""
        pairs = torch.sigmoid(self.asking(queries).unsqueeze(2) + self.asked(states).unsqueeze(1))  # [B, Q, S, H]
        attended: Tensor = (self.weight(pairs).squeeze(3) * allowed) @ states
        return attended


class _Attentive(Encoder):
    def __init__(self, n_items: int, settings: NARMSettings) -> None:
        super().__init__()
        self.scale = settings.dimension**0.5
        self.table = nn.Parameter(torch.empty(n_items + 1, settings.dimension))
        self.cell = nn.GRU(settings.dimension, settings.hidden, batch_first=True)
        self.attention = _Attention(settings.hidden)
        self.decoder = nn.Linear(2 * settings.hidden, settings.dimension, bias=False)  # B

    def forward(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        states: Tensor = self.cell(dropout(embeddings * self.scale))[0]
        length = states.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=states.device).tril_()
        local = [
            self.attention(states[:, first:end], states[:, :end], earlier[first:end, :end])
            for first, end in ((first, min(first + _ASKING, length)) for first in range(0, length, _ASKING))
        ]
        hidden: Tensor = self.decoder(dropout(torch.cat((states, torch.cat(local, dim=1)), dim=2)))
        return hidden

    def last_state(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """As `Encoder.last_state`; only the newest state asks."""
        states: Tensor = self.cell(embeddings * self.scale)[0]
        place = torch.arange(states.shape[1], device=states.device)
        newest = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        query = states.gather(1, newest)
        local = self.attention(query, states, (place < lengths.unsqueeze(1)).unsqueeze(1))
        hidden: Tensor = self.decoder(torch.cat((query, local), dim=2)).squeeze(1)
        return hidden * (lengths > 0).unsqueeze(1)


class NARM(NeuralRecommender):
    """A GRU and an attention over its states; see `NARMSettings` for its keyword arguments."""

    settings_type: ClassVar[type[TrainingSettings]] = NARMSettings
    settings: NARMSettings

    def _encoder(self, n_items: int) -> Encoder:
        return _Attentive(n_items, self.settings)
