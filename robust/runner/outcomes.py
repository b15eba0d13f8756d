"""What the steps of a cell left in the store, over the seeds that were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.ranking import Ranking, per_user
from robust.runner.cell import SeedSteps
from robust.runner.effort import effort
from robust.runner.engines import Failure
from robust.runner.store import Store
from robust.seen import Seen


@dataclass
class Measured:
    """A cell's outcomes over the seeds run so far.

    Attributes:
        changed: per seed, of the attack. previous: the clean lists of the seed before, on its targets.
        notes: what the steps noted, of the clean ranking, the fit and the attack.
    """

    seeds: list[int] = field(default_factory=list)
    clean: list[Ranking] = field(default_factory=list)
    attacked: list[Ranking] = field(default_factory=list)
    control: list[Ranking] = field(default_factory=list)
    held: list[NDArray[np.bool_]] = field(default_factory=list)
    previous: list[tuple[int, ...]] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


def _ranking(store: Store, key: str) -> Ranking | None:
    artifact = store.get(key)
    return None if artifact is None else Ranking(**artifact.arrays)


def gather(
    plans: Sequence[tuple[int, SeedSteps]], store: Store, holdings: Seen, failures: Mapping[str, Failure]
) -> tuple[Measured, Failure | None]:
    """Read a cell's outcomes; stops at the first seed that has none, with the reason."""
    measured = Measured()
    for seed, steps in plans:
        for step in (steps.clean, steps.attacked):
            if step.key in failures:
                return measured, failures[step.key]
        clean, attacked = _ranking(store, steps.clean.key), _ranking(store, steps.attacked.key)
        planning = store.get(steps.planning.key)
        if clean is None or attacked is None or planning is None:
            return measured, Failure("error", "an outcome is missing from the store; run the same command again")
        if steps.control is not None and steps.control.key not in failures:
            beside = _ranking(store, steps.control.key)
            if beside is not None:
                measured.control.append(beside)
        measured.seeds.append(seed)
        measured.clean.append(clean)
        measured.attacked.append(attacked)
        measured.held.append(holdings.holds(steps.targets))
        measured.previous.append(steps.previous)
        measured.queries.append(int(planning.note["queries"]))
        measured.changed.append(float(planning.note["changed"]))
        fit = steps.attacked.inputs.get("model")
        asked = steps.planning.inputs.get("model")  # a surrogate, where the attacker had to make one
        from_lists = asked if asked is not None and asked.kind == "extract" else None
        noted = [store.get(step.key) for step in (steps.clean, fit, from_lists) if step is not None]
        said = {k: v for found in (*noted, planning) if found for k, v in found.note.items()}
        measured.notes.append({**said, "effort": effort(planning)})
    return measured, None


def values(metric: str, rankings: Sequence[Ranking], held: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """float [S, n], a per-user metric under each seed; the first targets of a ranking are the seed's own."""
    rows = []
    for ranking, holds in zip(rankings, held, strict=True):
        own = Ranking(ranking.ranks, ranking.target_ranks[:, : holds.shape[1]], ranking.lists)
        rows.append(per_user(metric, own, holds))
    return np.stack(rows)
