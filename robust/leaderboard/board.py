"""Rows as tables: one for each threat on each victim, the best worst case first, with the Pareto front.

Only what met the same threat on the same data stands in one table; see `robust.runner.standing.protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robust.leaderboard.rows import Number, Price, Row, Trial
from robust.metrics.registry import metric_name
from robust.report.console import SHORT
from robust.report.pareto import Spot
from robust.report.quantities import DASH, Quantity, decimals_for, fixed
from robust.report.text import bound_text
from robust.runner.standing import front

PLANNED = {"plain": "oblivious", "protected": "adaptive", "surrogate": "transfer"}


@dataclass(frozen=True)
class Entry:
    """A row in one table."""

    row: Row
    trial: Trial

    @property
    def merit(self) -> tuple[float, float]:
        """Clean quality and worst case, both the greater the better."""
        worst = self.trial.worst.mean
        return self.trial.clean.mean, worst if self.trial.better == "higher" else -worst

    @property
    def missed(self) -> Mapping[str, str]:
        """Attacks of the threat that did not meet this defence knowing it."""
        return self.trial.missed

    @property
    def name(self) -> str:
        """The defence, or that there is none."""
        return "no defence" if self.row.defense == "none" else self.row.defense

    @property
    def worst_by(self) -> str:
        """`substitution(tau=None), 2 edits, adaptive`."""
        by = f"{self.trial.attack}, {self.trial.budget}"
        if self.row.defense == "none" or self.trial.planned_on == "none":
            return by
        return f"{by}, {PLANNED[self.trial.planned_on]}"


@dataclass(frozen=True)
class Table:
    """Who met one threat on one victim, the best worst case first.

    Attributes:
        refused: defences of which this threat's number is not believed, with the reason.
    """

    title: str
    victim: str
    dataset: str
    entries: tuple[Entry, ...]
    refused: Mapping[str, str]

    @property
    def best(self) -> list[Entry]:
        """The Pareto front."""
        return front(self.entries)

    @property
    def spots(self) -> list[Spot]:
        """Where each stands in the picture."""
        best = self.best
        return [
            Spot(
                name=entry.name,
                clean=(entry.trial.clean.mean, entry.trial.clean.low, entry.trial.clean.high),
                worst=(entry.trial.worst.mean, entry.trial.worst.low, entry.trial.worst.high),
                plain=entry.row.defense == "none",
                best=entry in best,
                whole=not entry.missed,
            )
            for entry in self.entries
        ]

    @property
    def priced(self) -> bool:
        """Whether any of them says what it costs."""
        return any(entry.row.price for entry in self.entries)

    @property
    def trial(self) -> Trial:
        """The first one's, for what all share."""
        return self.entries[0].trial

    @property
    def bound(self) -> str:
        """What had to hold."""
        return bound_text(self.trial.bound)

    @property
    def answer(self) -> str:
        """Which of them to ship, and what it costs, in a sentence.

        Of those that hold the bound, met every attack and have an effect, it is the one that is worth most on clean
        data; where there is none, the best worst case is named, and that it is not enough.
        """
        whole = [entry for entry in self.entries if not entry.missed]
        if not whole:
            return "No defence met every attack of this threat."
        passed = [entry for entry in whole if entry.trial.verdict == "PASS"]
        held = [entry for entry in passed if "no_effect" not in entry.trial.flags]
        worst = metric_name(self.trial.worst.metric)
        if any(entry.row.defense == "none" for entry in passed):
            return "The bound holds without a defence."
        best = max(held, key=lambda entry: entry.merit[0]) if held else whole[0]
        left = f"{number(best.trial.worst)} of {worst} under its worst attack"
        plain = next((entry for entry in whole if entry.row.defense == "none"), None)
        if plain is not None and plain is not best:
            left += f", {number(plain.trial.worst, limits=False)} without a defence"
        cost = priced(best.row.price)
        if held:
            return f"{best.name}: it holds the bound, with {left}; the price: {cost or 'not measured'}."
        if best is plain:
            return f"None is shown to hold the bound, and none has a better worst case than no defence: {left}."
        return f"None is shown to hold the bound. The best is {best.name}: {left}; the price: {cost or 'not measured'}."

    @property
    def noted(self) -> dict[str, list[str]]:
        """What a review noticed without a reason to refuse the number, and of whom."""
        flags = sorted({flag for entry in self.entries for flag in entry.trial.flags})
        return {
            flag.replace("_", " "): [entry.name for entry in self.entries if flag in entry.trial.flags]
            for flag in flags
        }

    @property
    def mixed(self) -> list[str]:
        """Packages whose versions differ between the rows, `torch: 2.2, 2.4`: then compare with care."""
        names = sorted({name for entry in self.entries for name in entry.row.versions})
        found = {name: sorted({entry.row.versions.get(name, "absent") for entry in self.entries}) for name in names}
        return [f"{name}: {', '.join(versions)}" for name, versions in found.items() if len(versions) > 1]


