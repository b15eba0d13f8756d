"""Robustness and adversarial testing for sequential recommenders.

How much worse does a recommender get when somebody attacks it, and can a bound on that be promised? Four nouns meet
here: a `Recommender`, an `Attack`, a `Defense` and a `Bound`. Importing this package is cheap; torch is imported
when a model needs it.
"""

from __future__ import annotations

__version__ = "0.1.0"
