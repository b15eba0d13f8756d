"""What a review asks of the endpoints among its victims, how long that takes, and whether their budgets allow it.

A request takes as long as those by which the endpoint was just opened. Steps wait for their rounds of requests, and for
their turn where there is a `rate`, which all workers share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robust.recommenders.adapters.http.description import Endpoint, account
from robust.recommenders.fingerprint import PROBES
from robust.runner.prepare import Prepared, Request
from robust.runner.rehearsal import Asked, Rehearsal, asks, endpoints_of
from robust.runner.step import Step

SPARE = 1.2
"""How much more than the estimate a budget should hold: tries count too, and an estimate is one."""


@dataclass(frozen=True)
class Asking:
    """One endpoint, and what steps ask of it.

    Attributes:
        opening: sequences by which it was opened. reopening: the same in each worker.
        latency: seconds of one request.
    """

    name: str
    endpoint: Endpoint
    opening: int
    reopening: int
    latency: float
    workers: int
    steps: Sequence[tuple[Step, Asked]]

    @cached_property
    def by_kind(self) -> Counter[str]:
        """Sequences by kind of step."""
        found: Counter[str] = Counter()
        for step, asked in self.steps:
            found[step.kind] += round(asked.sequences)
        found["opening"] = self.opening + self.workers * self.reopening
        return found

    @property
    def sequences(self) -> int:
        """All of them."""
        return sum(self.by_kind.values())

    @property
    def requests(self) -> float:
        """Of the steps."""
        return sum(asked.requests for _, asked in self.steps)

    def waited(self, asked: Asked) -> float:
        """Seconds that a step waits if nobody asks beside it."""
        paced = asked.requests / self.endpoint.rate if self.endpoint.rate else 0.0
        return max(asked.rounds * self.latency, paced)

    @property
    def seconds(self) -> float:
        """That all steps wait, on all workers together."""
        return sum(self.waited(asked) for _, asked in self.steps)

    @property
    def at_least(self) -> float:
        """Seconds that the whole takes at the endpoint's `rate`, however many workers there are; 0 without one."""
        return self.requests / self.endpoint.rate if self.endpoint.rate else 0.0

    def said(self) -> str:
        """How much is asked, and of what."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.by_kind.most_common() if count)
        return (
            f"about {self.sequences:,} sequences of {self.name} in {max(round(self.requests), 1):,} requests ({kinds})"
        )

    def pace(self) -> str:
        """How fast it is asked."""
        asked = self.endpoint
        rate = f", at most {asked.rate:g} requests a second" if asked.rate else ""
        return f"{self.latency:.2g} s a request of up to {asked.asked_at_once}, {asked.concurrency} at once{rate}"

    def shortage(self) -> str | None:
        """What to change if the endpoint's `max_queries` will not suffice; None if it will, or there is none."""
        most = self.endpoint.max_queries
        if most is None or self.sequences <= most:
            return None
        return (
            f"max_queries: {most} in {self.name} will not suffice: about {self.sequences:,} sequences are asked. "
            f"Say max_queries: {_round_up(SPARE * self.sequences)}, or ask less: fewer `users`, `seeds`, budgets or "
            "threats in the scenario. A run that may not ask more keeps what is done, and the next one goes on from "
            "there."
        )


def askings(
    prepared: Prepared, request: Request, rehearsal: Rehearsal | None, steps: Sequence[Step], opened: int
) -> list[Asking]:
    """The endpoints that steps ask.

    Args:
        opened: sequences that were asked of all of them when they were opened (see `asked_in_run`).
    """
    endpoints = endpoints_of(prepared.scenario)
    if rehearsal is None or not endpoints:
        return []
    opening = opened // len(endpoints)
    by_name: dict[str, list[tuple[Step, Asked]]] = {name: [] for name in endpoints}
    for step in steps:
        if (asked := rehearsal.asked(step)).sequences:
            by_name[asks(step)].append((step, asked))
    return [
        Asking(
            name=name,
            endpoint=endpoint,
            opening=opening,
            reopening=max(opening - PROBES, 0),
            latency=account(endpoint, Path(name).parent).seconds_a_request(),
            workers=request.workers,
            steps=by_name[name],
        )
        for name, endpoint in endpoints.items()
    ]


def _round_up(number: float) -> int:
    """To two digits."""
    unit = 10 ** max(len(str(int(number))) - 2, 0)
    return int(-(-number // unit) * unit)
