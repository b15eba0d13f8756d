"""The pytest plugin, first form: two fixtures. Nothing heavy is imported until a test asks for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robust.log import InteractionLog

__all__ = ["assert_bounded_degradation", "interaction_log"]


@pytest.fixture(scope="session")
def interaction_log() -> InteractionLog:
    """The embedded log (`flights`): real, ordered, and small. Override it in your conftest with your own."""
    from robust.datasets import load_dataset

    return load_dataset("flights")


@pytest.fixture
def assert_bounded_degradation() -> Callable[..., Any]:
    """`robust.bounds.assert_bounded_degradation`, imported when a test first asks for it."""
    from robust import bounds

    return bounds.assert_bounded_degradation
