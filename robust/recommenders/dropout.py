"""Inverted dropout at a quarter of the price of `torch.nn.functional.dropout` on a CPU.

One 64-bit random integer serves eight elements: each byte is compared with a threshold. The rate is therefore a
multiple of 1/256 (0.2 becomes 51/256), and the kept elements are rescaled by exactly the share that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEVELS = 256


@dataclass(frozen=True)
class Dropout:
    """Drops elements of a tensor with probability `rate`, drawn from `generator`; a rate of 0 is the identity."""

    rate: float
    generator: torch.Generator | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """A tensor of the same shape, scaled so that its expectation is `values`."""
        threshold = round(self.rate * _LEVELS)
        if threshold == 0:
            return values
        count = values.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64, device=values.device)
        # the whole range of 64 bits: without it, random_() leaves the sign bit, and so every eighth byte, biased
        words.random_(-(2**63), None, generator=self.generator)
        kept = words.view(torch.uint8)[:count].view(values.shape) >= threshold
        return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - threshold))


OFF = Dropout(0.0)
