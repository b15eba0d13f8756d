"""Climbing by Hypothesis, for searches rather than tests: nothing is asserted, stored or printed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, currently_in_test_context, given, seed, settings, target
from hypothesis import strategies as st

Drawn = TypeVar("Drawn")


def climb(
    strategy: st.SearchStrategy[Drawn], score: Callable[[Drawn], float], examples: int, rng: np.random.Generator
) -> None:
    """Draw at most so many examples, going on from those that score highest (`hypothesis.target`).

    Works inside a test that is itself run by Hypothesis: the search then has a thread of its own, since a test within
    a test would be refused there.
    """

    number = int(rng.integers(2**63))

    def search() -> None:
        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.target],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def example(drawn: Drawn) -> None:
            target(score(drawn))

        example()

    if examples < 1:
        return
    if currently_in_test_context():
        with ThreadPoolExecutor(1) as thread:
            thread.submit(search).result()
    else:
        search()