def tables(rows: Sequence[Row]) -> list[Table]:
    """All tables, by data set, victim and threat."""
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for row in rows:
        for trial in row.trials:
            groups.setdefault((row.data, row.victim, trial.protocol), []).append(Entry(row, trial))
    found = []
    for (data, victim, _), entries in groups.items():
        entries.sort(key=lambda entry: (-entry.merit[1], -entry.merit[0], entry.row.defense))
        first = entries[0]
        refused = {
            Entry(row, first.trial).name: row.refused[first.trial.threat]
            for row in rows
            if (row.data, row.victim) == (data, victim) and first.trial.threat in row.refused
        }
        found.append(Table(first.trial.title, victim, first.row.dataset, tuple(entries), refused))
    return sorted(found, key=lambda table: (table.dataset, table.victim, table.title))


def number(value: Number, *, limits: bool = True) -> str:
    """`0.52 (0.49…0.55)`, to the decimals that its limits support."""
    decimals = decimals_for(abs(value.high - value.low) / 2)
    ends = f" ({fixed(value.low, decimals)}…{fixed(value.high, decimals)})" if limits else ""
    return f"{fixed(value.mean, decimals)}{ends}"


def change(trial: Trial) -> str:
    """`32% (28…36)`, or in percentage points."""
    quantity = Quantity.of(trial.bound)
    wide = trial.change_low is not None and trial.change_high is not None
    half = abs((trial.change_high or 0) - (trial.change_low or 0)) / 2 * quantity.scale
    decimals = decimals_for(half, most=2) if wide else 1
    ends = quantity.interval(trial.change_low, trial.change_high, decimals)
    return quantity.change(trial.change, decimals) + (f" ({ends})" if ends else "")


def printable(table: Table, *, roomy: bool = True) -> list[dict[str, str]]:
    """One mapping for each entry, in the words of a terminal; `*` is the front, `†` met fewer attacks.

    Args:
        roomy: whether there is room for the limits of clean quality.
    """
    best = table.best
    rows = []
    for entry in table.entries:
        trial = entry.trial
        row = {
            "": ("*" if entry in best else "") + ("†" if entry.missed else ""),
            "defence": entry.name,
            "clean": number(trial.clean, limits=roomy),
            "worst case": number(trial.worst),
            "by": entry.worst_by.replace(trial.attack, trial.attack.partition("(")[0], 1),
            "verdict": SHORT[trial.verdict],
        }
        if table.priced:
            lost = priced(entry.row.price).partition("% of clean")[0]
            row["lost"] = f"{lost}%" if lost and entry.row.price and entry.row.price.ndcg is not None else DASH
        rows.append(row)
    return rows


def priced(price: Price | None) -> str:
    """What a defence costs, in words: `2.1% of clean NDCG@10 (0.4…3.8), fit ×3.1, removes 3%`."""
    if price is None:
        return ""
    said = []
    if price.ndcg is not None:
        wide = price.ndcg_low is not None and price.ndcg_high is not None
        decimals = decimals_for(50 * abs((price.ndcg_high or 0) - (price.ndcg_low or 0)), most=2) if wide else 1
        ends = f" ({fixed(100 * (price.ndcg_low or 0), decimals)}…{fixed(100 * (price.ndcg_high or 0), decimals)})"
        said.append(f"{fixed(100 * price.ndcg, decimals)}% of clean NDCG@10{ends if wide else ''}")
    times = (("fit", price.fit), ("ranking", price.ranking), ("model", price.model))
    said += [f"{what} ×{value:.2g}" for what, value in times if value is not None and abs(value - 1) >= 0.05]
    if price.removed:
        said.append(f"removes {price.removed:.1%} of the genuine users")
    return ", ".join(said)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One mapping for each entry of each table: everything in it, its place, and whether it is on the front."""
    found = []
    for table in tables(rows):
        best = table.best
        for place, entry in enumerate(table.entries, 1):
            whole = entry.row.model_dump(mode="json", by_alias=True, exclude={"trials", "refused"})
            found.append(
                {
                    "place": place,
                    "front": entry in best,
                    "file": entry.row.file_name,
                    **entry.trial.model_dump(mode="json"),
                    **whole,
                }
            )
    return found
