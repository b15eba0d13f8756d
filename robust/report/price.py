"""What a defence is worth and what it costs, arranged for reading: a table per threat and victim, and a sentence.

The sentence goes by the worst case over all attacks, budgets and plans. A defence that an attack of the threat did not
meet, planned by somebody who knows it, has not survived that attack, and is never the one to ship.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from robust.metrics.registry import metric_name
from robust.report.quantities import DASH, NBSP, Quantity, decimals_for, duration, finite, fixed
from robust.report.rows import Group, Row
from robust.report.text import listed
from robust.runner.records import AttackPrice, DefenseResult, QualityPrice, Rate
from robust.runner.results import CellResult, Results, Verdict
from robust.runner.standing import Standing, standings

QUALITY = ("ndcg@10", "hr@10")
MEGABYTE = 1e6


@dataclass(frozen=True)
class Choice:
    """One defence (or none) under one threat, in words; a dash where nothing was measured.

    Attributes:
        row: the worst cell. verdict: the gravest of all cells. lost: of each metric in `QUALITY`, on clean data.
        training, serving: (ratio, seconds). missed: attacks that it did not meet, with the reason.
        best: whether it is the one to ship, or has the best worst case where none holds the bound.
        free: whether the first of `lost` cannot be told from 0.
    """

    defense: str
    row: Row
    verdict: Verdict
    lost: tuple[str, ...]
    removed: str
    training: tuple[str, str]
    serving: tuple[str, str]
    missed: tuple[str, ...] = ()
    best: bool = False
    free: bool = False

    @property
    def name(self) -> str:
        """`no defence`, or its name."""
        return "no defence" if self.defense == "none" else self.defense

    @property
    def worst(self) -> str:
        """`+3.4 pp (1.1…5.7)`."""
        figures = self.row.figures
        return f"{figures.change} ({figures.interval})" if figures.interval else figures.change


@dataclass(frozen=True)
class Choices:
    """The defences of one victim under one threat, no defence first, then the best worst case first."""

    number: int
    threat: str
    victim: str
    bound: str
    heading: str
    sentence: str
    rows: list[Choice]


def choices(results: Results, arranged: Sequence[Group]) -> list[Choices]:
    """A table for each threat and victim with a defence whose price is known; none for results without prices."""
    if not results.defenses:
        return []
    prices = {(price.victim, price.defense): price for price in results.defenses}
    found = []
    for group in arranged:
        rows = {row.cell.id: row for row in group.rows}
        for victim, members in groupby(standings(results, group.threat.id), key=lambda standing: standing.victim):
            together = list(members)
            if not any((victim, one.defense) in prices for one in together):
                continue
            best = _best(together)
            own = [
                _choice(one, rows[one.cell.id], prices.get((victim, one.defense)), best=one is best)
                for one in sorted(together, key=lambda one: one.defense != "none")
            ]
            sentence = _sentence(own, best)
            found.append(Choices(group.number, group.threat.title, victim, group.bound, group.heading, sentence, own))
    return found


def _best(together: Sequence[Standing]) -> Standing | None:
    """Of those that hold the bound the one that is worth most on clean data; else the best worst case."""
    whole = [one for one in together if not one.missed]
    held = [one for one in whole if one.verdict == "PASS"]
    if held:
        return max(held, key=lambda one: (one.defense == "none", one.merit[0]))
    return max(whole, key=lambda one: one.merit[::-1], default=None)


def _sentence(rows: Sequence[Choice], best: Standing | None) -> str:
    left = [row.name for row in rows if row.missed]
    tail = f" Not every attack was met by {listed(left)}, so that nothing is known of its worst case." if left else ""
    if len(left) > 1:
        tail = tail.replace("its worst case", "their worst cases")
    if best is None:
        return f"No defence met every attack of this threat.{tail}"
    chosen = next(row for row in rows if row.best)
    if best.defense == "none" and best.verdict != "PASS" and len(left) == len(rows) - 1:
        return f"Nothing can be recommended.{tail}"
    if best.defense == "none":
        held = "the bound holds without a defence" if best.verdict == "PASS" else "no defence has a better worst case"
        return f"Nothing here is worth shipping: {held}.{tail}"
    if best.verdict == "PASS":
        return f"Ship {chosen.name}: it holds the bound in every cell, {_cost(chosen)}.{tail}"
    return (
        f"No defence is shown to hold the bound. The best worst case is that of {chosen.name}: {chosen.worst}, "
        f"{_cost(chosen)}.{tail}"
    )


def _cost(choice: Choice) -> str:
    name, figure = metric_name(QUALITY[0]), choice.lost[0]
    if figure == DASH:
        return "at a cost that was not measured"
    if choice.free:
        return f"at a cost on clean data that cannot be told from none: {figure} of {name}"
    return f"at the cost of {figure} of {name} on clean data"


def _choice(standing: Standing, row: Row, price: DefenseResult | None, *, best: bool) -> Choice:
    missed = tuple(f"{name}: {why}" for name, why in standing.missed.items())
    if price is None:
        blank = (DASH, "")
        return Choice(standing.defense, row, standing.verdict, (DASH, DASH), DASH, blank, blank, missed, best)
    timing = price.timing
    return Choice(
        defense=standing.defense,
        row=row,
        verdict=standing.verdict,
        lost=tuple(lost(price.metrics.get(name)) for name in QUALITY),
        removed=percent(price.removed[0].share) if price.removed else DASH,
        training=_times(timing.get("fit_ratio"), timing.get("fit_protected"), ""),
        serving=_times(timing.get("rank_ratio"), timing.get("rank_protected"), " per 1,000"),
        missed=missed,
        best=best,
        free=_free(price.metrics.get(QUALITY[0])),
    )


def _free(price: QualityPrice | None) -> bool:
    return price is not None and price.low is not None and price.high is not None and price.low <= 0 <= price.high


def lost(price: QualityPrice | None) -> str:
    """`3.5% (−1.1…7.9)`, positive = lost; a dash where it was not measured."""
    if price is None or not finite(price.change):
        return DASH
    ends = finite(price.low, price.high)
    decimals = decimals_for(100 * (ends[1] - ends[0]) / 2, most=2) if len(ends) == 2 else 1
    quantity = Quantity(100.0, "%")
    interval = quantity.interval(price.low, price.high, decimals)
    change = quantity.change(price.change, decimals)
    return f"{change} ({interval})" if interval else change


def percent(share: float) -> str:
    """`3.0%`; more decimals for less than a percent."""
    return f"{fixed(100 * share, 1 if share >= 0.01 or share == 0 else 2)}%"


def _times(ratio: float | None, seconds: float | None, unit: str) -> tuple[str, str]:
    """(`×3.4`, `13 s`); ×1 where both arms share one fit."""
    if seconds is None:
        return DASH, ""
    told = "×1" if ratio is None else f"×{ratio:.1f}" if ratio < 9.95 else f"×{ratio:,.0f}"
    return told, duration(seconds) + unit


@dataclass(frozen=True)
class Part:
    """A line of a defence's price: some users, what they lose, and (where a sanitiser removes some) how many."""

    name: str
    users: str
    levels: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Bill:
    """The price of one defence in full.

    Attributes:
        parts: all users, by activity, by popularity of the true next item. removed: by activity. facts: memory, size.
    """

    victim: str
    defense: str
    parts: list[Part]
    removed: list[Rate]
    facts: list[str] = field(default_factory=list)


