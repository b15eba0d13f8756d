"""What stands beside the cells in `results.json`: what defences and attacks cost, and what sanitisers saw."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Refuses unknown fields, so that a reader notices a newer schema."""

    model_config = ConfigDict(extra="forbid")


class ItemResult(Record):
    """An item: its raw id, its name where a catalogue gave one, and its train rows."""

    id: str
    name: str | None = None
    rows: int = 0


class TargetResult(Record):
    """The items that one goal promoted or demoted under these seeds, and the threats that pursue it."""

    goal: str
    threats: list[str]
    seeds: list[int]
    items: list[ItemResult]


class AttackPrice(Record):
    """What an attack cost whoever ran it, mean over seeds.

    Attributes:
        accounts: fake users. rows: rows of theirs, and genuine rows touched. days: from the first of these rows to the
            last; None where the log has no times, or nothing was put into it.
        edits: allowed per sequence. queries: lists asked of the victim, by the whole attack.
        damage: in points, hundredths of the bounded metric: NDCG lost, exposure gained. None for a metric that is no
            share of 1.
        accounts_per_point, queries_per_point: None where none were spent, or no damage was done.
    """

    accounts: float = 0.0
    rows: float = 0.0
    days: float | None = None
    edits: int | None = None
    queries: float = 0.0
    damage: float | None = None
    accounts_per_point: float | None = None
    queries_per_point: float | None = None


class QualityPrice(Record):
    """A metric on clean data without a defence and behind it, on the same users under the same seeds.

    Attributes:
        plain, protected: means. change: relative, positive = lost. low, high: its one-sided 95% limits, each; None
            where seeds are too few, or the plain mean cannot be told from 0.
    """

    plain: float
    protected: float
    change: float
    low: float | None = None
    high: float | None = None


class QualityGroup(Record):
    """The same for some of the users, by metric."""

    group: str
    users: int
    metrics: dict[str, QualityPrice]


class Rate(Record):
    """A share of these users, mean over seeds, with one-sided 95% limits, each, where seeds are enough to tell."""

    group: str
    users: int
    share: float
    low: float | None = None
    high: float | None = None


class DefenseResult(Record):
    """What a defence costs its owner, on clean data: one victim behind one defence.

    Both are fitted alike: where the one is trained further from the clean checkpoint, so is the other.

    Attributes:
        stage: where it acts. cost: its stated class of cost. seeds, n_users: measured on.
        metrics: by name (ndcg@10, hr@10). by_activity: quarters of the users, by train rows; by_popularity: by the true
            next item, from those items that hold the first third of the train rows (head) to the last (tail).
        removed: genuine users without whose rows a sanitiser had the model fitted to the clean log: all, then by decile
            of activity. Empty for other defences.
        model_bytes: arrays of the fitted model, `plain` and `protected`, where it can be stored.
        timing: medians over seeds on this machine, where they were measured: `fit_plain`, `fit_protected` (seconds),
            `fit_ratio` (absent where both arms share one fit); `rank_plain`, `rank_protected` (seconds per 1,000
            users), `rank_ratio`; and `memory_plain`, `memory_protected`, the most that the whole process held in a fit
            (bytes, an upper bound; the least over seeds).
    """

    victim: str
    defense: str
    stage: Literal["log", "training", "input", "serving"]
    cost: str
    seeds: list[int]
    n_users: int
    metrics: dict[str, QualityPrice]
    by_activity: list[QualityGroup] = Field(default_factory=list)
    by_popularity: list[QualityGroup] = Field(default_factory=list)
    removed: list[Rate] = Field(default_factory=list)
    model_bytes: dict[str, int] = Field(default_factory=dict)
    timing: dict[str, float] = Field(default_factory=dict)


class RocPoint(Record):
    """A place on an ROC curve, mean over seeds."""

    fpr: float
    tpr: float


class Confusion(Record):
    """Users by what they are and what the sanitiser said, mean over seeds."""

    fake_flagged: float
    fake_kept: float
    genuine_flagged: float
    genuine_kept: float


class HarmLeft(Record):
    """What an attack still does behind a sanitiser.

    Attributes:
        plain, protected: the change of the bounded metric without the sanitiser and behind it, as its cells state it.
        left: the second over the first; None where the first is not shown to be above 0.
    """

    victim: str
    metric: str
    plain: float
    protected: float
    left: float | None = None


class DetectionResult(Record):
    """What a sanitiser saw of one attack: it was given the poisoned log and never told who is fake.

    Attributes:
        cells: the cells that this belongs to. auc: mean over seeds; its limits are one-sided 95%, each.
        tpr_at_1: share of fake users caught where at most 1% of the genuine ones are accused.
        roc: the curve, averaged over seeds at fixed false positive rates.
        false_positives: genuine users flagged: all, then by decile of activity.
    """

    threat: str
    defense: str
    attack: str
    budget: str
    planned_on: Literal["plain", "protected", "surrogate", "none"]
    cells: list[str]
    seeds: list[int]
    auc: float
    auc_low: float | None = None
    auc_high: float | None = None
    auc_by_seed: list[float]
    tpr_at_1: float
    roc: list[RocPoint]
    confusion: Confusion
    false_positives: list[Rate]
    left: list[HarmLeft] = Field(default_factory=list)
