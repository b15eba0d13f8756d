"""The published form of a review's outcome (`results.json`), written and read by nothing else than these records.

Reports are made from this alone. Users are pseudonymous throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field

from robust.runner.records import AttackPrice, DefenseResult, DetectionResult, Record, TargetResult

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "ERROR"]
WORST_FIRST: tuple[Verdict, ...] = ("FAIL", "ERROR", "INCONCLUSIVE", "PASS")


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a group: NOT_APPLICABLE only if nothing in it could be measured."""
    return next((v for v in WORST_FIRST if v in verdicts), "NOT_APPLICABLE")


class MetricResult(Record):
    """One metric of one cell.

    Attributes:
        clean, attacked: grand means. change: positive = worse; relative for a drop, absolute for a rise or level.
        low, high: one-sided limits of `change` at the level of the last look, each.
        null: the same change, clean against clean under another seed (the noise floor); None for a fixed model.
        clean_limits, attacked_limits: one-sided 95% limits, below and above, of those means over users and seeds; of
            the bounded metric and NDCG@10.
    """

    clean: float
    attacked: float
    change: float
    low: float | None = None
    high: float | None = None
    null: float | None = None
    clean_limits: tuple[float, float] | None = None
    attacked_limits: tuple[float, float] | None = None


class BoundResult(Record):
    """What had to hold."""

    metric: str
    kind: Literal["drop", "rise", "level"]
    limit: float


class Point(Record):
    """One seed's change of the bounded metric, and its noise floor."""

    seed: int
    clean: float
    attacked: float
    change: float
    null: float | None = None


class Control(Record):
    """The attack's random control at equal budget and, where it queries, equal queries."""

    attack: str
    change: float
    low: float | None = None
    high: float | None = None
    queries: int = 0


def flag_page(name: str) -> str:
    """The page of the documentation on this flag."""
    return f"docs/flags/{name}.md"


class Flag(Record):
    """A finding about the evaluation itself: cause and remedy."""

    name: str
    cause: str
    remedy: str

    @property
    def page(self) -> str:
        """Where the documentation says more."""
        return flag_page(self.name)


class SearchPoint(Record):
    """What a search had reached at one moment, as a mean over sequences and seeds.

    Attributes:
        queries: asked so far, per sequence. edits: allowed so far.
        reached: the best so far of the attack's own objective, less what it is on clean sequences.
    """

    queries: float
    edits: int
    reached: float


class SurrogateResult(Record):
    """The attacker's own model, taken out of the victim by asking for lists.

    Attributes:
        queries: lists asked for. agreement: by K, the share of the victim's top K that is in the surrogate's, on
            histories that it was not asked about; mean over them and over seeds.
        constant: the same of the one list of ten that agrees most, whatever the history; None in older runs.
        extract: how the lists were asked for, and learnt from; empty in older runs.
    """

    model: str
    queries: int
    agreement: dict[str, float]
    constant: float | None = None
    extract: dict[str, Any] = Field(default_factory=dict)


class CellResult(Record):
    """One attack, at one budget, on one victim behind one defence.

    Attributes:
        knowledge: what the scenario grants. used: what the attack used of it, as `model` and `log`; empty where it was
            not measured, and in runs of versions that did not tell.
    """

    id: str
    threat: str
    victim: str
    attack: str
    attack_parameters: dict[str, Any] = Field(default_factory=dict)
    defense: str = "none"
    goal: str
    budget: str
    budget_size: float = 0.0
    knowledge: dict[str, Any] = Field(default_factory=dict)
    used: dict[str, Any] = Field(default_factory=dict)
    worst_case: bool = False  # the attacker knew the true next item
    planned_on: Literal["plain", "protected", "surrogate", "none"]
    measured_on: Literal["plain", "protected"]
    retrain: Literal["warm", "scratch", "none"] = "none"
    seeds: list[int] = Field(default_factory=list)
    n_users: int = 0
    queries: int = 0
    metrics: dict[str, MetricResult] = Field(default_factory=dict)
    bound: BoundResult
    verdict: Verdict
    reason: str = ""
    p_fail: float | None = None  # Holm-adjusted, over looks
    control: Control | None = None
    flags: list[Flag] = Field(default_factory=list)
    points: list[Point] = Field(default_factory=list)
    curve: list[SearchPoint] = Field(default_factory=list)
    price: AttackPrice | None = None  # to the attacker
    surrogate: SurrogateResult | None = None  # where the attack was planned on a model extracted from the victim
    accepted: str | None = None  # the reason given under `accept:`, while it has not expired
    reproduce: str = ""
    timing: dict[str, float] = Field(default_factory=dict)


class VictimResult(Record):
    """A victim on clean data, beside the baselines that tell whether order matters on this log."""

    victim: str
    seeds: list[int]
    metrics: dict[str, float]  # ndcg@10, hr@10, mrr@10, coverage@10, novelty@10, gini@10
    baselines: dict[str, dict[str, float]]  # popularity, markov, item-knn → metric → value
    flags: list[Flag] = Field(default_factory=list)


class DatasetResult(Record):
    """The log and the protocol."""

    name: str
    users: int
    items: int
    rows: int
    evaluated_users: int
    split: str
    seen: Literal["keep", "exclude"]
    repeat_share: float
    unseen_target_share: float  # test items that no train row holds: always a miss
    notes: list[str] = Field(default_factory=list)


class ThreatResult(Record):
    """All cells of one threat: the worst of its verdicts, and a sentence."""

    id: str
    title: str
    verdict: Verdict
    summary: str
    cells: list[str]


class Results(Record):
    """A whole review."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    title: str
    verdict: Verdict
    headline: str
    explanation: str  # a sentence that a release manager understands
    dataset: DatasetResult
    victims: list[VictimResult]
    threats: list[ThreatResult]
    cells: list[CellResult]
    defenses: list[DefenseResult] = Field(default_factory=list)
    detections: list[DetectionResult] = Field(default_factory=list)
    targets: list[TargetResult] = Field(default_factory=list)
    not_tested: list[str]
    scenario: dict[str, Any]
    command: str
    environment: dict[str, Any]
    started: str = ""
    finished: str = ""
    timing: dict[str, float] = Field(default_factory=dict)

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
