"""What can go wrong, and who has to mend it.

Every message says what was given, what was expected, and how to mend it. The command line turns these into exit
codes: `InputError` is the user's to mend (2); `ModelFault` and `BudgetExceeded` make one cell an ERROR (3);
`NotApplicable` makes it NOT_APPLICABLE; `NotKnown` is an attack that reached beyond its knowledge.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RobustError(Exception):
    """Base of all errors that this package raises on purpose."""


class InputError(RobustError):
    """Something that the user gave cannot be used: a file, a name, an option, a scenario."""


class UnknownName(InputError):
    """A name that does not exist, with the nearest that does."""

    def __init__(self, what: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
        meant = f" Did you mean '{near[0]}'?" if near else ""
        super().__init__(f"There is no {what} '{given}'.{meant} Known: {', '.join(names) or 'none'}.")
        self.given, self.suggestion = given, near[0] if near else None


class ModelFault(RobustError):
    """The recommender under test misbehaved while it was asked: it raised, or returned NaN or a wrong shape."""


class EndpointFault(ModelFault):
    """A model that somebody else runs did not answer, or wrongly: unlike a model at hand, it may do better later."""


class BudgetExceeded(RobustError):
    """An attack spent more than it was granted; its cell is an ERROR, never a result."""

    def __init__(self, attack: str, limit: str, allowed: object, spent: object) -> None:
        super().__init__(f"Attack '{attack}' exceeded its budget: {limit} {spent}, allowed {allowed}.")
        self.attack, self.limit, self.allowed, self.spent = attack, limit, allowed, spent


class NotKnown(RobustError):
    """An attack asked for something that its `Knowledge` does not grant."""


class NotApplicable(RobustError):
    """A threat that cannot be measured on this recommender or log, with the reason."""
