"""Where a defence stands: what a victim behind it is worth on clean data, and under the worst attack of a threat.

The worst is taken over everything that a threat tried on it: attacks, budgets, and whether an attack was planned on the
plain victim, the protected one or a surrogate. Of two standings one is *better* if it is at least as good in both
numbers and better in one; those to which no other is better are the Pareto front. An attack that could not be planned
on a defence has not been survived, so who missed one is never on the front, and keeps nobody off it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, Protocol, TypeVar

from robust.runner.results import CellResult, MetricResult, Results, Verdict, worst

QUALITY = "ndcg@10"
"""What a victim is worth on clean data, where a threat bounds exposure and so says nothing of that."""


@dataclass(frozen=True)
class Estimate:
    """A mean over users and seeds, with its one-sided 95% limits where they are known."""

    metric: str
    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Standing:
    """One victim behind one defence (or none) under one threat.

    Attributes:
        clean: quality on clean data. worst: the bounded metric under the worst attack.
        better: whether more or less of `worst` is better. cell: the one that it comes from.
        verdict: the gravest of all cells. cells: all of them.
        missed: attacks of the threat that did not meet this defence knowing it, each with the reason.
    """

    threat: str
    victim: str
    defense: str
    clean: Estimate
    worst: Estimate
    better: Literal["higher", "lower"]
    cell: CellResult
    verdict: Verdict
    cells: tuple[CellResult, ...] = ()
    missed: Mapping[str, str] = field(default_factory=dict)

    @property
    def merit(self) -> tuple[float, float]:
        """Clean quality and worst case, both the greater the better."""
        return self.clean.mean, self.worst.mean if self.better == "higher" else -self.worst.mean


class Ranked(Protocol):
    """What can be on a front: both parts of its merit are the greater the better."""

    @property
    def merit(self) -> tuple[float, float]:
        """Clean quality and worst case."""
        ...

    @property
    def missed(self) -> Mapping[str, str]:
        """Attacks that did not meet it."""
        ...


Member = TypeVar("Member", bound=Ranked)


def attack_name(cell: CellResult) -> str:
    """`pgd`, or `pgd(steps=20)`."""
    shown = ", ".join(f"{key}={value}" for key, value in sorted(cell.attack_parameters.items()))
    return f"{cell.attack}({shown})" if shown else cell.attack


def standings(results: Results, threat: str | None = None) -> list[Standing]:
    """All that a review measured (of one threat), by threat and victim, the best worst case first."""
    plans = {threat["id"]: threat.get("plan", ()) for threat in results.scenario.get("threats", ())}
    groups: dict[tuple[str, str, str], list[CellResult]] = {}
    met: dict[tuple[str, str], dict[str, None]] = {}
    for cell in results.cells:
        if threat not in (None, cell.threat):
            continue
        groups.setdefault((cell.threat, cell.victim, cell.defense), []).append(cell)
        met.setdefault((cell.threat, cell.victim), {})[attack_name(cell)] = None
    found = []
    for (own, victim, _), cells in groups.items():
        standing = _standing(cells, list(met[own, victim]), adaptive="protected" in plans.get(own, ()))
        if standing is not None:
            found.append(standing)
    order = {key: place for place, key in enumerate(met)}
    return sorted(found, key=lambda s: (order[s.threat, s.victim], -s.merit[1], -s.merit[0], s.defense))


def _standing(cells: Sequence[CellResult], attacks: Sequence[str], *, adaptive: bool) -> Standing | None:
    """None where nothing was measured."""
    measured = [cell for cell in cells if _measure(cell) is not None]
    if not measured:
        return None
    bound = measured[0].bound
    better: Literal["higher", "lower"] = "higher" if bound.kind == "drop" else "lower"

    def level(cell: CellResult) -> float:
        return cell.metrics[cell.bound.metric].attacked

    hardest = (min if better == "higher" else max)(measured, key=level)
    quality = bound.metric if bound.kind == "drop" and not bound.metric.startswith("target_hr") else QUALITY
    clean, harmed = hardest.metrics.get(quality), hardest.metrics[bound.metric]
    if clean is None:
        return None
    return Standing(
        threat=hardest.threat,
        victim=hardest.victim,
        defense=hardest.defense,
        clean=Estimate(quality, clean.clean, *(clean.clean_limits or ())),
        worst=Estimate(bound.metric, harmed.attacked, *(harmed.attacked_limits or ())),
        better=better,
        cell=hardest,
        verdict=worst([cell.verdict for cell in cells]),
        cells=tuple(cells),
        missed=dict(_missed(cells, attacks, adaptive=adaptive)),
    )


def _measure(cell: CellResult) -> MetricResult | None:
    """The bounded metric of a cell that counts."""
    metric = cell.metrics.get(cell.bound.metric)
    return metric if metric is not None and isfinite(metric.attacked) else None


def _missed(cells: Sequence[CellResult], attacks: Sequence[str], *, adaptive: bool) -> list[tuple[str, str]]:
    """Attacks that were not measured as planned by somebody who knows the defence."""
    missed = []
    for name in attacks:
        own = [cell for cell in cells if attack_name(cell) == name]
        measured = {cell.planned_on for cell in own if _measure(cell) is not None}
        if not own:
            missed.append((name, "it was kept from this attack (against)"))
        elif own[0].defense == "none":
            if not measured:
                missed.append((name, _why(own)))
        elif not (
            "protected" in measured
            or any(_copied_as_deployed(cell) for cell in own)
            or (adaptive and {cell.planned_on for cell in own} == measured == {"none"})
        ):
            missed.append((name, _why([cell for cell in own if cell.planned_on == "protected"])))
    return missed


def _copied_as_deployed(cell: CellResult) -> bool:
    """Whether it was planned on a faithful copy of what the victim answers behind its defence.

    Who can only ask knows a defence by what it answers, so this is the attacker who knows it.
    """
    faithful = "unfaithful_surrogate" not in {flag.name for flag in cell.flags}
    return cell.surrogate is not None and faithful and _measure(cell) is not None


def _why(cells: Sequence[CellResult]) -> str:
    reasons = [cell.reason for cell in cells if cell.reason and _measure(cell) is None]
    return reasons[0] if reasons else "it was not planned on the protected victim (plan: [protected])"


def front(group: Sequence[Member]) -> list[Member]:
    """Those of one threat and victim to which no other is better; of equals, all."""
    whole = [one for one in group if not one.missed]
    return [one for one in whole if not any(_beats(other.merit, one.merit) for other in whole)]


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a != b and a[0] >= b[0] and a[1] >= b[1]


def protocol(results: Results, threat: str) -> str:
    """A digest of all that two standings must share to be compared: not the defences, nor what the threat is called."""
    from robust.runner.store import content_hash

    stated = next(dict(said) for said in results.scenario["threats"] if said["id"] == threat)
    ignored = {"id", "title", "defenses"} | (set() if "surrogate" in stated["plan"] else {"surrogate"})
    shared: dict[str, Any] = {name: results.scenario[name] for name in ("split", "users", "seeds", "retrain")}
    shared["seen"] = results.dataset.seen
    shared["threat"] = {name: value for name, value in stated.items() if name not in ignored}
    if "surrogate" in ignored:  # an attack may have been planned on a copy that nobody asked for
        told = [cell.surrogate for cell in results.cells if cell.threat == threat and cell.surrogate is not None]
        if copies := sorted({(copied.model, copied.queries) for copied in told}):
            shared["copies"] = copies
    return content_hash(shared)[:16]
