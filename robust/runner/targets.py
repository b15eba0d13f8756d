"""Which items were promoted or demoted, by the names that people know them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robust.errors import InputError
from robust.log import InteractionLog
from robust.runner.judging import Assessment
from robust.runner.records import ItemResult, TargetResult
from robust.runner.results import Results

if TYPE_CHECKING:
    from robust.datasets.names import ItemNames


def item_ids(log: InteractionLog) -> list[str]:
    """The raw ids of all items [n_items], as text."""
    return [str(i) for i in (range(1, log.n_items + 1) if log.item_ids is None else log.item_ids.tolist())]


def target_results(
    assessments: Sequence[Assessment], log: InteractionLog, names: ItemNames | None
) -> list[TargetResult]:
    """The targets of every goal, with the seeds that drew them; `log` holds the train rows."""
    drawn: dict[tuple[str, tuple[int, ...]], tuple[dict[str, None], dict[int, None]]] = {}
    for assessment in assessments:
        threat = assessment.cell.threat
        if threat.goal.kind == "degrade" or assessment.judgement is None:
            continue
        for seed in assessment.measured.seeds:
            items = assessment.cell.goal(seed).items
            threats, seeds = drawn.setdefault((threat.goal.label, items), ({}, {}))
            threats[threat.id] = None
            seeds[seed] = None
    ids = item_ids(log) if drawn else []
    return [
        TargetResult(
            goal=goal,
            threats=list(threats),
            seeds=sorted(seeds),
            items=[
                ItemResult(
                    id=ids[item - 1],
                    name=None if names is None else names.of(ids[item - 1]),
                    rows=int(log.popularity[item]),
                )
                for item in items
            ],
        )
        for (goal, items), (threats, seeds) in drawn.items()
    ]


def with_names(results: Results, path: Path) -> Results:
    """Results of an earlier run with the names of its targets from a catalogue.

    Raises:
        InputError: a file that cannot be read, or names none of them; results without targets.
    """
    ids = list(dict.fromkeys(item.id for target in results.targets for item in target.items))
    if not ids:
        raise InputError(f"--names {path}: this run promoted and demoted no items, so there is nothing to name.")
    from robust.datasets.names import read_names

    names: Mapping[str, str] = read_names(path, ids).names
    targets = [
        target.model_copy(
            update={"items": [item.model_copy(update={"name": names.get(item.id, item.name)}) for item in target.items]}
        )
        for target in results.targets
    ]
    return results.model_copy(update={"targets": targets})
