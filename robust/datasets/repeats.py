"""Do users come back to the same items? It decides whether seen items are ranked."""

from __future__ import annotations

from typing import Literal

import numpy as np

from robust.log import InteractionLog

Seen = Literal["keep", "exclude"]
FEW = 0.01


def repeat_share(train: InteractionLog) -> float:
    """The share of rows whose item the same user had before; 0 for a log without rows."""
    if not len(train):
        return 0.0
    pairs = np.sort(train.user.astype(np.int64) * (train.n_items + 1) + train.item)
    return float(np.count_nonzero(pairs[1:] == pairs[:-1]) / len(train))


def default_seen(train: InteractionLog) -> Seen:
    """Seen items are excluded from ranking where fewer than 1% of the train rows are repeats, and kept elsewhere."""
    return "exclude" if repeat_share(train) < FEW else "keep"
