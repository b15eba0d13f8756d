"""What to do about a broken bound: the defence that helped most in this run, and what it costs in clean quality.

A review that measured the defences' prices has chosen already (`robust.report.price`); one that did not still knows the
best worst case.
"""

from __future__ import annotations

from collections.abc import Sequence

from robust.report.price import choices
from robust.report.quantities import Quantity
from robust.report.rows import Group
from robust.runner.results import Results
from robust.runner.standing import standings


def remedies(results: Results, arranged: Sequence[Group]) -> dict[tuple[int, str], str]:
    """What to do about each threat (by its number) to each victim: the defence that helped most here, and its cost."""
    priced = {(one.number, one.victim): one.sentence for one in choices(results, arranged)}
    said = {}
    for group in arranged:
        for victim in dict.fromkeys(series.victim for series in group.series):
            key = (group.number, victim)
            said[key] = priced.get(key) or _unpriced(results, group, victim)
    return said


def _unpriced(results: Results, group: Group, victim: str) -> str:
    if all(row.cell.defense == "none" for row in group.rows if row.cell.victim == victim):
        return (
            "No defence was measured against this threat: name some under its defenses (robust list defenses tells "
            "which there are) and review again, or lower what the attacker can spend."
        )
    whole = [one for one in standings(results, group.threat.id) if one.victim == victim and not one.missed]
    best = max(whole, key=lambda one: one.merit[1], default=None)
    if best is None:
        return "No defence met every attack of this threat, so that none can be recommended."
    if best.defense == "none":
        own = [one for one in standings(results, group.threat.id) if one.victim == victim]
        if all(one.defense == "none" for one in own):
            return "None of its defences could be measured on this model; the cells behind them say why."
        return "No defence that was measured has a better worst case than none."
    metric = best.cell.metrics[best.cell.bound.metric]
    quantity = Quantity.of(best.cell.bound)
    change = quantity.change(metric.change, quantity.decimals(metric))
    cost = "what it costs on clean data was not measured"
    if best.verdict == "PASS":
        return f"{best.defense} holds the bound in every cell; {cost}."
    return f"No defence is shown to hold the bound. The best worst case is that of {best.defense}: {change}; {cost}."
