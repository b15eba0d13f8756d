"""What all defences share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Protocol, runtime_checkable

from robust.frozen import Frozen
from robust.log import InteractionLog
from robust.recommenders.protocols import Capability, Recommender

Stage = Literal["log", "training", "input", "serving"]
"""Where a defence acts: before a fit, in a fit, before a ranking, after it."""

Cost = Literal["negligible", "pass over the log", "longer fit", "several fits", "every query"]
"""What a defence costs its owner, beside quality on clean data, which is measured."""


@runtime_checkable
class SeenThrough(Protocol):
    """A protected recommender that looks otherwise to an attacker who knows its defence."""

    def as_attacker(self, seed: int) -> Recommender:
        """What such an attacker plans on.

        In expectation over the defence's randomness, drawn from the attacker's own seed and never from the one that it
        is served with; straight-through where it has no gradient. What is deployed for callers answers questions as it
        is deployed: there, `attacked.Attacked` keeps apart who only asks and who holds the weights. Two attributes are
        optional: `queries_allowed`, how many answers one caller may ask for, or None; and `with_weights()`, what is
        planned on by who holds the weights and need not ask.
        """
        ...


class Defense(Frozen):
    """Metadata as class variables, parameters as fields.

    Attributes:
        name: the registered name. source: citation. stage: where it acts. weaknesses: what is known to break it.
        assumptions: what must hold for it to help at all. cost: its class of cost.
        needs: what it asks of a recommender.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    stage: ClassVar[Stage]
    weaknesses: ClassVar[str] = ""
    assumptions: ClassVar[str] = ""
    cost: ClassVar[Cost] = "negligible"
    needs: ClassVar[frozenset[Capability]] = frozenset({"lists"})

    @abstractmethod
    def protect(self, recommender: Recommender, *, log: InteractionLog | None = None, seed: int) -> Recommender:
        """The protected recommender; `log` holds the train rows as attacked, for a guard to calibrate on.

        An attack that is planned on the protected recommender sees it as `SeenThrough` says, if it is that.

        Raises:
            NotApplicable: the recommender lacks what this defence needs.
        """

    def check_log(self, log: InteractionLog) -> None:
        """Refuse, before any training, genuine train rows on which these parameters make no sense.

        Raises:
            InputError: what was asked for, and what these rows allow.
        """
