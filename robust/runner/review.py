"""The main job: a scenario in, results out."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust import __version__
from robust.datasets import Split, default_seen, global_time, leave_last_out, load_dataset, open_log, repeat_share
from robust.errors import InputError
from robust.log import InteractionLog
from robust.measure import Ranking, Seen, per_user
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Recommender
from robust.recommenders.resolve import fingerprint, is_fitted, resolve
from robust.runner.engines import Failure, run
from robust.runner.export import write_run
from robust.runner.flags import victim_flags
from robust.runner.judging import (
    Assessment,
    Measured,
    adjusted,
    assess,
    clean_summary,
    correct,
    gather,
    result,
    undecided,
)
from robust.runner.plan import LIST_LENGTH, Cell, Ground, SeedSteps, Victim, cells, describe_victim, resolvable
from robust.runner.results import CellResult, DatasetResult, Flag, Results, VictimResult
from robust.runner.scenario import GlobalTime, LogFile, Scenario, VictimSpec, load_scenario
from robust.runner.steps import Step, machine
from robust.runner.store import Artifact, Store, content_hash
from robust.runner.summary import accept, explanation, headline, not_tested, threat_result

BASELINES = ("popularity", "markov", "item-knn")


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    scenario: str = "quick"
    out: Path = Path("robust-out")
    log: str | None = None
    columns: Mapping[str, str] | None = None
    vocabulary: str | None = None
    model: str | None = None
    seed: int = 0
    workers: int = 2
    engine: str = "processes"
    max_time: float | None = None
    command: str = "robust review"


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before anything runs."""

    scenario: Scenario
    log: InteractionLog
    split: Split
    seen: str
    victims: list[Victim]
    ground: Ground
    cells: list[Cell]
    holdings: Seen
    notes: list[str] = field(default_factory=list)


def prepare(request: Request, store: Store | None) -> Prepared:
    """Read the scenario and the log, resolve the victims, expand the cells. Runs no step.

    Raises:
        InputError: anything that the user has to mend.
    """
    scenario = _overridden(load_scenario(request.scenario)[0], request)
    resolved = [(spec, *_resolved(spec)) for spec in scenario.victims]
    if store is not None:
        store.prepare()
    log = _log(scenario)
    split = _split(scenario, log)
    split, notes = _limited(split, scenario.users)
    split = _by_length(split)
    seen = scenario.seen or default_seen(split.train)
    victims = []
    for spec, model, mark, fixed in resolved:
        if fixed and int(model.n_items) != log.n_items:
            raise InputError(
                f"The model '{spec.name}' ranks {model.n_items} items, but {log.name} has {log.n_items}. Give the "
                "catalogue on which it was fitted with --vocabulary FILE (item ids in the order of its dense ids)."
            )
        victims.append(describe_victim(spec, model, mark, fixed))
    ground = Ground(_split_step(split, seen), split.train, scenario.retrain, request.seed)
    if store is not None:
        store.put(ground.split.key, _split_artifact(split, seen))
    holdings = Seen.of(split.train, split.users)
    return Prepared(
        scenario, log, split, seen, victims, ground, list(cells(scenario, victims, ground)), holdings, notes
    )


def _overridden(scenario: Scenario, request: Request) -> Scenario:
    update: dict[str, Any] = {}
    if request.log is not None:
        columns = dict(request.columns) if request.columns else None
        update["dataset"] = LogFile(file=request.log, columns=columns, vocabulary=request.vocabulary)
        update["seen"] = None
    if request.model is not None:
        update["victims"] = (VictimSpec(name=request.model),)
    return scenario.model_copy(update=update)


def _resolved(spec: VictimSpec) -> tuple[Recommender, str, bool]:
    model = resolve(spec.name, dict(spec.settings))
    fixed = is_fitted(model)
    return adapt(model), fingerprint(spec.name, model), fixed


def _log(scenario: Scenario) -> InteractionLog:
    source = scenario.dataset
    if isinstance(source, str):
        return load_dataset(source)
    return open_log(source.file, columns=source.columns, vocabulary=source.vocabulary, core=source.core)


def _split(scenario: Scenario, log: InteractionLog) -> Split:
    if isinstance(scenario.split, GlobalTime):
        return global_time(log, scenario.split.share)
    return leave_last_out(log)


def _limited(split: Split, most: int) -> tuple[Split, list[str]]:
    """At most `most` evaluated users, drawn once and for all seeds alike; training always uses everybody."""
    notes = [*split.train.notes, *split.notes]
    if len(split.users) <= most:
        return split, notes
    chosen = np.sort(np.random.default_rng(0).choice(len(split.users), size=most, replace=False))
    notes.append(f"{most:,} of {len(split.users):,} users are evaluated, drawn at random (scenario: users).")
    return replace(split, users=split.users[chosen], targets=split.targets[chosen]), notes


def _by_length(split: Split) -> Split:
    """The same split with its evaluated users in order of history length, so that a chunk holds little padding."""
    order = np.argsort(split.train.lengths[split.users], kind="stable")
    return replace(split, users=split.users[order], targets=split.targets[order])


