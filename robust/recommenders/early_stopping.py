"""When a fit stops, and which of its weights stay: NDCG@10 on held-out last items."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.recommenders.alignment import align_left
from robust.recommenders.encoder import Encoder
from robust.recommenders.windows import Holdout

_FEWEST_USERS = 20
_BATCH = 256


class EarlyStopping:
    """Watches NDCG@10 on held-out last items, ranked among all items, and keeps the best weights for `restore`."""

    def __init__(self, encoder: Encoder, held: Holdout, patience: int, context: int) -> None:
        self.encoder, self.patience, self.context = encoder, patience, context
        self.sequences = held.train.sequences(context, held.users)
        self.targets = torch.from_numpy(held.targets.astype(np.int64)).to(encoder.table.device)
        self.enough_users = len(held.users) >= _FEWEST_USERS
        self.best, self.last = torch.full((len(held.users),), -1.0), torch.zeros(0)
        self.stale, self.note = 0, ""
        self.weights: dict[str, Tensor] | None = None

    def is_over(self) -> bool:
        """Validate once; whether patience has run out."""
        self.last = self.ndcg()
        self.note = f"validation NDCG@10 {self.last.mean():.3f}"
        if self.last.mean() > self.best.mean():
            self.best, self.stale = self.last, 0
            self.weights = copy.deepcopy(self.encoder.state_dict())
        else:
            self.stale += 1
        return self.stale >= self.patience

    @torch.no_grad()
    def ndcg(self) -> Tensor:
        """[V], NDCG@10 of each held-out item; ties count against the model."""
        gains = []
        for start in range(0, len(self.targets), _BATCH):
            items = self.sequences.items[start : start + _BATCH]
            columns, lengths = align_left(items, self.context)
            aligned = torch.from_numpy(np.take_along_axis(items, columns, axis=1).astype(np.int64)).to(
                self.targets.device
            )
            length = torch.from_numpy(lengths).to(self.targets.device)
            hidden = self.encoder.last_state(F.embedding(aligned, self.encoder.table), length)
            scores = hidden @ self.encoder.table[1:].T
            target = scores.gather(1, self.targets[start : start + _BATCH].unsqueeze(1) - 1)
            rank = (scores >= target).sum(dim=1)  # from 1: the target itself is counted
            gains.append(torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), torch.zeros(())))
        return torch.cat(gains).cpu()

    def restore(self) -> None:
        """Put the best weights back, unless the last are as good within one standard error of the paired difference.

        The best of twenty noisy measures is partly luck, and the learning rate has fallen for the last ones: on ml-1m
        the plain maximum, found halfway, cost a tenth of NDCG@10. (Breiman et al. 1984, section 3.4.3: the 1-SE rule.)
        """
        if self.weights is None:
            return
        lost = self.best - self.last
        if lost.mean() > lost.std() / len(lost) ** 0.5:
            self.encoder.load_state_dict(self.weights)
