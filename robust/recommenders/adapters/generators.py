"""Libraries that draw from the global generators, kept from moving them for anybody else."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def restored(seed: int | None = None) -> Iterator[None]:
    """Seed Python's, numpy's and torch's global generators, if asked, and set them back; warnings are hidden."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    if seed is not None:  # these libraries know no others
        random.seed(seed)  # noqa: TID251
        np.random.seed(seed % 2**32)  # noqa: NPY002, TID251
        torch.manual_seed(seed)  # noqa: TID251
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
