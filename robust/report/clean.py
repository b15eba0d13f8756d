"""The victims on clean data beside the baselines, and what those say about the log: does order matter here?"""

from __future__ import annotations

from dataclasses import dataclass

from robust.metrics.registry import metric_name
from robust.report.quantities import finite, fixed
from robust.report.text import plural
from robust.runner.results import Results

BASELINE_NAMES = {"markov": "Markov, first order", "popularity": "popularity", "item-knn": "item-kNN"}
_MATTERS = 1.1  # Markov over popularity: below this, knowing the last item hardly helps


@dataclass(frozen=True)
class CleanRow:
    """A model and its metrics in the columns' order; `victim` tells victims from baselines."""

    name: str
    victim: bool
    note: str
    values: list[str]


@dataclass(frozen=True)
class CleanTable:
    """The table with its column headings, and sentences on what it means."""

    columns: list[str]
    rows: list[CleanRow]
    remarks: list[str]


def clean_table(results: Results) -> CleanTable:
    """Victims first, then each baseline once (baselines are the same for all victims of a review)."""
    baselines: dict[str, dict[str, float]] = {}
    for victim in results.victims:
        for name, values in victim.baselines.items():
            baselines.setdefault(name, values)
    keys = list(dict.fromkeys(key for v in results.victims for key in v.metrics))
    keys += [key for values in baselines.values() for key in values if key not in keys]
    keys = list(dict.fromkeys(keys))

    def cells(values: dict[str, float]) -> list[str]:
        return [fixed(values.get(key), 2 if key.startswith("novelty") else 3) for key in keys]

    rows = [
        CleanRow(v.victim, True, plural(len(v.seeds), "seed") if v.seeds else "fixed", cells(v.metrics))
        for v in results.victims
    ]
    rows += [CleanRow(BASELINE_NAMES.get(name, name), False, "baseline", cells(v)) for name, v in baselines.items()]
    return CleanTable([metric_name(key) for key in keys], rows, _remarks(results, baselines))


def _remarks(results: Results, baselines: dict[str, dict[str, float]]) -> list[str]:
    markov, popularity = (baselines.get(name, {}).get("ndcg@10") for name in ("markov", "popularity"))
    if markov is None or popularity is None or len(finite(markov, popularity)) < 2:
        return []
    ratio = f"{markov / popularity:.2g} times" if popularity > 0 else "more than"
    if markov > _MATTERS * popularity:
        remarks = [
            f"Order matters on this log: a model that knows only the last item (Markov, NDCG@10 {markov:.3f}) has "
            f"{ratio} the quality of one that ignores order (popularity, {popularity:.3f})."
        ]
    else:
        remarks = [
            f"Order hardly matters on this log: a model that knows only the last item (Markov, NDCG@10 {markov:.3f}) "
            f"is little better than popularity ({popularity:.3f}), so edits to a history have little to destroy."
        ]
    for victim in results.victims:
        own = victim.metrics.get("ndcg@10")
        if own is not None and own < markov:
            remarks.append(
                f"{victim.victim} (NDCG@10 {own:.3f}) stays below Markov: read its robustness with that in mind, "
                "a model that has learnt little has little to lose."
            )
    return remarks
