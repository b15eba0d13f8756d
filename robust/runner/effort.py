"""What an attack costs whoever runs it: accounts, rows, days, edits and queries, and what a point of damage takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robust.datasets.filters import is_positional
from robust.log import InteractionLog
from robust.metrics.registry import parse_metric
from robust.runner.records import AttackPrice
from robust.runner.results import MetricResult
from robust.runner.store import Artifact
from robust.threat import Budget

DAY = 86_400
UNBOUNDED = ("rank_shift", "novelty")


def effort(planning: Artifact) -> dict[str, Any]:
    """What a log edit takes, by seed: accounts, rows, and the time from its first row to its last (None: no times)."""
    if "scope" not in planning.note:
        return {}
    arrays = planning.arrays
    add = arrays.get("add", np.zeros((0, 0), np.int32))
    fake = add != 0
    touched = [arrays[name] for name in ("remove", "replace_rows", "move_rows") if name in arrays]
    genuine = len(np.unique(np.concatenate(touched))) if touched else 0
    times = [arrays["times"][fake]] if "times" in arrays else []
    times += [arrays[name] for name in ("insert_times", "move_times") if name in arrays]
    moments = np.concatenate(times) if times else np.zeros(0)
    return {
        "accounts": int(fake.any(axis=1).sum()) if fake.size else 0,
        "rows": int(fake.sum()) + genuine + len(arrays.get("insert_users", ())),
        "span": int(moments.max() - moments.min()) if len(moments) else None,
    }


def price(
    notes: Sequence[Mapping[str, Any]],
    *,
    queries: float,
    budget: Budget,
    metric: str,
    measured: MetricResult,
    kind: str,
    train: InteractionLog,
) -> AttackPrice:
    """The price of one cell.

    Args:
        notes: by seed, with what `effort` said under `effort`. measured: the bounded metric, of this `kind` of bound.
    """
    spent = [note["effort"] for note in notes if note.get("effort")]
    accounts, rows = (float(np.mean([one[name] for one in spent])) if spent else 0.0 for name in ("accounts", "rows"))
    spans = [one["span"] for one in spent if one["span"] is not None]
    days = float(np.mean(spans)) / DAY if spans and not is_positional(train) else None
    damage = None
    if parse_metric(metric).name not in UNBOUNDED and kind != "level":
        lost = measured.clean - measured.attacked
        damage = 100 * (lost if kind == "drop" else -lost)
    done = damage if damage is not None and damage > 0 else None
    return AttackPrice(
        accounts=accounts,
        rows=rows,
        days=days,
        edits=budget.edits,
        queries=queries,
        damage=damage,
        accounts_per_point=accounts / done if done and accounts else None,
        queries_per_point=queries / done if done and queries else None,
    )
