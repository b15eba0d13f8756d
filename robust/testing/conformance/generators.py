"""The global generators of numpy, torch and `random`: nothing that is tested may draw from them, or depend on them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from robust.testing.conformance.base import require


def global_state() -> tuple[Any, ...]:
    """Where they stand, as something that can be compared."""
    import torch

    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - to see whether anybody draws from it
    return (kind, np.asarray(keys).tobytes(), *rest, torch.get_rng_state().numpy().tobytes(), random.getstate())


@contextmanager
def moved_generators(seed: int) -> Iterator[None]:
    """In this block they stand elsewhere, and are put back: what follows from a seed does not notice."""
    import torch

    before = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
    torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
    random.setstate(random.Random(seed).getstate())
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        torch.set_rng_state(before[1])
        random.setstate(before[2])


@contextmanager
def untouched_generators(when: str) -> Iterator[None]:
    """Nothing in this block draws from one, or seeds one.

    Raises:
        NonConformity: something does.
    """
    with moved_generators(0xA11):
        before = global_state()
        yield
        require(before == global_state(), f"It draws from, or seeds, a global generator {when}.")
