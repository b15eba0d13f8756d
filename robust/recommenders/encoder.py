"""What a neural victim is inside: an item table and a sequence model over embedded items.

Outside, sequences are padded on the left, so that the newest item stands last. Inside, they are aligned to the left
and padding follows: a causal mask then hides it, and a recurrent cell starts at the first item.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from robust.recommenders.dropout import OFF, Dropout
from robust.recommenders.task import Task, next_items
from robust.recommenders.windows import Batch

_TABLE_SPREAD = 0.02
# numbers in a tensor of states that replacements are run through: 2 MB of float32; fewer cost calls, more cost cache
_CPU_CHUNK = 524_288
_GPU_CHUNK = 64_000_000


class Encoder(nn.Module):
    """A sequence model: from embedded items to one hidden state per position.

    It has no dropout modules and no training mode: dropout is handed in, so that whoever calls decides, and owns the
    randomness. Scores are the dot products of a state with the item table, which is tied.

    Attributes:
        table: [n_items + 1, D]; row 0 is padding and stays zero.
        tables: the names of the parameters that are looked up, not multiplied with.
    """

    table: nn.Parameter
    tables: ClassVar[frozenset[str]] = frozenset({"table"})

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all parameters from this generator: tables normal, matrices by Glorot's rule, biases 0, norms 1.

        Glorot and Bengio 2010, equation 16: uniform, with a bound of sqrt(6 / (inputs + outputs)).
        """
        norms = {id(module.weight) for module in self.modules() if isinstance(module, nn.LayerNorm)}
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name in self.tables:
                    parameter.normal_(0.0, _TABLE_SPREAD, generator=generator)
                elif parameter.ndim == 2:
                    bound = math.sqrt(6 / sum(parameter.shape))
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.fill_(1.0 if id(parameter) in norms else 0.0)
            self.table[0] = 0.0

    def forward(self, embeddings: Tensor, lengths: Tensor, dropout: Dropout) -> Tensor:
        """[B, L, D] from embeddings [B, L, D] aligned to the left and lengths int64 [B].

        State t depends on items 0…t only; states beyond a row's length mean nothing.
        """
        raise NotImplementedError

    def last_state(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """[B, D], the state after the newest item, without dropout; zero where a row is empty."""
        hidden: Tensor = self(embeddings, lengths, OFF)
        newest = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
        return hidden.gather(1, newest).squeeze(1) * (lengths > 0).unsqueeze(1)

    def task(self, batch: Batch, generator: torch.Generator) -> Task:
        """What a training step shows and asks: here the next item at every position, and nothing is drawn."""
        return next_items(self, batch, self.table.device)

    def replaced_last_states(self, embeddings: Tensor, position: int, candidates: Tensor) -> Tensor:
        """[m, D], the last states of one sequence whose embedding at `position` is each of the candidates; no dropout.

        An encoder that can leave out what a replacement does not change overrides this; it must agree within rounding.

        Args:
            embeddings: [L, D], without padding. position: 0…L − 1; 0 = the oldest. candidates: [m, D].
        """
        length = torch.full((len(candidates),), len(embeddings), device=embeddings.device)
        states = []
        for part in chunks(candidates, embeddings.numel()):
            edited = embeddings.expand(len(part), -1, -1).clone()
            edited[:, position] = part
            states.append(self.last_state(edited, length[: len(part)]))
        return torch.cat(states)


def chunks(rows: Tensor, numbers: int) -> Iterator[Tensor]:
    """Consecutive parts of `rows`, each row of which makes so many numbers on its way; what a part makes is bounded."""
    size = max((_GPU_CHUNK if rows.is_cuda else _CPU_CHUNK) // max(numbers, 1), 16)
    for start in range(0, max(len(rows), 1), size):
        yield rows[start : start + size]
