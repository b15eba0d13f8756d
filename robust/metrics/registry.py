"""Metric keys: `ndcg@10`, `target_hr@10`, `rank_shift`, … and what each of them measures."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from robust.errors import InputError, UnknownName

_METRIC_NAMES = {
    "hr": "HR",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "target_hr": "target HR",
    "coverage": "coverage",
    "novelty": "novelty",
    "gini": "Gini",
    "rank_shift": "rank shift",
    "frbo": "FRBO",
    "jaccard": "Jaccard",
    "auc": "AUC",
    "projected_ndcg": "projected NDCG",
    "projected_target_hr": "projected target HR",
}

BoundKind = Literal["drop", "rise", "level"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: without the list length: `ndcg`. k: the list length, None where there is none.
        kind: the natural bound: quality `drop`s, exposure `rise`s.
        per_user: whether each user has a value, so that an interval over users and a verdict are possible.
        description: one line.
    """

    name: str
    kind: BoundKind
    per_user: bool
    description: str
    needs_k: bool = True
    k: int | None = None

    @property
    def key(self) -> str:
        """As it is written: `ndcg@10`; `ndcg@K` while no length is chosen."""
        return self.name if not self.needs_k else f"{self.name}@{'K' if self.k is None else self.k}"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("hr", "drop", True, "hit ratio: share of users whose true next item is in the top K (= recall@K)"),
        Metric("ndcg", "drop", True, "1/log2(1 + rank) of the true next item, 0 beyond K"),
        Metric("mrr", "drop", True, "1/rank of the true next item, 0 beyond K"),
        Metric("coverage", "drop", False, "share of the catalogue that is in anybody's top K"),
        Metric("novelty", "drop", False, "mean −log2 of the share of users who hold what is listed, in bits"),
        Metric("gini", "rise", False, "how unequally exposure is shared among items: 0 equally, 1 all to one"),
        Metric("target_hr", "rise", True, "share of the targets not held that are in a user's top K (exposure)"),
        Metric("rank_shift", "rise", True, "log2(rank under attack / clean rank) of the true next item", needs_k=False),
        Metric("frbo", "drop", True, "rank-biased overlap of the clean and the attacked top K: 1 equal, 0 disjoint"),
        Metric("jaccard", "drop", True, "items in both the clean and the attacked top K, over items in either"),
    )
}


def metric_name(metric: str) -> str:
    """`ndcg@10` as `NDCG@10`, `target_hr@10` as `target HR@10`; other names with spaces for underscores."""
    name, at, k = metric.partition("@")
    return _METRIC_NAMES.get(name, name.replace("_", " ")) + at + k


def parse_metric(key: str) -> Metric:
    """The metric that a key names.

    Raises:
        UnknownName: no metric has this name; the nearest is suggested with the given list length.
        InputError: the list length is missing, out of place, or not a whole number from 1 up.
    """
    name, at, length = key.strip().partition("@")
    metric = METRICS.get(name)
    if metric is None:
        shown = length if re.fullmatch(r"[1-9]\d*", length) else "10"
        raise UnknownName("metric", key, [m.name if not m.needs_k else f"{m.name}@{shown}" for m in METRICS.values()])
    if not metric.needs_k:
        if at:
            raise InputError(f"The metric '{name}' has no list length: write '{name}', not '{key}'.")
        return metric
    if not re.fullmatch(r"[1-9]\d{0,8}", length):
        raise InputError(f"The metric '{key}' needs a list length from 1 up, such as '{name}@10'.")
    return replace(metric, k=int(length))
