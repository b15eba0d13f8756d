"""What a comparison found, as it is published (`robust compare --json`)."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from robust.runner.records import Record

Outcome = Literal["worse", "can't be told", "better", "not worse"]
GRAVEST_FIRST: tuple[Outcome, ...] = ("worse", "can't be told", "better", "not worse")


class Version(Record):
    """One of the two runs: its folder, the checksum of its results, when it ended, and with what it was made."""

    run: str
    checksum: str
    title: str
    finished: str
    victims: list[str]
    seqrobust: str


class Change(Record):
    """A number with one-sided 95% limits on each side; positive = the candidate is worse."""

    mean: float
    low: float
    high: float


class CellComparison(Record):
    """One cell of the candidate beside the base's.

    Attributes:
        cell, base_cell: their ids. kind: `drop`: `loss` is relative to the base's attacked level; else absolute.
        base_clean … candidate_attacked: means of the metric on the seeds used; None where it was not compared.
        deeper: the candidate's change minus the base's. clean: loss on clean data, in the metric's units.
        p_worse, p_better: corrected for the number of cells (Holm).
        same_seeds: whether the runs were compared seed by seed; else seeds count as independent.
    """

    cell: str
    base_cell: str
    threat: str
    victim: str
    attack: str
    budget: str
    defense: str
    planned_on: str
    metric: str
    kind: Literal["drop", "rise", "level"]
    margin: float
    outcome: Outcome = "can't be told"
    reason: str = ""
    base_clean: float | None = None
    base_attacked: float | None = None
    candidate_clean: float | None = None
    candidate_attacked: float | None = None
    loss: Change | None = None
    deeper: Change | None = None
    clean: Change | None = None
    p_worse: float | None = None
    p_better: float | None = None
    n_users: int = 0
    base_seeds: list[int] = Field(default_factory=list)
    candidate_seeds: list[int] = Field(default_factory=list)
    same_seeds: bool = False


class ThreatComparison(Record):
    """All cells of one threat: the gravest of their outcomes."""

    threat: str
    title: str
    outcome: Outcome
    summary: str


class Comparison(Record):
    """A candidate beside a base.

    Attributes:
        missing: cells and threats that only one of the runs has, or of which only one was asked, each with the reason.
        notes: what a reader should know, such as other versions of the harness.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    outcome: Outcome
    headline: str
    base: Version
    candidate: Version
    dataset: str
    seeds: str
    alpha: float
    threats: list[ThreatComparison]
    cells: list[CellComparison]
    missing: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    def exit_code(self, *, strict: bool = False) -> int:
        """1 worse; under `strict` 4 if anything can't be told or is missing; else 0."""
        if self.outcome == "worse":
            return 1
        untold = bool(self.missing) or any(cell.outcome == "can't be told" for cell in self.cells)
        return 4 if strict and untold else 0


def gravest(outcomes: list[Outcome]) -> Outcome:
    """The outcome of a group."""
    return next((outcome for outcome in GRAVEST_FIRST if outcome in outcomes), "can't be told")