def _split_artifact(split: Split, seen: str) -> Artifact:
    train = split.train
    arrays: dict[str, NDArray[Any]] = {
        "user": train.user,
        "item": train.item,
        "timestamp": train.timestamp,
        "users": np.asarray(split.users, dtype=np.int64),
        "truth": np.asarray(split.targets, dtype=np.int32),
    }
    note = {"n_users": train.n_users, "n_items": train.n_items, "name": train.name, "seen": seen}
    return Artifact(arrays, note)


def _split_step(split: Split, seen: str) -> Step:
    """The split as an input of steps; it is stored here and never run, so its parameters are its content's hash."""
    import xxhash

    artifact = _split_artifact(split, seen)
    content = {name: xxhash.xxh128_hexdigest(v.tobytes()) for name, v in artifact.arrays.items()}
    return Step("split", {"content": content_hash([content, artifact.note])})


def _clean_step(victim: Victim, ground: Ground, seed: int) -> Step:
    """A victim ranked on clean sequences."""
    params = {
        "victim": victim.params,
        "seed": seed,
        "context": victim.context,
        "k": LIST_LENGTH,
        "guard": None,
        "targets": [],
        "demoted": False,
    }
    inputs = {"split": ground.split}
    if not victim.fixed:
        inputs["model"] = Step("fit", {"victim": victim.params, "seed": seed, "defense": None}, {"split": ground.split})
    return Step("rank", params, inputs)


Progress = Callable[[int, int, Step | None], None]


def review(request: Request, progress: Progress | None = None) -> Results:
    """Run a scenario, and write its results and tables (`robust.report.write_report` adds the report).

    Raises:
        InputError: anything that the user has to mend; nothing that an earlier run left is touched then.
    """
    started = time.monotonic()
    began = _now()
    store = Store(request.out / "store")
    prepared = prepare(request, store)
    outcome = _measure(request, prepared, store, started, progress)
    results = _assemble(request, prepared, store, outcome)
    results.started, results.finished = began, _now()
    results.timing = {"seconds": round(time.monotonic() - started, 1)}
    write_run(request.out, results, outcome.assessments)
    return results


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass
class Outcome:
    """What the looks left."""

    assessments: list[Assessment]
    verdicts: list[tuple[Any, str]]
    seeds: list[int]
    failures: dict[str, Failure]
    seconds: dict[str, float]
    clean: dict[str, dict[str, Step]] = field(default_factory=dict)


def _measure(request: Request, prepared: Prepared, store: Store, started: float, progress: Progress | None) -> Outcome:
    """Take the looks: run what is undecided at each, and judge all cells together."""
    obstacles = [cell.obstacle() or resolvable(cell, request.seed) for cell in prepared.cells]
    count = len(prepared.cells)
    planned: list[list[tuple[int, SeedSteps]]] = [[] for _ in range(count)]
    outcome = Outcome([], [("INCONCLUSIVE", "")] * count, [], {}, {})
    open_cells = [i for i in range(count) if obstacles[i] is None]
    deadline = None if request.max_time is None else started + request.max_time
    seen_by_gather: list[tuple[Measured, Failure | None]] = [(Measured(), None)] * count

    for look in prepared.scenario.seeds:
        seeds = [request.seed + i for i in range(look)]
        wanted = clean_steps(prepared, seeds if not outcome.seeds else [])
        for index in open_cells:
            cell = prepared.cells[index]
            for seed in seeds[len(planned[index]) :] if not cell.fixed else seeds[: 1 - len(planned[index])]:
                steps = cell.steps(seed)
                planned[index].append((seed, steps))
                wanted += steps.steps
        outcome.failures |= _run(request, wanted, store, deadline, progress, outcome.seconds)
        outcome.seeds = seeds
        for index in range(count):
            if obstacles[index] is not None:
                seen_by_gather[index] = (Measured(), Failure("not_applicable", str(obstacles[index])))
            elif index in open_cells:
                seen_by_gather[index] = gather(planned[index], store, prepared.holdings, outcome.failures)
        outcome.assessments = [assess(cell, *found) for cell, found in zip(prepared.cells, seen_by_gather, strict=True)]
        outcome.verdicts = correct(outcome.assessments)
        open_cells = [i for i in open_cells if undecided(outcome.verdicts[i][0], outcome.assessments[i])]
        if not open_cells:
            break
    return outcome


def clean_steps(prepared: Prepared, seeds: Sequence[int]) -> list[Step]:
    """Victims and baselines ranked on clean sequences; nothing without seeds."""
    if not seeds:
        return []
    wanted = [_clean_step(baseline, prepared.ground, 0) for baseline in _baselines()]
    for victim in prepared.victims:
        wanted += [_clean_step(victim, prepared.ground, seed) for seed in (seeds[:1] if victim.fixed else seeds)]
    return wanted


def _baselines() -> list[Victim]:
    found = []
    for name in BASELINES:
        spec = VictimSpec(name=name)
        model, mark, fixed = _resolved(spec)
        found.append(describe_victim(spec, model, mark, fixed))
    return found


