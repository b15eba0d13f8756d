"""The items that were promoted or demoted, in words: `Toy Story (1995) [1]`."""

from __future__ import annotations

from robust.report.text import listed, plural
from robust.runner.records import ItemResult, TargetResult
from robust.runner.results import Results

SHOWN = 10


def target_facts(results: Results) -> list[tuple[str, str]]:
    """A goal, and the items under it, by seed where each seed draws its own."""
    facts: dict[str, list[TargetResult]] = {}
    for target in results.targets:
        facts.setdefault(target.goal, []).append(target)
    return [
        (goal, "; ".join(_drawn(target, alone=len(targets) == 1) for target in targets))
        for goal, targets in facts.items()
    ]


def _drawn(target: TargetResult, *, alone: bool) -> str:
    left = len(target.items) - SHOWN
    said = [item_text(item) for item in target.items[:SHOWN]] + ([plural(left, "other")] if left > 0 else [])
    which = "seed" if len(target.seeds) == 1 else "seeds"
    return listed(said) if alone else f"{which} {listed([str(seed) for seed in target.seeds])}: {listed(said)}"


def item_text(item: ItemResult) -> str:
    """An item's name and id, or its id alone."""
    return f"item {item.id}" if item.name is None else f"{item.name} [{item.id}]"
