"""A row of the leaderboard: what a review found of one victim behind one defence, as a small JSON file.

A row says with what it may be compared (`Trial.protocol`, `Row.data`, the victim), and how to get it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from robust import plugins
from robust.errors import InputError
from robust.runner.records import Record
from robust.runner.results import BoundResult, CellResult, Results, Verdict, worst
from robust.runner.standing import Standing, attack_name, protocol
from robust.runner.store import content_hash, write_atomically

VOLATILE = ("run", "finished", "versions", "machine", "package", "command", "price")
"""What may differ between two runs that found the same."""


class Number(Record):
    """A mean over users and seeds with one-sided 95% limits."""

    metric: str
    mean: float
    low: float
    high: float


class Trial(Record):
    """How it stood one threat.

    Attributes:
        protocol: digest of goal, knowledge, attacks, budgets, bound, users, seeds and retraining.
        clean: on clean data. worst: the bounded metric under the worst attack; better: which way is good.
        attack, budget, planned_on: where the worst comes from. change: of the bounded metric, positive = worse.
        verdict: the gravest of the threat's, each on its own (`alone`).
        missed: attacks that did not meet the defence knowing it, and why.
        flags: what the review noticed without a reason to refuse the number.
    """

    threat: str
    title: str
    protocol: str
    goal: str
    bound: BoundResult
    clean: Number
    worst: Number
    better: Literal["higher", "lower"]
    attack: str
    budget: str
    planned_on: str
    change: float
    change_low: float | None
    change_high: float | None
    verdict: Verdict
    seeds: list[int]
    missed: dict[str, str] = Field(default_factory=dict)
    flags: list[str] = Field(default_factory=list)


class Price(Record):
    """What a defence costs its owner, from the review; None where it was not measured, or does not arise.

    Attributes:
        ndcg: NDCG@10 lost on clean data, relative; ndcg_low, ndcg_high: its one-sided 95% limits.
        fit, ranking, model: how many times as long, as long and as large as without. removed: share of genuine users.
    """

    cost: str = ""
    ndcg: float | None = None
    ndcg_low: float | None = None
    ndcg_high: float | None = None
    fit: float | None = None
    ranking: float | None = None
    model: float | None = None
    removed: float | None = None


class Row(Record):
    """One victim behind one defence.

    Attributes:
        data: digest of train rows, evaluated users and test items. refused: threats of which no number is believed.
        run: checksum of the results that it was made from. package: the distribution of the defence and its version.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    victim: str
    defense: str
    stage: str
    scenario: str
    dataset: str
    data: str
    trials: list[Trial]
    refused: dict[str, str] = Field(default_factory=dict)
    price: Price | None = None
    command: str
    package: str
    versions: dict[str, str]
    machine: dict[str, Any]
    run: str
    finished: str

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @property
    def file_name(self) -> str:
        """The same for rows of the same victim and defence on the same data under the same threats, and no others."""
        key = content_hash([self.data, self.victim, self.defense, sorted(trial.protocol for trial in self.trials)])
        readable = "--".join(_slug(part) for part in (self.dataset, self.victim, self.defense))
        return f"{readable}--{key[:8]}.json"

    @property
    def found(self) -> dict[str, Any]:
        """What was measured, without what may differ between two runs that found the same."""
        body = self.model_dump(mode="json", by_alias=True)
        return {name: value for name, value in body.items() if name not in VOLATILE}


def trial(results: Results, standing: Standing) -> Trial:
    """A standing as it is published; its limits are known, or it would have been refused."""
    cell, title = standing.cell, {threat.id: threat.title for threat in results.threats}
    metric = cell.metrics[cell.bound.metric]
    return Trial(
        threat=standing.threat,
        title=title.get(standing.threat, standing.threat),
        protocol=protocol(results, standing.threat),
        goal=cell.goal,
        bound=cell.bound,
        clean=_number(standing.clean),
        worst=_number(standing.worst),
        better=standing.better,
        attack=attack_name(cell),
        budget=cell.budget,
        planned_on=cell.planned_on,
        change=metric.change,
        change_low=metric.low,
        change_high=metric.high,
        verdict=worst([alone(one) for one in standing.cells]),
        seeds=cell.seeds,
        missed=dict(standing.missed),
        flags=sorted({flag.name for cell in standing.cells for flag in cell.flags}),
    )


def alone(cell: CellResult) -> Verdict:
    """A cell's verdict by its own interval, without the review's correction for the number of cells.

    With the correction a row would depend on how many other defences the same review happened to hold, and rows of
    different reviews could not stand in one table.
    """
    measured = cell.metrics.get(cell.bound.metric)
    if cell.verdict != "INCONCLUSIVE" or measured is None or measured.low is None:
        return cell.verdict
    return "FAIL" if measured.low > cell.bound.limit else cell.verdict


