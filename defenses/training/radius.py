"""The unit of ε in training: the item table's own scale, at the step in hand.

With a fixed ε a model escapes by inflating its embeddings; Miyato et al. (ICLR 2017) normalise them for that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robust.perturbation import neighbour_distance

if TYPE_CHECKING:
    from robust.recommenders.objective import Step

SAMPLE = 256
"""Items whose nearest neighbours are measured at each step; the median over them is within a few per cent of all."""


def radius(step: Step, epsilon: float) -> float:
    """ε times the current median distance of an item to its nearest neighbour."""
    some = torch.randint(1, len(step.table), (SAMPLE,), generator=step.generator, device=step.generator.device)
    return epsilon * neighbour_distance(step.table, of=some)
