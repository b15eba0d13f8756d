"""Named checks of a contract, and what came of them.

As scikit-learn's `check_estimator`: each check is one promise, with a name to select it by; a suite runs them all, and
each can be a test case of its own (`pytest.mark.parametrize("check", …, ids=str)`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from robust.errors import NotApplicable, RobustError

Subject = TypeVar("Subject")
Status = Literal["held", "broken", "not applicable"]


class NonConformity(AssertionError):
    """A promise that an object of this kind makes is broken."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One promise.

    Attributes:
        name: short and stable. promise: what must hold, as a sentence. run: raises `NonConformity` if it does not, and
            `NotApplicable` where the subject makes no such promise.
    """

    name: str
    promise: str
    run: Callable[[Subject], None]

    def __str__(self) -> str:
        return self.name

    def __call__(self, subject: Subject) -> Outcome:
        """Run it; an error of the subject's own counts as a broken promise."""
        try:
            self.run(subject)
        except NotApplicable as reason:
            return Outcome(self.name, "not applicable", str(reason))
        except (NonConformity, RobustError) as broken:
            return Outcome(self.name, "broken", f"{self.promise} {broken}")
        except Exception as error:  # noqa: BLE001 - the subject is somebody else's code
            return Outcome(self.name, "broken", f"{self.promise} It raised {type(error).__name__}: {error}")
        return Outcome(self.name, "held", self.promise)


@dataclass(frozen=True)
class Outcome:
    """What came of one check."""

    check: str
    status: Status
    message: str


def require(holds: Any, said: str) -> None:
    """Raise `NonConformity` with this explanation unless it holds."""
    if not holds:
        raise NonConformity(said)


def run_suite(checks: Sequence[Check[Subject]], subject: Subject, owner: str, *, raises: bool) -> list[Outcome]:
    """Run all checks.

    Raises:
        NonConformity: with `raises`, the broken promises, all of them.
    """
    outcomes = [check(subject) for check in checks]
    broken = [outcome for outcome in outcomes if outcome.status == "broken"]
    if broken and raises:
        listed = "\n".join(f"  {outcome.check}: {outcome.message}" for outcome in broken)
        raise NonConformity(f"{owner} breaks {len(broken)} of {len(outcomes)} promises:\n{listed}")
    return outcomes