def _number(estimate: Any) -> Number:
    return Number(metric=estimate.metric, mean=estimate.mean, low=estimate.low, high=estimate.high)


def make_row(
    results: Results, victim: str, defense: str, trials: list[Trial], refused: Mapping[str, str], *, checksum: str
) -> Row:
    """A row of these trials.

    Raises:
        InputError: the results are too old to say on which data they were made.
    """
    environment = results.environment
    if not isinstance(environment.get("data"), str):
        raise InputError("This run does not say which data it was made on; run its command again with this version.")
    versions = {"seqrobust": str(environment.get("seqrobust")), "python": str(environment.get("python"))}
    versions |= {name: str(version) for name, version in environment.get("versions", {}).items()}
    machine = {name: environment[name] for name in ("system", "processor", "cores", "plan") if name in environment}
    name = re.sub(r"\(.*", "", defense)
    return Row(
        victim=victim,
        defense=defense,
        stage=_stage(name),
        scenario=results.title,
        dataset=results.dataset.name,
        data=environment["data"],
        trials=trials,
        refused=dict(refused),
        price=price(results, victim, defense),
        command=results.command,
        package=_package(name),
        versions=versions,
        machine=machine,
        run=checksum,
        finished=results.finished,
    )


def price(results: Results, victim: str, defense: str) -> Price | None:
    """What the review says that this defence costs; None without one."""
    found = next((one for one in results.defenses if (one.victim, one.defense) == (victim, defense)), None)
    if found is None:
        return None
    ndcg, sizes = found.metrics.get("ndcg@10"), found.model_bytes
    whole = sizes.get("plain")
    return Price(
        cost=found.cost,
        ndcg=ndcg.change if ndcg else None,
        ndcg_low=ndcg.low if ndcg else None,
        ndcg_high=ndcg.high if ndcg else None,
        fit=found.timing.get("fit_ratio"),
        ranking=found.timing.get("rank_ratio"),
        model=sizes["protected"] / whole if whole and "protected" in sizes else None,
        removed=found.removed[0].share if found.removed else None,
    )


def _stage(name: str) -> str:
    if name not in plugins.names("defenses"):
        return ""
    return str(getattr(plugins.load("defenses", name), "stage", ""))


def _package(name: str) -> str:
    """`acme-defenses 1.0`, of the distribution that registers it; "" for none and for what is not installed."""
    found = [point.dist for point in entry_points(group="robust.defenses", name=name) if point.dist is not None]
    return f"{found[0].name} {found[0].version}" if found else ""


def write_row(row: Row, folder: Path, *, replace: bool = False) -> str:
    """Write it; returns `new`, `unchanged` (the same was found before, and is left as it is) or `replaced`.

    Raises:
        InputError: another result of the same is there, or the folder cannot be written.
    """
    path = folder / row.file_name
    said = "new"
    if path.exists():
        before = read_row(path)
        if before.found == row.found:
            return "unchanged"
        if not replace:
            raise InputError(
                f"'{path}' holds another result of the same ({_differs(before, row)}). A result is never overwritten "
                "in silence: find out why they differ, then give --replace."
            )
        said = "replaced"
    text = json.dumps(row.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        write_atomically(path, text + "\n")
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}. Name another folder with --to.") from error
    return said


def _differs(before: Row, after: Row) -> str:
    """The first number that is another, in words."""
    for old, new in zip(before.trials, after.trials, strict=False):
        for what, x, y in (("clean", old.clean, new.clean), ("worst case", old.worst, new.worst)):
            if x != y:
                return f"{old.threat}, {what}: {x.metric} {x.mean:.4f} there, {y.mean:.4f} now"
    return f"made on {before.finished or 'another day'}"


def read_row(path: Path) -> Row:
    """One file.

    Raises:
        InputError: it is no row.
    """
    try:
        return Row.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        first = next(iter(str(error).splitlines()), "")
        raise InputError(f"'{path}' is no row of a leaderboard: {first}. Rows are written by add.") from error


def read_rows(folder: Path) -> list[Row]:
    """All rows of a folder, by file name.

    Raises:
        InputError: there is no such folder, or a file in it is no row.
    """
    if not folder.is_dir():
        raise InputError(f"There is no leaderboard '{folder}': expected a folder of rows, which add writes.")
    return [read_row(path) for path in sorted(folder.glob("*.json"))]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.=]+", "-", text.lower()).strip("-")[:60] or "x"