def _run(
    request: Request,
    wanted: list[Step],
    store: Store,
    deadline: float | None,
    progress: Progress | None,
    seconds: dict[str, float],
) -> dict[str, Failure]:
    from robust.runner.engines import closure

    total = sum(step.key not in store for step in closure(wanted))
    done = 0
    if progress is not None:
        progress(0, total, None)

    def tell(step: Step, spent: float) -> None:
        nonlocal done
        done += 1
        seconds[step.key] = round(spent, 2)
        if progress is not None:
            progress(done, total, step)

    return run(wanted, store, engine=request.engine, workers=request.workers, deadline=deadline, progress=tell)


def _assemble(request: Request, prepared: Prepared, store: Store, outcome: Outcome) -> Results:
    """Results from what was measured; a victim that is undertrained turns its cells into ERROR."""
    victims, undertrained = _victims(prepared, store, request.seed, outcome)
    popularity = prepared.split.train.popularity
    records: list[CellResult] = []
    p_fail = adjusted(outcome.assessments)
    for index, (assessment, (verdict, reason)) in enumerate(zip(outcome.assessments, outcome.verdicts, strict=True)):
        name = assessment.cell.victim.spec.label
        if name in undertrained and verdict != "NOT_APPLICABLE":
            verdict, reason = "ERROR", f"undertrained: {undertrained[name]}"
        record = result(
            assessment,
            verdict,
            reason,
            holdings=prepared.holdings,
            popularity=popularity,
            n_items=prepared.log.n_items,
        )
        record.p_fail = p_fail.get(index)
        record.reproduce = request.command
        record.timing = _cell_seconds(assessment, outcome, prepared)
        records.append(record)
    accept(records, prepared.scenario, datetime.date.today())
    threats = [
        threat_result(threat, [record for record in records if record.threat == threat.id])
        for threat in prepared.scenario.threats
    ]
    verdict, line = headline(threats)
    return Results(
        title=prepared.scenario.title,
        verdict=verdict,
        headline=line,
        explanation=explanation(verdict, threats, records),
        dataset=_dataset(prepared),
        victims=victims,
        threats=threats,
        cells=records,
        not_tested=not_tested(prepared.scenario, records, threats),
        scenario=prepared.scenario.model_dump(mode="json", by_alias=True),
        command=request.command,
        environment=environment(request),
    )


def _cell_seconds(assessment: Assessment, outcome: Outcome, prepared: Prepared) -> dict[str, float]:
    """Seconds spent in this run on steps of this cell (shared steps count in each cell that needs them)."""
    cell, spent = assessment.cell, 0.0
    for seed in assessment.measured.seeds:
        spent += sum(outcome.seconds.get(step.key, 0.0) for step in cell.steps(seed).steps)
    return {"seconds": round(spent, 2)}


def _victims(
    prepared: Prepared, store: Store, first_seed: int, outcome: Outcome
) -> tuple[list[VictimResult], dict[str, str]]:
    popularity, n_items = prepared.split.train.popularity, prepared.log.n_items
    baselines: dict[str, Ranking] = {}
    for baseline in _baselines():
        artifact = store.get(_clean_step(baseline, prepared.ground, 0).key)
        if artifact is not None:
            baselines[baseline.spec.name] = Ranking(**artifact.arrays)
    table = {name: clean_summary([ranking], popularity, n_items) for name, ranking in baselines.items()}
    found: list[VictimResult] = []
    undertrained: dict[str, str] = {}
    for victim in prepared.victims:
        seeds = outcome.seeds[:1] if victim.fixed else outcome.seeds
        rankings, known = [], []
        for seed in seeds:
            artifact = store.get(_clean_step(victim, prepared.ground, seed).key)
            if artifact is not None:
                rankings.append(Ranking(**artifact.arrays))
                known.append(seed)
        flags: list[Flag] = []
        if rankings and "markov" in baselines:
            ndcg = np.stack([per_user("ndcg@10", r) for r in rankings])
            flags, failed = victim_flags(
                ndcg, per_user("ndcg@10", baselines["markov"]), trained_by_us=victim.trained_by_us
            )
            if failed:
                undertrained[victim.spec.label] = flags[0].cause
        metrics = clean_summary(rankings, popularity, n_items) if rankings else {}
        found.append(VictimResult(victim=victim.spec.label, seeds=known, metrics=metrics, baselines=table, flags=flags))
    return found, undertrained


def _dataset(prepared: Prepared) -> DatasetResult:
    split, log = prepared.split, prepared.log
    return DatasetResult(
        name=log.name,
        users=int((log.lengths > 0).sum()),
        items=log.n_items,
        rows=len(log),
        evaluated_users=len(split.users),
        split=split.name,
        seen="keep" if prepared.seen == "keep" else "exclude",
        repeat_share=repeat_share(split.train),
        unseen_target_share=split.unseen_target_share,
        notes=prepared.notes,
    )


def environment(request: Request) -> dict[str, Any]:
    """Versions and machine: what one needs to compare a run years later."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("numpy", "scipy", "torch", "adversarial-robustness-toolbox", "pydantic"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "seqrobust": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "engine": request.engine,
        "workers": request.workers,
        "versions": versions,
        "plan": machine(),
    }
