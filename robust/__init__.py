"""Robustness and adversarial testing for sequential recommenders.

How much worse does a recommender get when somebody attacks it, and can a bound on that be promised? Four nouns meet
here: a `Recommender`, an `Attack`, a `Defense` and a `Bound`. Importing this package is cheap; torch is imported
when a model needs it.
"""

from __future__ import annotations

from collections.abc import Callable

__version__ = "0.1.0"

when_log_is_imported: list[Callable[[], None]] = []
"""Called at the end of `robust.log`'s import; whoever needs its types need not import numpy to wait for them."""
