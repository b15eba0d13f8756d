"""The main job: a scenario in, results out."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable
from typing import Any

from robust import __version__
from robust.datasets import repeat_share
from robust.recommenders.adapters.http.ledger import asked_in_run
from robust.runner.across import flag_across
from robust.runner.cell_results import result
from robust.runner.detection import detection_results
from robust.runner.engines import closure
from robust.runner.estimate import advance_notice
from robust.runner.export import write_run
from robust.runner.judging import Assessment, adjusted
from robust.runner.list_lengths import check_list_lengths
from robust.runner.looks import Outcome, Progress, take_looks
from robust.runner.prepare import Prepared, Request, check_measurable, prepare
from robust.runner.price import defense_results
from robust.runner.results import CellResult, DatasetResult, Results
from robust.runner.source import attack_sources, attack_tags
from robust.runner.step import machine
from robust.runner.store import Store
from robust.runner.summary import accept, explanation, headline, not_tested, threat_result
from robust.runner.targets import target_results
from robust.runner.victims import victim_results

__all__ = ["Progress", "Request", "review"]


def review(
    request: Request,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    check: Callable[[Prepared], None] | None = None,
) -> Results:
    """Run a scenario, and write its results and tables (`robust.report.write_report` adds the report).

    Args:
        announce: is told beforehand what endpoints will be asked, if anybody listens.
        check: is shown what the review is made of, and raises an InputError where nothing of it shall be run.

    Raises:
        InputError: anything that the user has to mend; nothing that an earlier run left is touched then.
    """
    started = time.monotonic()
    began = _now()
    store = Store(request.out / "store")
    asked = asked_in_run()
    prepared = prepare(request, store)
    check_measurable(prepared, request.seed)
    if check is not None:
        check(prepared)
    prepared.notes.extend(check_list_lengths(prepared))
    if announce is not None:
        for line in advance_notice(request, prepared, store, asked_in_run() - asked):
            announce(line)
    outcome = take_looks(request, prepared, store, started, progress)
    results = _assemble(request, prepared, store, outcome)
    results.started, results.finished = began, _now()
    results.timing = {"seconds": round(time.monotonic() - started, 1)}
    write_run(request.out, results, outcome.assessments, user_ids(prepared) if request.show_ids else None)
    return results


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _assemble(request: Request, prepared: Prepared, store: Store, outcome: Outcome) -> Results:
    """Results from what was measured; a victim that is undertrained turns its cells into ERROR."""
    victims, undertrained = victim_results(prepared, store, outcome.seeds)
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
            train=prepared.split.train,
        )
        record.p_fail = p_fail.get(index)
        record.reproduce = request.command
        record.timing = _cell_seconds(assessment, outcome, prepared)
        records.append(record)
    flag_across(records, outcome.assessments)
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
        dataset=dataset_result(prepared),
        victims=victims,
        threats=threats,
        cells=records,
        defenses=defense_results(prepared, store, outcome.assessments),
        detections=detection_results(prepared, store, outcome.assessments, records),
        targets=target_results(outcome.assessments, prepared.split.train, prepared.names),
        not_tested=not_tested(prepared.scenario, records, threats),
        scenario=prepared.scenario.model_dump(mode="json", by_alias=True),
        command=request.command,
        environment={
            **environment(request),
            "data": prepared.ground.split.params["content"],
            "scenario": dict(prepared.source),
            "attacks": attack_tags(prepared.scenario),
            "sources": attack_sources(prepared.scenario),
            "models": {victim.spec.label: victim.fingerprint for victim in prepared.victims},
        },
    )


def _cell_seconds(assessment: Assessment, outcome: Outcome, prepared: Prepared) -> dict[str, float]:
    """Seconds spent in this run on all steps that this cell needs (shared ones count in each cell)."""
    cell, spent = assessment.cell, 0.0
    for seed in assessment.measured.seeds:
        spent += sum(outcome.seconds.get(step.key, 0.0) for step in closure(cell.steps(seed).steps))
    return {"seconds": round(spent, 2)}


def dataset_result(prepared: Prepared) -> DatasetResult:
    """The published record of the log and of its split."""
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


def user_ids(prepared: Prepared) -> list[str]:
    """The raw ids of the evaluated users, in the order of what was measured on them."""
    users, log = prepared.split.users, prepared.split.train
    return [str(user) for user in (users if log.user_ids is None else log.user_ids[users]).tolist()]


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