def bills(results: Results) -> list[Bill]:
    """One for each victim behind each defence."""
    return [_bill(price) for price in results.defenses]


def _bill(price: DefenseResult) -> Bill:
    parts = [_part("all", price.n_users, price.metrics)]
    parts += [_part(f"users with {one.group}", one.users, one.metrics) for one in price.by_activity]
    parts += [_part(f"next item in the {one.group}", one.users, one.metrics) for one in price.by_popularity]
    facts = []
    for name, said in (("plain", "without it"), ("protected", "behind it")):
        peak, size = price.timing.get(f"memory_{name}"), price.model_bytes.get(name)
        if peak is not None:
            facts.append(f"peak memory of the process in a fit {said}: {_bytes(peak)}")
        if size is not None:
            facts.append(f"model {said}: {_bytes(size)}")
    return Bill(price.victim, price.defense, parts, price.removed, sorted(facts))


def _part(name: str, users: int, metrics: dict[str, QualityPrice]) -> Part:
    levels = tuple(
        f"{fixed(own.plain, 3)} → {fixed(own.protected, 3)}" if own else DASH for own in map(metrics.get, QUALITY)
    )
    return Part(name, f"{users:,}", levels, tuple(lost(metrics.get(metric)) for metric in QUALITY))


def _bytes(count: float) -> str:
    return f"{fixed(count / MEGABYTE, 0 if count >= 10 * MEGABYTE else 1)}{NBSP}MB"


@dataclass(frozen=True)
class Spent:
    """What an attack cost, in words, dashes where it spent none of that."""

    row: Row
    accounts: str
    days: str
    rows: str
    edits: str
    queries: str
    damage: str
    per_point: str


def spendings(rows: Sequence[Row]) -> list[Spent]:
    """The cells whose price to the attacker is known."""
    return [_spent(row, row.cell.price) for row in rows if row.cell.price is not None]


def _spent(row: Row, price: AttackPrice) -> Spent:
    return Spent(
        row=row,
        accounts=_count(price.accounts),
        days=DASH if price.days is None else fixed(price.days, 1),
        rows=_count(price.rows),
        edits=DASH if price.edits is None else f"{price.edits}",
        queries=_count(price.queries),
        damage=DASH if price.damage is None else f"{fixed(price.damage, 1, signed=True)} {_unit(row.cell)}",
        per_point=_per_point(price),
    )


def _unit(cell: CellResult) -> str:
    return f"points of {metric_name(cell.bound.metric)}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number else DASH


def _per_point(price: AttackPrice) -> str:
    told = []
    for number, noun in ((price.accounts_per_point, "accounts"), (price.queries_per_point, "queries")):
        if number is not None and finite(number):
            told.append(f"{fixed(number, 1 if number < 10 else 0)} {noun}")
    return listed(told) or DASH
